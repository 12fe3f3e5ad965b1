"""Whose a process is, and how it is ended."""

import os
import signal
import subprocess
import sys
import time
from typing import Any

import pytest

from poolproof.isolation import processes
from poolproof.isolation.processes import Started
from poolproof.watch import procfs

pytestmark = pytest.mark.unit


def test_where_no_process_was_born_nobody_is_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "last_pid", lambda: 4711)
    started = Started("A=b")

    def fail() -> Any:
        raise AssertionError

    monkeypatch.setattr(processes, "below", fail)
    assert started.left() == []
    monkeypatch.setattr(processes, "last_pid", lambda: 4712)
    with pytest.raises(AssertionError):
        started.left()


@pytest.mark.parametrize("latest", [2**22, 0])
def test_where_the_numbers_have_begun_anew_everybody_is_looked_at(
    monkeypatch: pytest.MonkeyPatch, latest: int
) -> None:
    first = processes.last_pid()
    started = Started("BOX=young")
    with subprocess.Popen(["sleep", "600"], env={"BOX": "young"}, start_new_session=True) as child:
        monkeypatch.setattr(processes, "below", set)
        monkeypatch.setattr(processes, "last_pid", lambda: latest)
        deadline = time.monotonic() + 10
        while procfs.environ(child.pid) != [b"BOX=young", b""]:
            assert time.monotonic() < deadline

        assert first < child.pid
        assert [who.pid for who in started.left()] == [child.pid]
        child.kill()


def test_the_birth_of_a_process_changes_the_last_pid() -> None:
    before = processes.last_pid()
    subprocess.run(["true"], check=True)

    assert processes.last_pid() != before


# In a process of its own: what multiprocessing keeps, it keeps until the interpreter's end.
SERVANTS = """
import multiprocessing, os
from multiprocessing import forkserver, resource_tracker
from poolproof.isolation import processes

started = processes.Started("A=b")
resource_tracker.ensure_running()
child = multiprocessing.get_context("forkserver").Process(target=os.getpid)
child.start()
child.join()
servants = {resource_tracker._resource_tracker._pid, forkserver._forkserver._forkserver_pid}
assert servants == {who.pid for who in processes.infrastructure()}
assert servants <= {who.pid for who in processes.below()}
assert started.left() == []
"""


def test_what_multiprocessing_keeps_for_itself_is_nobodys() -> None:
    subprocess.run([sys.executable, "-c", SERVANTS], check=True)


def test_a_process_of_ours_that_serves_every_test_is_nobodys_until_it_ends() -> None:
    started = Started("A=b")
    with subprocess.Popen(["sleep", "600"]) as child:
        who = procfs.identity(child.pid)
        assert who
        assert started.left() == [who]
        processes.serves_all(child.pid)
        assert started.left() == []
        child.kill()
        child.wait()
    processes.serves_all(2**22 + 1)

    assert who not in processes.infrastructure()


def test_who_carries_a_token_is_found_and_who_carries_another_is_not() -> None:
    with subprocess.Popen(["sleep", "600"], env={"BOX": "mine"}) as child:
        # Between fork and exec, it has our environment.
        deadline = time.monotonic() + 10
        while procfs.environ(child.pid) != [b"BOX=mine", b""]:
            assert time.monotonic() < deadline

        assert [who.pid for who in processes.carriers(["A=b", "BOX=mine"])] == [child.pid]
        assert list(processes.carriers(["BOX=min"])) == []
        child.kill()


def test_one_that_stands_still_is_ended_too() -> None:
    with subprocess.Popen(["sleep", "600"]) as child:
        child.send_signal(signal.SIGSTOP)
        who = procfs.identity(child.pid)
        assert who

        assert processes.end([who]) == []
        assert child.wait(10) == -signal.SIGTERM


def test_what_would_not_die_is_returned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "send_signal", lambda *_: True)
    monkeypatch.setattr(processes, "KILL_SECONDS", 0.01)
    with subprocess.Popen(["sleep", "600"]) as child:
        who = procfs.identity(child.pid)
        assert who

        assert processes.end([who], grace=0.01) == [who]
        child.kill()


def test_who_is_gone_already_has_ended() -> None:
    with subprocess.Popen(["true"]) as child:
        who = procfs.identity(child.pid)
        assert who
        child.wait()

        assert processes.end([who]) == []
        assert processes.parent(who) in {None, os.getpid()}


def test_the_title_says_what_was_executed() -> None:
    with subprocess.Popen(["sleep", "600"]) as child:
        who = procfs.identity(child.pid)
        assert who
        deadline = time.monotonic() + 10
        while procfs.cmdline(child.pid)[:1] != ("sleep",):
            assert time.monotonic() < deadline

        assert processes.title(who) == f"{child.pid} (sleep 600)"
        child.kill()
