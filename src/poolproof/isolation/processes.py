"""The processes that a test has started, and their end.

A process belongs to whoever was in charge when it appeared below us, or whose token it carries, never by its name.
"""

import os
import select
import signal
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Final

from poolproof.isolation.containment import send_signal
from poolproof.watch import procfs

GRACE_SECONDS: Final = 1.0
KILL_SECONDS: Final = 5.0


class Started:
    """The processes that appear below this one from now on.

    Args:
        token: an environment entry, KEY=value, that they may carry; those are found wherever they have gone.
    """

    def __init__(self, token: str) -> None:
        self._token = token
        self._before = below()
        self._last_pid = last_pid()

    def spare(self, others: Iterable[procfs.Identity]) -> None:
        """Count these as somebody else's: a fixture of a wider scope has started them meanwhile."""
        self._before |= set(others)

    def left(self) -> list[procfs.Identity]:
        """Return those that still run; where no process was born at all, that costs the reading of one small file."""
        latest = last_pid()
        if latest == self._last_pid:
            return []
        # Numbers are given out in order; when they have begun anew, anybody may be young.
        young = range(self._last_pid + 1, latest + 1) if latest > self._last_pid else None
        found = below() | set(carriers([self._token], young))
        return [who for who in found - self._before - infrastructure() if procfs.alive(who)]


def below() -> set[procfs.Identity]:
    """Return who is below this process now."""
    pids = procfs.descendants(os.getpid())
    return {who for pid in pids if (who := procfs.identity(pid)) is not None}


def carriers(tokens: list[str], among: range | None = None) -> Iterator[procfs.Identity]:
    """Yield the processes that were executed with one of these entries in their environment, but for this one.

    Args:
        tokens: entries, KEY=value.
        among: the pids to look at; None means all.
    """
    entries = {token.encode() for token in tokens}
    pids = {int(name) for name in os.listdir("/proc") if name.isdigit()} - {os.getpid()}
    for pid in pids if among is None else pids.intersection(among):
        if entries.intersection(procfs.environ(pid)):
            who = procfs.identity(pid)
            if who is not None:
                yield who


def parent(who: procfs.Identity) -> int | None:
    """Return the pid of its parent; None if it is gone."""
    found = procfs.stat(who.pid)
    return None if found is None else found.parent


def title(who: procfs.Identity) -> str:
    """Return what a person needs to recognise it."""
    return f"{who.pid} ({' '.join(procfs.cmdline(who.pid))[:100] or '?'})"


def last_pid() -> int:
    """Return the number of the latest process or thread that was born on this machine (/proc/loadavg, last field)."""
    return int(procfs.read("/proc/loadavg").split()[-1])


def infrastructure() -> set[procfs.Identity]:
    """Return the processes that serve every test: multiprocessing's own, and those of `serves_all`."""
    return {who for pid in _servants() if (who := procfs.identity(pid)) is not None} | _serving


_serving: Final[set[procfs.Identity]] = set()


def serves_all(pid: int) -> None:
    """Count a process, which this one has just started, as a servant of every test: no sandbox ends it."""
    _serving.intersection_update({who for who in _serving if procfs.alive(who)})
    if (who := procfs.identity(pid)) is not None:
        _serving.add(who)


def _servants() -> Iterator[int]:
    for module, holder, attribute in (
        ("multiprocessing.resource_tracker", "_resource_tracker", "_pid"),
        ("multiprocessing.forkserver", "_forkserver", "_forkserver_pid"),
    ):
        pid = getattr(getattr(sys.modules.get(module), holder, None), attribute, None)
        if isinstance(pid, int):
            yield pid


def end(found: Iterable[procfs.Identity], *, grace: float = GRACE_SECONDS) -> list[procfs.Identity]:
    """Ask them to end, then force them; return those that live even so.

    SIGTERM comes first, so that coverage and other clean-up of theirs can happen.

    Args:
        found: the processes.
        grace: how many seconds they have after SIGTERM.
    """
    left = list(found)
    for number, seconds in ((signal.SIGTERM, grace), (signal.SIGKILL, KILL_SECONDS)):
        for who in left:
            send_signal(who, number)
            send_signal(who, signal.SIGCONT)  # one that is stopped could not even die of SIGTERM
        left = _outlive(left, time.monotonic() + seconds)
        if not left:
            break
    return left


def _outlive(found: list[procfs.Identity], deadline: float) -> list[procfs.Identity]:
    for who in found:
        with suppress(OSError):  # it is gone, and the pid is nobody's
            _wait(who, deadline)
    return [who for who in found if procfs.alive(who)]


def _wait(who: procfs.Identity, deadline: float) -> None:
    descriptor = os.pidfd_open(who.pid)
    try:
        if procfs.alive(who):
            poll = select.poll()
            poll.register(descriptor, select.POLLIN)
            poll.poll(max(deadline - time.monotonic(), 0) * 1000)
    finally:
        os.close(descriptor)
