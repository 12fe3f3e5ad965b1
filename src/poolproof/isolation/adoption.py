"""Orphans come to the process that runs the tests, and none of what tests have started outlives the run.

A worker of pytest-xdist adopts what falls from its own children; when a worker dies, the controller adopts and ends
what it had. Linux only: elsewhere orphans go to init, and cannot be seen.
"""

import os
import sys
from collections.abc import Generator
from contextlib import suppress
from typing import Any

import pytest

from poolproof.agent.containment import become_subreaper
from poolproof.isolation import processes
from poolproof.isolation.resources.children import collect, end_tree
from poolproof.watch import procfs


class Adoption:
    """The hooks of one process: it adopts from the beginning, and clears at its end."""

    def __init__(self) -> None:
        self._pid = os.getpid()
        self._before = _below()
        self._workers: set[int] = set()
        if sys.platform.startswith("linux"):
            with suppress(OSError):  # a kernel that cannot: then orphans are init's
                become_subreaper()

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
