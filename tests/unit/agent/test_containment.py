"""A tree that is kept together: orphans come home, nobody outlives his parent, and all of it can be ended."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable

import pytest

from poolproof.agent import containment
from poolproof.watch import procfs

pytestmark = pytest.mark.unit

IN_CHILD = "import os, subprocess, sys; from poolproof.agent import containment\n"


def run(program: str) -> subprocess.CompletedProcess[str]:
    """Run a program of its own, for what must not be done to the process of the tests."""
    return subprocess.run(
        [sys.executable, "-c", IN_CHILD + program], capture_output=True, text=True, check=False
    )


def test_orphans_become_the_subreapers_own() -> None:
    program = """
containment.become_subreaper()
orphan = subprocess.Popen(["sh", "-c", "sleep 600 & echo $!"], stdout=subprocess.PIPE)
pid = int(orphan.stdout.readline())
orphan.wait()
print(containment.descendants(os.getpid()) == [pid], flush=True)
containment.end_all_below(os.getpid())
print(containment.descendants(os.getpid()), flush=True)
"""
    assert run(program).stdout.split("\n") == ["True", "[]", ""]


def test_an_option_that_the_kernel_does_not_know_is_an_error() -> None:
    with pytest.raises(OSError, match="Invalid argument"):
        containment._prctl(-1, 0)


def test_who_has_lost_its_parent_already_ends_at_once() -> None:
    ended = run("containment.die_with_parent(1 if os.getppid() != 1 else 2); print('alive')")

    assert (ended.returncode, ended.stdout) == (1, "")


def test_who_has_its_parent_still_lives() -> None:
    assert run("containment.die_with_parent(os.getppid()); print('alive')").stdout == "alive\n"


def test_who_loses_its_parent_dies() -> None:
    program = """
child = subprocess.Popen(
    [sys.executable, "-c",
     "import os, sys; from poolproof.agent import containment;"
     "containment.die_with_parent(os.getppid()); print(os.getpid(), flush=True); sys.stdin.read()"],
    stdin=subprocess.PIPE, stdout=subprocess.PIPE)
print(child.stdout.readline().decode(), flush=True)
os._exit(0)
"""
    child = int(run(program).stdout)

    while (found := procfs.stat(child)) is not None and found.state != "Z":
        pass


def test_descendants_are_told_parents_first() -> None:
    with subprocess.Popen(
        ["sh", "-c", "(sleep 600; :) & (sleep 600; :) & echo ready; wait"], stdout=subprocess.PIPE
    ) as top:
        try:
            _until(lambda: len(containment.descendants(top.pid)) == 4)
            found = containment.descendants(top.pid)

            assert sorted(found[:2]) == sorted(containment.children(top.pid))
            assert all(procfs.stat(pid) for pid in found)
        finally:
            for pid in (*containment.descendants(top.pid), top.pid):
                os.kill(pid, signal.SIGKILL)


def test_who_is_gone_has_no_children() -> None:
    assert list(containment.children(2**22 + 1)) == []
    assert containment.descendants(2**22 + 1) == []


def test_all_below_are_ended_and_reaped_even_those_that_fork_on() -> None:
    program = """
containment.become_subreaper()
subprocess.Popen(["sh", "-c", "while :; do (sleep 600 &) ; (sleep 600 &) ; done"])
while len(containment.descendants(os.getpid())) < 20: pass
containment.end_all_below(os.getpid())
print(containment.descendants(os.getpid()), containment.reap())
"""
    assert run(program).stdout == "[] []\n"


def test_what_the_killed_left_in_shared_memory_is_removed_by_their_tracker() -> None:
    program = """
containment.become_subreaper()
owner = subprocess.Popen([sys.executable, "-c",
    "import multiprocessing, sys;"
    "lock = multiprocessing.get_context('spawn').Lock();"
    "print(lock._semlock.name, flush=True); sys.stdin.read()"],
    stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
name = "/dev/shm/sem." + owner.stdout.readline().strip().lstrip("/")
before = os.path.exists(name)
containment.end_all_below(os.getpid())
print(before, os.path.exists(name), containment.descendants(os.getpid()))
"""
    assert run(program).stdout == "True False []\n"


def test_a_tracker_that_does_not_end_is_ended_when_its_time_is_over() -> None:
    program = """
containment.become_subreaper()
containment.TRACKER_SECONDS = 0.02
child = subprocess.Popen(["sh", "-c", "echo; sleep 600; :", "resource_tracker"], stdout=subprocess.PIPE)
child.stdout.readline()
print(containment.is_tracker(child.pid))
containment.end_all_below(os.getpid())
print(containment.descendants(os.getpid()))
"""
    assert run(program).stdout == "True\n[]\n"


def test_the_dead_are_reaped_with_their_status() -> None:
    program = """
child = os.fork()
if not child: os._exit(3)
found = []
while not found: found = containment.reap()
print(found == [(child, 3 << 8)], containment.reap())
"""
    assert run(program).stdout == "True []\n"


def _until(fact: Callable[[], bool]) -> None:
    while not fact():
        pass
