"""The journal of a trial, written inside a target's processes: a JSON line an event, no exception.

Every process of a trial appends to one file; a line is one `write` of an O_APPEND descriptor, so
lines of different processes do not mix. A fork inherits the descriptor, an exec closes it.
"""

import errno
import fcntl
import json
import os
from contextlib import suppress
from time import monotonic_ns
from typing import Any, Final

_APPEND: Final = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
# Daemons close the low descriptors and reuse their numbers at once: with a low one the next line
# would go into a stranger's socket.
_LOWEST_DESCRIPTOR: Final = 900
_START_TIME_FIELD: Final = 22

_encode = json.JSONEncoder(
    separators=(",", ":"), ensure_ascii=False, allow_nan=False, check_circular=False, default=repr
).encode


def _line(kind: str, fields: dict[str, Any]) -> bytes:
    event = {"t": monotonic_ns(), "kind": kind, "pid": os.getpid(), **fields}
    return (_encode(event) + "\n").encode("utf-8", "replace")


def _open(path: str) -> int:
    low = os.open(path, _APPEND, 0o600)
    try:
        high = fcntl.fcntl(low, fcntl.F_DUPFD_CLOEXEC, _LOWEST_DESCRIPTOR)
    except OSError:  # this process may have no descriptor so high
        return low
    os.close(low)
    return high


class Journal:
    """One process's hold on the file that all processes of a trial append to.

    What cannot be written is silent in the target; it is counted, and said in a `note` before the
    next line that can.

    Attributes:
        lost: how many lines could not be written since the last one that could.
        error: why the last of them could not.
    """

    __slots__ = ("_descriptor", "_path", "error", "lost")

    def __init__(self) -> None:
        self._path: str | None = None
        self._descriptor = -1
        self.lost = 0
        self.error = ""

    def open_at(self, path: str) -> None:
        """Write to `path` from now on, instead of to $POOLPROOF_TRIAL/history.jsonl."""
        if path != self._path:
            self._path, old, self._descriptor = path, self._descriptor, -1
            if old >= 0:
                with suppress(OSError):
                    os.close(old)

    def descriptor(self) -> int:
        """Return the open descriptor, or -1 if nothing was written yet."""
        return self._descriptor

    def write(self, kind: str, /, **fields: Any) -> None:
        """Append an event of this kind, time and process; `fields` are those of `history.Event`."""
        try:
            confession = self._confession() if self.lost else b""
            self._append(confession + _line(kind, fields))
            self.lost = 0
        except Exception as error:  # noqa: BLE001 - the target must never see an error of its journal
            self.lost += 1
            self.error = f"{type(error).__name__}: {error}"

    def _confession(self) -> bytes:
        # The newline ends what a full disk may have cut off.
        message = f"{self.lost} line(s) of the journal could not be written: {self.error}"
        return b"\n" + _line("note", {"message": message[:500]})

    def _append(self, line: bytes) -> None:
        if self._descriptor < 0:
            self._descriptor = self._open()
        try:
            written = os.write(self._descriptor, line)
        except OSError as error:
            if error.errno != errno.EBADF:
                raise
            self._descriptor = self._open()  # the target closed what was not its own
            written = os.write(self._descriptor, line)
        if written != len(line):
            raise OSError(errno.ENOSPC, f"wrote {written} of {len(line)} bytes")

    def _open(self) -> int:
        path = self._path
        if path is None:
            path = self._path = os.path.join(os.environ["POOLPROOF_TRIAL"], "history.jsonl")
        return _open(path)


_journal = Journal()
open_at = _journal.open_at
descriptor = _journal.descriptor
write = _journal.write

_born: dict[int, int | None] = {}


def born(pid: int | None = None) -> int | None:
    """Return when a process (by default this one) began, in clock ticks since boot; None if gone.

    Together with its pid it names a process for good, because pids are used again. Linux only.
    """
    own = os.getpid()
    if pid is not None and pid != own:
        return _start_time(pid)
    if _born.get(own) is None:  # by pid, because a fork inherits what its parent knew
        _born[own] = _start_time(own)
    return _born[own]


def _start_time(pid: int) -> int | None:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            stat = file.read()
    except OSError:
        return None
    # The command's name, in parentheses, may hold spaces and parentheses of its own.
    return int(stat.rpartition(b")")[2].split()[_START_TIME_FIELD - 3])
