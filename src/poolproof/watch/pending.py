"""What may yet wake a sleeping tree: kernel timers, and bytes under way. Linux only.

A timerfd shows when it ends. A POSIX timer, an interval timer (setitimer, alarm: seen only by a
handler or a mask for SIGALRM) and a TCP segment that is not acknowledged show that they may, not
when. Nothing shows an alarm whose signal ends the process, nor what comes from outside of the tree:
a server, a file lock, a FIFO that the controller opens.
"""

import re
import signal
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from poolproof.watch import procfs

_NS: Final = 1_000_000_000
_MASKS: Final = re.compile(r"^Sig(?:Cgt|Blk):\s*([0-9a-f]+)$", re.MULTILINE)
_VALUE: Final = re.compile(r"^it_value: \((\d+), (\d+)\)$", re.MULTILINE)
_ALARM_BIT: Final = 1 << (signal.SIGALRM - 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """What was found.

    Attributes:
        due_ns: the earliest end of a timer that shows it, in CLOCK_MONOTONIC.
        unseen: the processes that hold something whose time cannot be read.
    """

    due_ns: int | None = None
    unseen: frozenset[int] = frozenset()


NOTHING_PENDING: Final = Pending()


def pending(pids: Iterable[int], now_ns: int) -> Pending:
    """Look at the processes once; about 0.05 ms each, so only when a tree is suspected.

    What ends while it looks is gone from the list; only a sample taken afterwards shows that.
    """
    ends: list[int] = []
    unseen: set[int] = set()
    for pid in pids:
        links = list(procfs.links(pid))
        timers = (
            _remaining_ns(pid, descriptor)
            for descriptor, link in links
            if link == "anon_inode:[timerfd]"
        )
        ends.extend(now_ns + remaining for remaining in timers if remaining)
        sockets = {link[len("socket:[") : -1] for _, link in links if link.startswith("socket:[")}
        if (
            _has_posix_timers(pid)
            or _expects_alarm(pid)
            or (sockets and not sockets.isdisjoint(_sending(pid)))
        ):
            unseen.add(pid)
    return Pending(due_ns=min(ends, default=None), unseen=frozenset(unseen))


def _text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""


def _remaining_ns(pid: int, descriptor: str) -> int:
    found = _VALUE.search(_text(f"/proc/{pid}/fdinfo/{descriptor}"))
    return int(found[1]) * _NS + int(found[2]) if found else 0


def _has_posix_timers(pid: int) -> bool:
    return bool(_text(f"/proc/{pid}/timers"))


def _expects_alarm(pid: int) -> bool:
    return any(int(mask, 16) & _ALARM_BIT for mask in _MASKS.findall(_text(f"/proc/{pid}/status")))


def _sending(pid: int) -> set[str]:
    """The inodes of all TCP sockets of the process's namespace with bytes not acknowledged."""
    lines = [
        line
        for name in ("tcp", "tcp6")
        for line in _text(f"/proc/{pid}/net/{name}").splitlines()[1:]
    ]
    rows = (line.split() for line in lines)
    return {inode for *_, queues, _, _, _, _, inode in (row[:10] for row in rows) if _sends(queues)}


def _sends(queues: str) -> bool:
    return not queues.startswith("00000000:")
