"""Whole trees are watched: real pools, pollers and timers are judged as they should be."""

import os
import signal
import time
from typing import Any

import pytest

from poolproof.watch import watch as module
from poolproof.watch.pending import Pending
from poolproof.watch.quiet import Empty, Idling, Motion, Moving, Quiet, Quietness
from poolproof.watch.watch import Watch

pytestmark = pytest.mark.integration

MS = 1_000_000
POLLER = """
import os, select
print('ready', flush=True)
while True:
    select.select([], [], [], {period})
"""
TIMER = """
import asyncio, time
async def main():
    print('ready', flush=True)
    await asyncio.sleep(0.2)
    print('rang', time.monotonic_ns(), flush=True)
asyncio.run(main())
import threading; threading.Event().wait()
"""


def verdicts(watch: Watch, wanted: type, *, mark: int = 0, timeout: float = 20) -> list[Any]:
    """Look every 5 ms until a verdict of the wanted kind; return all that were given."""
    found = [watch.look(mark)]
    deadline = time.monotonic() + timeout
    while not isinstance(found[-1], wanted):
        assert time.monotonic() < deadline, found[-1]
        time.sleep(0.005)
        found.append(watch.look(mark))
    return found


# One of the idle workers holds the lock of the queue while it waits for a job: killed, it takes it
# with it.
STUCK_POOL = """
import multiprocessing, os, signal, time
pool = multiprocessing.get_context('fork').Pool(2)
assert pool.map(abs, [-1, -2]) == [1, 2]
while pool._inqueue._rlock._semlock._get_value():
    time.sleep(0.001)
victims = list(pool._pool)
for victim in victims:
    os.kill(victim.pid, signal.SIGKILL)
while any(worker in victims for worker in pool._pool):
    time.sleep(0.001)
job = pool.apply_async(abs, [-1])
print('ready', flush=True)
job.get()
"""


def test_a_pool_that_lost_its_lock_with_an_idle_worker_is_quiet_within_100_ms_of_stillness(
    grow: Any,
) -> None:
    """python/cpython#66587: nothing in it will ever move again, though a job waits."""
    watch, looked = Watch(grow(STUCK_POOL).root_pid), [time.monotonic_ns()]
    while not isinstance(verdict := watch.look(0), Quiet):
        time.sleep(0.005)
        looked.append(time.monotonic_ns())

    assert verdict.due_ns is None
    # How late the last look came is the scheduler's matter: the one before it was too early to tell.
    assert looked[-2] - verdict.since_ns < 100 * MS


def test_a_quiet_tree_does_not_move_by_itself(grow: Any) -> None:
    watch = Watch(grow(STUCK_POOL).root_pid)
    verdicts(watch, Quiet)
    before = watch.fingerprint()
    verdicts(Watch(watch._root_pid, Quietness(window_ns=200 * MS)), Quiet)

    assert watch.motion_since(before) is Motion.NONE


def test_there_is_no_fingerprint_before_a_look(grow: Any) -> None:
    with pytest.raises(RuntimeError, match=r"^expected a look before"):
        Watch(grow("print('ready', flush=True)").root_pid).fingerprint()


def test_a_tree_that_was_told_something_moved(grow: Any) -> None:
    tree = grow(
        "import sys\nprint('ready', flush=True)\nsys.stdin.readline()\nsys.stdin.readline()"
    )
    watch = Watch(tree.root_pid)
    verdicts(watch, Quiet)
    before = watch.fingerprint()
    tree.tell()

    assert tree.until(lambda _: watch.motion_since(before) is Motion.RAN or None)


def test_a_timer_that_ends_while_it_is_asked_for_is_not_overlooked(
    grow: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = grow(
        "import sys\nprint('ready', flush=True)\nsys.stdin.readline()\nprint(flush=True)\n"
        "sys.stdin.readline()"
    )

    def ends_meanwhile(_pids: object, _now_ns: int) -> Pending:
        tree.tell()
        tree.line()
        return Pending()

    watch = Watch(tree.root_pid)
    verdicts(watch, Quiet)
    monkeypatch.setattr(module, "pending", ends_meanwhile)

    assert isinstance(watch.look(0), Moving)


@pytest.mark.parametrize("period", [0.25, 0.005], ids=["4 a second", "200 a second"])
def test_a_poller_idles_and_is_never_quiet(grow: Any, period: float) -> None:
    found = verdicts(Watch(grow(POLLER.format(period=period)).root_pid), Idling)

    assert not any(isinstance(verdict, Quiet) for verdict in found)
    assert found[-1].periods >= 3
    # On a crowded machine a late wake is followed by an early one, and looks come late.
    assert found[-1].period_ns >= period * 1e9 * 0.5


def test_a_timer_of_asyncio_that_ends_within_the_horizon_keeps_the_tree_moving(grow: Any) -> None:
    tree = grow(TIMER)
    quiet = verdicts(Watch(tree.root_pid), Quiet)[-1]
    rang = tree.line().split()

    assert rang[0] == "rang"
    assert quiet.since_ns > int(rang[1])


def test_a_timerfd_within_the_horizon_keeps_the_tree_moving(grow: Any) -> None:
    tree = grow("""
import ctypes, os, time
timer = ctypes.CDLL(None).timerfd_create(1, 0)
ctypes.CDLL(None).timerfd_settime(timer, 0, (ctypes.c_long * 4)(0, 0, 0, 200_000_000), None)
print('ready', flush=True)
os.read(timer, 8)
print(time.monotonic_ns(), flush=True)
import threading; threading.Event().wait()
""")
    quiet = verdicts(Watch(tree.root_pid), Quiet)[-1]

    assert quiet.since_ns > int(tree.line())


def test_an_alarm_within_the_horizon_keeps_the_tree_moving(grow: Any) -> None:
    tree = grow("""
import signal, time
signal.signal(signal.SIGALRM, lambda *_: None)
signal.setitimer(signal.ITIMER_REAL, 0.2)
print('ready', flush=True)
signal.pause()
print(time.monotonic_ns(), flush=True)
signal.pause()
""")
    quiet = verdicts(Watch(tree.root_pid), Quiet)[-1]

    assert quiet.since_ns > int(tree.line())
    assert not quiet.exact


def test_a_busy_loop_beside_a_poller_is_neither_quiet_nor_idling(grow: Any) -> None:
    tree = grow(
        "import threading\nthreading.Thread(target=lambda: [0 for _ in iter(int, 1)],"
        " daemon=True).start()\n" + POLLER.format(period=0.01)
    )
    found: list[Any] = []
    while len(found) < 20:  # a crowded machine gives a busy loop less than what is idle elsewhere
        judged_by = Quietness(idle_min_ns=100 * MS, idle_cpu_share=0.02)
        found += fed_looks(Watch(tree.root_pid, judged_by))

    assert all(isinstance(verdict, Moving) for verdict in found)


def fed_looks(watch: Watch) -> list[Any]:
    """Look for 300 ms; return what was said while the tree had 5 % of a core.

    The pauses are the tree's, where both have one core.
    """
    watch.look(0)
    began, ran = time.monotonic_ns(), watch.fingerprint().cpu_ns
    found = []
    while (now := time.monotonic_ns()) < began + 300 * MS:
        verdict = watch.look(0)
        if watch.fingerprint().cpu_ns - ran > 0.05 * (now - began) and now > began + 150 * MS:
            found.append(verdict)
        time.sleep(0.002)
    return found


def test_a_long_timed_wait_is_quiet_with_its_end(grow: Any) -> None:
    tree = grow("import time\nprint('ready', flush=True)\ntime.sleep(60)")
    quiet = verdicts(Watch(tree.root_pid), Quiet)[-1]

    assert quiet.due_ns is not None
    assert 30_000 * MS < quiet.due_ns - time.monotonic_ns() <= 60_000 * MS


def test_a_stopped_tree_is_quiet_and_its_processes_are_named(grow: Any) -> None:
    tree = grow("print('ready', flush=True)\nwhile True: pass")
    pid = tree.task_in("R").pid
    os.kill(pid, signal.SIGSTOP)

    assert verdicts(Watch(tree.root_pid), Quiet)[-1].stopped == frozenset({pid})


def test_a_tree_that_ended_is_empty(grow: Any) -> None:
    tree = grow("print('ready', flush=True)\nimport sys; sys.stdin.readline()")
    watch = Watch(tree.root_pid)
    verdicts(watch, Quiet)
    tree.tell()

    assert verdicts(watch, Empty)
