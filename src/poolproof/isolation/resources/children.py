"""Processes: those that a test has started, and the orphans that it let fall."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, Final

from poolproof.agent.containment import TRACKERS, started_module
from poolproof.isolation import processes
from poolproof.isolation.blame import Notes, Site
from poolproof.isolation.instances import instances
from poolproof.isolation.resources.base import Change, Finding, State, shown
from poolproof.watch import procfs

MOST_ROUNDS: Final = 10


class Children:
    """The direct children of this process. Where it is a subreaper, orphans from below become such."""

    slugs = ("child", "orphan")
    steady = False
    fades = True

    def look(self) -> State:
        """Return the pids, dead ones that nobody has waited for too; without any child, by one call."""
        try:
            os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return {}
        return dict.fromkeys(_children(), True)

    def judge(self, change: Change, notes: Notes) -> Finding | None:
        """Report a child that came in this turn and is not one of multiprocessing's servants."""
        pid = change.key
        assert isinstance(pid, int)
        who = procfs.identity(pid)
        if not change.appeared or who is None or who in processes.infrastructure():
            return None
        if _collected(pid):
            return None
        argv = procfs.cmdline(pid)
        known, site = _origin(pid, argv, notes)
        if not known and started_module(argv) in TRACKERS:
            return None  # of one that has ended: it removes what that has left, and then goes by itself
        if not notes.mine(site) or (not argv and not known and _buried(pid)):
            return None
        name = shown(" ".join(argv)) if argv else "(ended, never waited for)"
        return Finding(
            resource="child" if known else "orphan",
            what=f"process {pid}: {name}",
            where=f"started at {site}" if site else "",
        )

    def objects(self, change: Change) -> list[object]:
        """Return the object that waits for it."""
        assert isinstance(change.key, int)
        owner: object = _owner(change.key)
        return [] if owner is None else [owner]

    def undo(self, change: Change) -> None:
        """End it and all that is below it, then wait for it as its owner would."""
        pid = change.key
        assert isinstance(pid, int)
        if (who := procfs.identity(pid)) is not None:
            end_tree(who)
        collect(pid)


def end_tree(top: procfs.Identity) -> None:
    """End a process and all below it; what they fork meanwhile is found in the next round."""
    for _ in range(MOST_ROUNDS):
        below = [procfs.identity(pid) for pid in procfs.descendants(top.pid)]
        left = [who for who in (top, *below) if who is not None and procfs.alive(who)]
        if not left:
            return
        processes.end(left, grace=0.2)


def collect(pid: int) -> None:
    """Wait for an ended child through the object that owns it, else in its stead."""
    owner = _owner(pid)
    with suppress(Exception):
        if isinstance(owner, subprocess.Popen):
            owner.wait(timeout=1)
            return
        if owner is not None:
            owner.join(1)
            return
    with suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)


def _children() -> Iterator[int]:
    with suppress(OSError):
        for thread in os.listdir("/proc/self/task"):
            with suppress(OSError):
                yield from map(int, procfs.read(f"/proc/self/task/{thread}/children").split())


def _owner(pid: int) -> Any:
    """Return the object that will wait for a child: multiprocessing's, else one of `subprocess`."""
    started: set[Any] = getattr(sys.modules.get("multiprocessing.process"), "_children", set())
    both: list[Any] = [*started, *instances(subprocess.Popen)]
    return next((process for process in both if process.pid == pid), None)


def _collected(pid: int) -> bool:
    """Tell whether it is a zombie that is gone once `subprocess` or `multiprocessing` looks after it."""
    if procfs.state(pid) not in ("Z", None):
        return False
    with suppress(Exception):
        subprocess._cleanup()  # type: ignore[attr-defined]  # noqa: SLF001 (it polls what nobody holds)
    if "multiprocessing" in sys.modules:
        sys.modules["multiprocessing"].active_children()
    return procfs.identity(pid) is None


def _buried(pid: int) -> bool:
    """Wait for an orphan that has ended: it came to us because nobody else is left to do it."""
    with suppress(ChildProcessError):
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    return True


def _origin(pid: int, argv: tuple[str, ...], notes: Notes) -> tuple[bool, Site | None]:
    """Return whether this process itself started it, and where; a fork has the command line of its parent."""
    forked = argv == procfs.cmdline(os.getpid())
    for noted, site in reversed(notes.children.copy()):
        if noted == argv or (not noted and (forked or not argv)):
            return True, site
    owned = _owner(pid) is not None
    last = notes.children[-1][1] if notes.children else None
    return owned, last
