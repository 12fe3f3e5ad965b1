"""Orphans come to the process that runs the tests, and none of what tests have started outlives the run.

A worker of pytest-xdist adopts what falls from its own children; when a worker dies, the controller adopts and ends
what it had. Linux only: elsewhere orphans go to init, and cannot be seen.

Init would wait for an orphan as soon as it ends; here it stays as a zombie until its test is over, or until somebody
signals it and it is an orphan for certain. Whose child it is by birth nobody can tell else, and to wait for one whose
status is somebody's to read would take that away.
"""

import os
import sys
from collections import deque
from collections.abc import Generator
from contextlib import suppress
from typing import Any, Final

import pytest

from poolproof.agent.containment import become_subreaper
from poolproof.isolation import processes
from poolproof.isolation.blame import Notes
from poolproof.isolation.resources.children import collect, end_tree
from poolproof.watch import procfs

MOST_STRANGERS: Final = 256


class Adoption:
    """The hooks of one process: it adopts from the beginning, and clears at its end."""

    def __init__(self, notes: Notes) -> None:
        """Adopt from here on.

        Args:
            notes: they tell who is signalled.
        """
        self._pid = os.getpid()
        self._session = os.getsid(0)
        self._strangers: deque[procfs.Identity] = deque(maxlen=MOST_STRANGERS)
        self._before = _below()
        self._workers: set[int] = set()
        if sys.platform.startswith("linux"):
            with suppress(OSError):  # a kernel that cannot: then orphans are init's
                become_subreaper()
                notes.signalled = self.signalled

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_call(self) -> Generator[None, object, object]:
        """End a child that was forked in a test and has come back: it would run all other tests once more."""
        pid = os.getpid()
        try:
            return (yield)
        finally:
            if os.getpid() != pid:
                os._exit(1)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self) -> None:
        """End what tests have started, so that nothing of theirs holds this process's pipes open."""
        if os.getpid() == self._pid:
            with suppress(OSError):  # what is not ours to look at
                self.clear()

    def signalled(self, pid: int) -> None:
        """Wait for whom somebody is about to signal, if it has ended and was never a child of this process by birth.

        So a test that asks for a number by signal 0, until it is nobody's, comes to its end.
        """
        found = procfs.stat(pid) if pid > 0 and os.getpid() == self._pid else None
        if found is None:
            return
        who = procfs.Identity(pid, found.born)
        if found.parent != self._pid:
            self._strangers.append(who)
        elif found.state == "Z" and self._was_adopted(who, found.session):
            with suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)

    def _was_adopted(self, who: procfs.Identity, session: int) -> bool:
        """Tell whether it had another parent: it was seen, or made by a member of a session that this was never in.

        A process inherits its session, and leaves it only for one that has its own number.
        """
        possible = (who.pid, self._session, os.getsid(0))
        return who not in self._before and (session not in possible or who in self._strangers)

    def clear(self) -> None:
        """End every process below that came after the beginning, and is no worker and no servant."""
        spared = self._before | processes.infrastructure()
        for who in [who for who in _below() - spared if who.pid not in self._workers]:
            if os.getpid() == self._pid and not self._is_workers(who):
                end_tree(who)
                collect(who.pid)

    def _is_workers(self, who: procfs.Identity) -> bool:
        return any(who.pid in procfs.descendants(worker) for worker in self._workers)

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """Note who is a worker of pytest-xdist."""
        with suppress(AttributeError):
            self._workers.add(node.gateway._io.popen.pid)  # noqa: SLF001 (execnet has no other way)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any, error: object) -> None:
        """End what a worker has left that has died."""
        with suppress(AttributeError):
            self._workers.discard(node.gateway._io.popen.pid)  # noqa: SLF001
        if error:
            self.clear()


def _below() -> set[procfs.Identity]:
    pids = procfs.descendants(os.getpid())
    return {who for pid in pids if (who := procfs.identity(pid)) is not None}
