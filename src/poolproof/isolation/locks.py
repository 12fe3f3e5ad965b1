"""Locks between processes that are fair, bounded in time, and free the moment their holder dies.

A lock is a directory: a queue of tickets in order of arrival. Readers pass together; a writer waits for all before it,
and all after it wait for the writer: neither can starve the other. A ticket is a listening socket. Who must wait for it
connects to it and reads; the kernel ends that reading when the holder lets go or dies, however it dies.
"""

import contextlib
import fcntl
import os
import socket
import time
from collections.abc import Generator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from poolproof.errors import PoolproofError

Mode = Literal["read", "write"]
MODES: Final[tuple[Mode, ...]] = ("read", "write")
LOOK_SECONDS: Final = 0.002
_BACKLOG: Final = 4096


class LockTimeoutError(PoolproofError):
    """A lock was not to be had in time; nothing was done under it."""


class QueueFullError(PoolproofError):
    """More processes wait for one lock than the system can tell of its end."""


@dataclass(frozen=True, slots=True)
class Wait:
    """What one lock has cost: the seconds waited, and who was the last that had to be waited for."""

    seconds: float
    behind: str = ""


class Ticket:
    """A place in a lock's queue, and with it, once `acquire` has returned, the lock."""

    def __init__(self, path: Path, listener: socket.socket, waited: Wait) -> None:
        self.waited = waited
        self._path = path
        self._listener = listener
        _mine.add(self)

    def release(self) -> None:
        """Let go; harmless if it has been done."""
        _mine.discard(self)
        if self._listener.fileno() >= 0:
            _remove(self._path)
            self._listener.close()

    def forget(self) -> None:
        """Drop a forked child's copy: only the owner's end may decide when it is released."""
        self._listener.close()


_mine: set[Ticket] = set()


def _forget_all() -> None:
    for ticket in _mine:
        ticket.forget()
    _mine.clear()


os.register_at_fork(after_in_child=_forget_all)


def acquire(lock: Path, mode: Mode, who: str, timeout: float) -> Ticket:
    """Take a place in the queue, and return when nobody before it stands in the way.

    Args:
        lock: the lock's directory; made if it is not there.
        mode: `read` lets other readers pass, `write` nobody.
        who: what others are told who wait for it.
        timeout: seconds.

    Raises:
        LockTimeoutError: it was not to be had in time.
    """
    began = time.monotonic()
    deadline = began + timeout
    with _gate(lock, deadline) as folder:
        queue = _queue(folder)
        name = f"{queue[-1].number + 1 if queue else 1:08d}.{mode}"
        listener = _enter(folder, name, who)
    ticket = Ticket(lock / name, listener, Wait(0.0))
    try:
        ahead = [place for place in queue if _excludes(place.mode, mode)]
        for place in ahead:
            _outwait(place, deadline, f"{mode} lock {lock.name} within {timeout:g} s")
    except BaseException:
        ticket.release()
        raise
    finally:
        for place in queue:
            place.line.close()
    seconds = time.monotonic() - began
    ticket.waited = Wait(seconds, ahead[-1].who if ahead else "")
    return ticket


def _excludes(one: str, other: str) -> bool:
    return "write" in (one, other)


@dataclass(frozen=True, slots=True)
class _Place:
    """A living ticket before ours, and the connection on which its end is told."""

    number: int
    mode: str
    who: str
    line: socket.socket


@contextlib.contextmanager
def _gate(lock: Path, deadline: float) -> Generator[str]:
    """Hold the queue still; yield a short path to it, because a socket's may have 107 bytes only."""
    descriptor = _open(lock, deadline)
    try:
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)


def _open(lock: Path, deadline: float) -> int:
    while True:
        lock.mkdir(mode=0o700, parents=True, exist_ok=True)
        with suppress(FileNotFoundError):  # tidied away just now: begin anew
            descriptor = os.open(lock, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            if not locked(descriptor, deadline):
                os.close(descriptor)
                raise LockTimeoutError(
                    f"expected the queue of lock {lock.name} to be still, got it held"
                )
            if _is(descriptor, lock):
                return descriptor
            os.close(descriptor)


def _is(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _queue(folder: str) -> list[_Place]:
    """Return who lives in the queue, in order; the tickets of the dead are removed."""
    places: list[_Place] = []
    for name in sorted(name for name in os.listdir(folder) if name.endswith(MODES)):
        place = _look(f"{folder}/{name}", name)
        if place is None:
            _remove(Path(folder, name))
        else:
            places.append(place)
    return places


def _look(path: str, name: str) -> _Place | None:
    line = socket.socket(socket.AF_UNIX)
    line.settimeout(0)
    try:
        line.connect(path)
    except (ConnectionRefusedError, FileNotFoundError):
        line.close()
        return None
    except BlockingIOError:
        line.close()
        raise QueueFullError(
            f"expected at most {_BACKLOG} to wait for ticket {name}, got more"
        ) from None
    number, _, mode = name.partition(".")
    return _Place(int(number), mode, _who(path), line)


def _who(path: str) -> str:
    with suppress(OSError):
        return Path(f"{path}.who").read_text(encoding="utf-8")
    return "?"


def _enter(folder: str, name: str, who: str) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX)
    try:
        Path(folder, f"{name}.who").write_text(who, encoding="utf-8")
        listener.bind(f"{folder}/{name}")
        listener.listen(_BACKLOG)
    except BaseException:
        listener.close()
        raise
    return listener


def _outwait(place: _Place, deadline: float, what: str) -> None:
    place.line.settimeout(max(deadline - time.monotonic(), 0.001))
    try:
        place.line.recv(1)
    except ConnectionResetError:
        return
    except TimeoutError:
        raise LockTimeoutError(
            f"expected {what}, got {place.who} still holding it or waiting before us;"
            " end that, or allow more time with the ini key poolproof_lock_timeout"
        ) from None


def _remove(ticket: Path) -> None:
    # In this order: as soon as the ticket is gone, its number may be somebody else's.
    ticket.with_name(f"{ticket.name}.who").unlink(missing_ok=True)
    ticket.unlink(missing_ok=True)


def locked(descriptor: int, deadline: float) -> bool:
    """Lock an open file for this process alone; return False if others have it until `deadline` (monotonic seconds)."""
    while not _try_lock(descriptor):
        if time.monotonic() > deadline:
            return False
        time.sleep(LOOK_SECONDS)
    return True


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def clear(lock: Path) -> int:
    """Remove the tickets of the dead, and the lock itself where nobody is left; return how many were dead.

    Not done at each release, because removing a directory can cost a millisecond. Where the queue is moving just now,
    it is left to who moves it.
    """
    try:
        descriptor = os.open(lock, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        return 0
    try:
        return (
            _tidy(lock, f"/proc/self/fd/{descriptor}")
            if _try_lock(descriptor) and _is(descriptor, lock)
            else 0
        )
    finally:
        os.close(descriptor)


def _tidy(lock: Path, folder: str) -> int:
    before = sum(name.endswith(MODES) for name in os.listdir(folder))
    living = _queue(folder)
    for place in living:
        place.line.close()
    if not living:
        for name in os.listdir(
            folder
        ):  # notes of who was killed between the two writings of a ticket
            Path(folder, name).unlink(missing_ok=True)
        with suppress(OSError):
            lock.rmdir()
    return before - len(living)
