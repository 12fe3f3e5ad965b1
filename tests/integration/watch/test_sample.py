"""Samples of real trees: each task is found in the state it is in."""

import os
import signal
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from poolproof.watch import calls, procfs
from poolproof.watch import sample as sampling
from poolproof.watch.sample import TreeSample, sample

pytestmark = pytest.mark.integration

WAIT = "print('ready', flush=True)\nimport threading; threading.Event().wait()"
THREADS = (
    """
import threading
for _ in range(3):
    threading.Thread(target=threading.Event().wait, daemon=True).start()
"""
    + WAIT
)
ZOMBIE = "import os\nif os.fork() == 0: os._exit(0)\n" + WAIT
LOOP = "print('ready', flush=True)\nwhile True: pass"


def asleep(seen: TreeSample) -> TreeSample | None:
    return seen if seen.tasks and all(calls.is_blocked(t.call) for t in seen.tasks) else None


def test_every_thread_below_the_root_is_a_task_and_the_root_is_none(grow: Any) -> None:
    tree = grow(THREADS)
    found = tree.until(asleep)

    assert len(found.tasks) == len({task.tid for task in found.tasks}) == 4
    assert {task.pid for task in found.tasks} == set(found.pids)
    assert tree.root_pid not in found.pids


def test_a_task_carries_its_processs_birth(grow: Any) -> None:
    found = grow(THREADS).until(asleep)
    (pid,) = found.pids

    who = procfs.identity(pid)
    assert who is not None
    assert {task.born for task in found.tasks} == {who.born}


def test_no_thread_started_after_it_was_seen_or_before_its_process(grow: Any) -> None:
    found = grow(THREADS).until(asleep)
    first = next(task.started_ns for task in found.tasks if task.tid == task.pid)
    tick = 1_000_000_000 // procfs.TICKS_PER_SECOND

    assert all(first - tick < task.started_ns <= found.ended_ns for task in found.tasks)
    assert found.ended_ns - first < 60_000_000_000


def test_what_did_not_move_is_the_same_object_in_the_next_sample(grow: Any) -> None:
    tree = grow(THREADS)
    first = tree.until(asleep)
    second = sample(tree.root_pid, first)

    assert all(one is other for one, other in zip(first.tasks, second.tasks, strict=True))


def test_what_did_not_move_equals_itself_in_an_independent_sample(grow: Any) -> None:
    tree = grow(THREADS)
    tree.until(asleep)

    assert sample(tree.root_pid).tasks == sample(tree.root_pid).tasks


def test_a_task_made_runnable_that_has_not_run_yet_is_not_what_it_was(
    grow: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = grow(WAIT)
    asleep_before = tree.until(asleep)
    real = procfs.read
    monkeypatch.setattr(
        procfs, "read", lambda path: b"running\n" if path.endswith("syscall") else real(path)
    )

    assert sample(tree.root_pid, asleep_before).tasks[0].call == calls.RUNNING


def test_another_process_under_the_same_number_is_not_what_it_was(grow: Any) -> None:
    tree = grow(WAIT)
    seen = tree.until(asleep)
    stranger = replace(seen, tasks=tuple(replace(t, born=t.born - 1) for t in seen.tasks))

    assert sample(tree.root_pid, stranger).tasks == seen.tasks


def test_a_sample_tells_when_it_was_taken(grow: Any) -> None:
    found = sample(grow(WAIT).root_pid)

    assert found.time_ns < found.ended_ns


def test_a_busy_task_reads_running(grow: Any) -> None:
    task = grow(LOOP).task_in("R")

    assert task.call == calls.RUNNING


def test_a_stopped_task_reads_t(grow: Any) -> None:
    tree = grow(WAIT)
    (pid,) = tree.until(asleep).pids
    os.kill(pid, signal.SIGSTOP)

    assert tree.task_in("T").pid == pid


def test_all_threads_of_a_stopped_process_read_t(grow: Any) -> None:
    tree = grow(THREADS)
    (pid,) = tree.until(asleep).pids
    os.kill(pid, signal.SIGSTOP)

    assert tree.until(lambda seen: {t.state for t in seen.tasks} == {"T"} or None)


def test_a_zombie_is_a_task_of_state_z_but_no_process_that_is_alive(grow: Any) -> None:
    tree = grow(ZOMBIE)
    zombie = tree.task_in("Z")

    assert zombie.pid not in sample(tree.root_pid).pids
    assert zombie.wait == calls.UNLIMITED


def test_a_zombie_reads_the_same_for_who_may_not_read_its_call(
    grow: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = grow(ZOMBIE)
    usual = tree.task_in("Z")
    monkeypatch.setattr(procfs, "read", refuse("/syscall", PermissionError))
    refused = tree.task_in("Z")

    assert (refused.call, refused.wait, refused.exact) == (b"-1 0x0 0x0", calls.UNLIMITED, True)
    assert usual == refused


def test_a_task_that_ended_after_its_call_was_refused_reads_as_ended(
    grow: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree, refused = grow(ZOMBIE), list[str]()
    tree.task_in("Z")

    def read(path: str, real: Callable[[str], bytes] = procfs.read) -> bytes:
        if path.endswith("/syscall"):
            refused.append(path)
            raise PermissionError(path)
        if path.endswith("/stat") and refused and refused.pop():
            return real(path).replace(b") Z ", b") R ")
        return real(path)

    monkeypatch.setattr(procfs, "read", read)
    ended = tree.task_in("Z")

    assert (ended.call, ended.wait, ended.exact) == (b"-1 0x0 0x0", calls.UNLIMITED, True)


def test_a_root_that_is_gone_has_an_empty_tree(grow: Any) -> None:
    tree = grow(WAIT)
    tree.end()

    assert sample(tree.root_pid).tasks == ()


def refuse(name: str, error: type[OSError]) -> Callable[[str], bytes]:
    real = procfs.read

    def read(path: str) -> bytes:
        if path.endswith(name):
            raise error(path)
        return real(path)

    return read


@pytest.mark.parametrize("error", [PermissionError, FileNotFoundError])
def test_without_the_call_the_state_and_place_stand_for_it_and_the_sample_says_so(
    grow: Any, monkeypatch: pytest.MonkeyPatch, error: type[OSError]
) -> None:
    tree = grow(WAIT)
    assert tree.until(asleep).exact
    monkeypatch.setattr(procfs, "read", refuse("/syscall", error))
    found = sample(tree.root_pid)

    assert not found.exact
    assert [t.call.split()[:2] for t in found.tasks] == [[b"?", b"S"]]
    assert found.tasks[0].wait == calls.UNREADABLE


def test_without_the_call_a_busy_task_still_reads_running(
    grow: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = grow(LOOP)
    monkeypatch.setattr(procfs, "read", refuse("/syscall", PermissionError))

    assert tree.task_in("R").call == calls.RUNNING


def test_without_the_place_too_the_state_is_left(
    grow: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = grow(WAIT)
    tree.until(asleep)
    read = refuse("/syscall", PermissionError)
    monkeypatch.setattr(procfs, "read", read)
    monkeypatch.setattr(procfs, "read", refuse("/wchan", PermissionError))

    assert sample(tree.root_pid).tasks[0].call == b"? S 0"


@pytest.mark.parametrize("missing", [True, False], ids=["no schedstat file", "all zeros"])
def test_without_schedstat_context_switches_show_that_a_task_ran(
    grow: Any, monkeypatch: pytest.MonkeyPatch, *, missing: bool
) -> None:
    real = procfs.read
    tree = grow("import time\nprint('ready', flush=True)\nwhile True: time.sleep(0.001)")

    def read(path: str) -> bytes:
        if not path.endswith("schedstat"):
            return real(path)
        if missing:
            raise FileNotFoundError(path)
        return b"0 0 0\n"

    monkeypatch.setattr(procfs, "read", read)
    first = sample(tree.root_pid).tasks[0].schedstat[2]

    assert first > 0
    assert tree.until(lambda seen: seen.tasks[0].schedstat[2] > first or None)


def test_memory_that_may_not_be_read_leaves_a_time_out_unreadable() -> None:
    nobody = 2**22 + 1  # beyond the largest number that the kernel gives a process
    line = b"202 0xa 0x89 0x2 0xbeef 0x0 0x0 0x1 0x1"

    assert sampling._wait(nobody, line, exact=True) == calls.UNREADABLE


def test_an_address_beyond_memory_leaves_a_time_out_unreadable() -> None:
    line = b"202 0xa 0x89 0x2 0xffffffffffffff00 0x0 0x0 0x1 0x1"

    assert sampling._wait(os.getpid(), line, exact=True) == calls.UNREADABLE
