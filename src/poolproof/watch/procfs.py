"""Facts about single processes and their descendants, as /proc has them. Linux only.

Every function bears that a process ends, or is not ours to read, while it is being looked at.
"""

import os
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Final

_PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")
TICKS_PER_SECOND: Final = os.sysconf("SC_CLK_TCK")
_CHUNK_BYTES: Final = 1 << 16
_EXEC_LOOKS: Final = 100
_EXEC_SECONDS: Final = 0.001
_LIMIT_LINE: Final = re.compile(r"^(.+?)\s{2,}(\S+)\s+(\S+)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Identity:
    """One process for all time: number, and start in clock ticks since boot (stat, field 22)."""

    pid: int
    born: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Stat:
    """The fields of a stat file that are used here; `cpu_ticks` is user plus system time."""

    state: str
    parent: int
    session: int
    cpu_ticks: int
    threads: int
    born: int


def read(path: str) -> bytes:
    """Return the first 64 KiB of a file in three system calls; raise OSError as open does."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(descriptor, _CHUNK_BYTES)
    finally:
        os.close(descriptor)


def _read_all(path: str) -> bytes | None:
    try:
        with open(path, "rb", buffering=0) as file:
            return file.readall()
    except OSError:
        return None


def parse_stat(raw: bytes) -> Stat:
    """Return the fields of a stat file; the command's name in it may hold any character."""
    fields = raw[raw.rindex(b")") + 2 :].split(None, 20)
    return Stat(
        state=fields[0].decode(),
        parent=int(fields[1]),
        session=int(fields[3]),
        cpu_ticks=int(fields[11]) + int(fields[12]),
        threads=int(fields[17]),
        born=int(fields[19]),
    )


def stat(pid: int) -> Stat | None:
    """Return what /proc/PID/stat says, with the first thread's state; None if it is gone."""
    try:
        return parse_stat(read(f"/proc/{pid}/stat"))
    except OSError:
        return None


def identity(pid: int) -> Identity | None:
    """Return who `pid` is now, a zombie too; None if nobody is."""
    found = stat(pid)
    return None if found is None else Identity(pid, found.born)


def alive(who: Identity) -> bool:
    """Tell whether this very process can still run: not gone, no zombie, no namesake."""
    found = stat(who.pid)
    if found is None or found.born != who.born:
        return False
    # The first thread may have ended before the others; then the process reads Z and yet lives.
    return found.state not in "ZX" or found.threads > 1


def state(pid: int) -> str | None:
    """Return the state letter of the first thread of `pid` (R, S, D...), None if it is gone."""
    found = stat(pid)
    return None if found is None else found.state


def session(pid: int) -> int | None:
    """Return the session that `pid` belongs to, None if it is gone."""
    found = stat(pid)
    return None if found is None else found.session


def tree(root_pid: int) -> Iterator[tuple[int, list[str]]]:
    """Yield (pid, thread ids) of `root_pid` and of all below it, parents before children.

    It is no snapshot: who is re-parented while it runs may be missed or come late. The caller
    compares two of them.
    """
    offspring = _children_of_tasks if _kernel_lists_children() else _children_by_parent()
    found = [root_pid]
    for pid in found:  # grows while it is walked
        try:
            tids = os.listdir(f"/proc/{pid}/task")
        except OSError:
            continue
        found.extend(child for child in offspring(pid, tids) if child not in found)
        yield pid, tids


def descendants(root_pid: int) -> tuple[int, ...]:
    """Return all processes below `root_pid`, zombies included; not itself, nor lost orphans."""
    return tuple(pid for pid, _ in tree(root_pid) if pid != root_pid)


@cache
def _kernel_lists_children() -> bool:
    return os.path.exists("/proc/thread-self/children")


def _children_of_tasks(pid: int, tids: list[str]) -> list[int]:
    found: list[int] = []
    for tid in tids:
        try:
            raw = _read_all_children(f"/proc/{pid}/task/{tid}/children")
        except OSError:
            continue
        if raw:
            found.extend(map(int, raw.split()))
    return found


def _read_all_children(path: str) -> bytes:
    raw = read(path)  # a page at most, whatever there is
    return raw if len(raw) < _PAGE_BYTES // 2 else _read_all(path) or b""


def _children_by_parent() -> Callable[[int, list[str]], list[int]]:
    """The same by one scan of all processes, for a kernel without the children files."""
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit() and (found := stat(int(name))) is not None:
            children.setdefault(found.parent, []).append(int(name))
    return lambda pid, _tids: children.get(pid, [])


def limits(pid: int) -> dict[str, tuple[int | None, int | None]] | None:
    """Return the limits of `pid` by the kernel's names ("Max open files"), as (soft, hard).

    A limit of None is unlimited; the whole is None if the process is gone.
    """
    raw = _read_all(f"/proc/{pid}/limits")
    if not raw:
        return None
    lines = _LIMIT_LINE.findall(raw.decode().partition("\n")[2])
    return {name: (_limit(soft), _limit(hard)) for name, soft, hard in lines}


def _limit(text: str) -> int | None:
    return None if text == "unlimited" else int(text)


def cmdline(pid: int) -> tuple[str, ...]:
    """Return the command line of `pid`; empty for a zombie and for who is gone.

    While a program is being loaded into a process /proc shows none. That is waited for: a tenth of a second at most.
    """
    raw = b""
    for _ in range(_EXEC_LOOKS):
        raw = _read_all(f"/proc/{pid}/cmdline") or b""
        if raw or not _has_program(pid):
            break
        time.sleep(_EXEC_SECONDS)
    return tuple(os.fsdecode(part) for part in raw.removesuffix(b"\0").split(b"\0")) if raw else ()


def environ(pid: int) -> list[bytes]:
    """Return the environment that `pid` was executed with, as KEY=value; waits as `cmdline` does.

    A forked process shows what its forking ancestor was executed with. What a process puts into its
    environment later is not seen; who is gone, or not ours to read, has nothing.
    """
    done = False
    for _ in range(_EXEC_LOOKS):
        raw = _read_all(f"/proc/{pid}/environ") or b""
        if raw or done:
            return raw.split(b"\0")
        done = bool(_read_all(f"/proc/{pid}/cmdline")) or not _has_program(pid)
        if not done:  # else it may just have become so: one more look
            time.sleep(_EXEC_SECONDS)
    return []


def _has_program(pid: int) -> bool:
    """Tell whether a process executes a file; a zombie and a thread of the kernel do not."""
    try:
        return bool(os.readlink(f"/proc/{pid}/exe"))
    except OSError:
        return False


def environ_has(pid: int, entry: bytes) -> bool:
    """Tell whether `pid` was executed with `entry` (b"KEY=value") in its environment, as `environ` shows it."""
    return entry in environ(pid)


def rss_bytes(pid: int) -> int | None:
    """Return the resident memory of `pid`, shared pages included; None if it is gone."""
    raw = _read_all(f"/proc/{pid}/statm")
    return int(raw.split()[1]) * _PAGE_BYTES if raw else None


def handled_signals(pid: int) -> int:
    """Return the mask of the signals that `pid` catches or ignores, the first bit for signal 1; 0 if it is gone."""
    raw = _read_all(f"/proc/{pid}/status") or b""
    fields = dict(line.split(b":", 1) for line in raw.splitlines() if b":" in line)
    return int(fields.get(b"SigIgn", b"0"), 16) | int(fields.get(b"SigCgt", b"0"), 16)


def transferred_bytes(pid: int) -> int:
    """Return how many bytes `pid` has read and written by system calls (io, rchar and wchar); 0 if not readable."""
    try:
        lines = read(f"/proc/{pid}/io").split(b"\n")
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in lines[:2])


def links(pid: int) -> Iterator[tuple[str, str]]:
    """Yield (descriptor, its target) of `pid`; nothing if it is gone, or not ours to read."""
    folder = f"/proc/{pid}/fd/"
    try:
        descriptors = os.listdir(folder)
    except OSError:
        return
    for descriptor in descriptors:
        try:
            yield descriptor, os.readlink(folder + descriptor)
        except OSError:
            continue


def open_files(pid: int) -> Counter[str]:
    """Count the descriptors of `pid` by kind: pipe, socket, file, shm, eventpoll, /dev/null..."""
    return Counter(_kind(link) for _, link in links(pid))


def _kind(link: str) -> str:
    if link.startswith("anon_inode:"):
        return link.removeprefix("anon_inode:").strip("[]")
    if link.startswith("/dev/shm/"):
        return "shm"
    if link.startswith("/memfd:"):
        return "memfd"
    if link.startswith("/dev/"):
        return link
    return "file" if link.startswith("/") else link.partition(":")[0]
