"""Process trees to look at: a shell as the root, below it a Python program of the test's own."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import TypeVar

import pytest

from poolproof.watch import procfs
from poolproof.watch.sample import Task, TreeSample, sample

T = TypeVar("T")
PAUSE_S = 0.005


class Tree:
    """A running tree; `root_pid` is the shell above it."""

    def __init__(self, program: str) -> None:
        self.process = subprocess.Popen(
            ["/bin/sh", "-c", '"$0" -c "$1"; :', sys.executable, program],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self.root_pid = self.process.pid

    def line(self) -> str:
        """The next line that the program prints."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().decode().strip()

    def tell(self) -> None:
        """Let the program's next read of its standard input return."""
        assert self.process.stdin is not None
        self.process.stdin.write(b"\n")
        self.process.stdin.flush()

    def until(self, wanted: Callable[[TreeSample], T | None], timeout: float = 20) -> T:
        """Sample until `wanted` finds what it looks for, and return that."""
        last = sample(self.root_pid)
        deadline = time.monotonic() + timeout
        while (found := wanted(last)) is None:
            assert time.monotonic() < deadline, f"never seen; last were {last.tasks}"
            time.sleep(PAUSE_S)
            last = sample(self.root_pid, last)
        return found

    def task_in(self, state: str, tid: int | None = None) -> Task:
        """The first task found in that state."""
        return self.until(
            lambda seen: next(
                (t for t in seen.tasks if t.state == state and tid in (None, t.tid)), None
            )
        )

    def end(self) -> None:
        for pid in (*procfs.descendants(self.root_pid), self.root_pid):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.communicate()


@pytest.fixture
def grow() -> Iterator[Callable[[str], Tree]]:
    """Start a tree around a Python program, and return when it has printed its first line."""
    trees: list[Tree] = []

    def start(program: str) -> Tree:
        trees.append(Tree(program))
        assert trees[-1].line() == "ready"
        return trees[-1]

    yield start
    for tree in trees:
        tree.end()
