"""Each rule of quiet and idling, with made-up samples: what may be called still."""

import os
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from poolproof.watch import calls
from poolproof.watch.calls import Bound, Wait
from poolproof.watch.pending import Pending
from poolproof.watch.quiet import Empty, Idling, Motion, Moving, Quiet, Quietness, fingerprint
from poolproof.watch.sample import Task, TreeSample

pytestmark = pytest.mark.unit

MS = 1_000_000
NUMBERS = {name: number for number, name in calls.names(os.uname().machine).items()}
READ = f"{NUMBERS['read']} 0x3 0x0 0x0 0x0 0x0 0x0 0x1 0x1".encode()
READ_ON = f"{NUMBERS['read']} 0x4 0x0 0x0 0x0 0x0 0x0 0x1 0x1".encode()
FUTEX = f"{NUMBERS['futex']} 0xa 0x189 0x0 0x0 0x0 0x0 0x1 0x1".encode()
CLONE = f"{NUMBERS['clone']} 0x4111 0x0 0x0 0x0 0x0 0x0 0x1 0x1".encode()
NOTHING = Pending()
ASLEEP = Task(10, 1, 10, "S", READ, (5000, 0, 5), calls.UNLIMITED, 0)
OTHER = replace(ASLEEP, tid=11, call=FUTEX)
ZOMBIE = replace(ASLEEP, pid=12, tid=12, state="Z", call=b"-1 0x0 0x0")


def look(at_ms: float, *tasks: Task) -> TreeSample:
    at_ns = int(at_ms * MS)
    return TreeSample(time_ns=at_ns, ended_ns=at_ns + 1000, tasks=tasks)


def ran(task: Task, times: int = 1, ns: int = 1000, **changed: Any) -> Task:
    spent, waited, slices = task.schedstat
    return replace(task, schedstat=(spent + times * ns, waited, slices + times), **changed)


def limited(task: Task, ms: float, bound: Bound = Bound.RELATIVE, started_ms: float = 0) -> Task:
    return replace(task, wait=Wait(bound, int(ms * MS)), started_ns=int(started_ms * MS))


def judged(
    *samples: TreeSample,
    marks: Sequence[int] | None = None,
    pending: Pending = NOTHING,
    **parameters: Any,
) -> Any:
    quietness = Quietness(**parameters)
    for sample, mark in zip(samples, marks or [0] * len(samples), strict=True):
        quietness.observe(sample, mark)
    return quietness.verdict(samples[-1].ended_ns, pending)


def still(*tasks: Task, until_ms: int = 100, **options: Any) -> Any:
    return judged(look(0, *tasks), look(until_ms, *tasks), **options)


# Quiet


def test_a_tree_asleep_over_the_window_is_quiet_since_the_first_sample_ended() -> None:
    assert still(ASLEEP, OTHER) == Quiet(since_ns=1000, due_ns=None)


def test_a_tree_that_nobody_looked_at_moves() -> None:
    assert isinstance(Quietness().verdict(0), Moving)


def test_one_sample_is_not_enough() -> None:
    assert isinstance(judged(look(0, ASLEEP)), Moving)


def test_a_tree_still_for_less_than_the_window_moves() -> None:
    assert isinstance(still(ASLEEP, until_ms=29), Moving)


def test_the_window_can_be_set() -> None:
    assert isinstance(still(ASLEEP, until_ms=29, window_ns=20 * MS), Quiet)


def test_a_task_between_two_sleeps_moves_though_it_is_back_in_the_same_call() -> None:
    assert isinstance(judged(look(0, ASLEEP), look(100, ran(ASLEEP))), Moving)


def test_a_task_made_runnable_that_has_not_run_yet_moves() -> None:
    """Data in flight: the writer sleeps again, the reader was woken and waits for a CPU."""
    woken = replace(ASLEEP, state="R", call=calls.RUNNING)

    assert isinstance(still(OTHER, woken), Moving)


def test_a_task_that_moved_in_mid_window_starts_the_window_again() -> None:
    moved = ran(ASLEEP)
    samples = [look(0, ASLEEP), look(90, ASLEEP), look(100, moved), look(120, moved)]

    assert isinstance(judged(*samples), Moving)
    assert judged(*samples, look(131, moved)) == Quiet(since_ns=100 * MS + 1000, due_ns=None)


def test_a_birth_starts_the_window_again() -> None:
    assert isinstance(judged(look(0, ASLEEP), look(100, ASLEEP, OTHER)), Moving)


def test_a_death_starts_the_window_again() -> None:
    assert isinstance(judged(look(0, ASLEEP, OTHER), look(100, ASLEEP)), Moving)


def test_a_process_that_became_a_zombie_starts_the_window_again() -> None:
    living = replace(ZOMBIE, state="S", call=READ)

    assert isinstance(judged(look(0, ASLEEP, living), look(100, ASLEEP, ZOMBIE)), Moving)


def test_another_process_under_the_same_number_starts_the_window_again() -> None:
    assert isinstance(judged(look(0, ASLEEP), look(100, replace(ASLEEP, born=2))), Moving)


def test_progress_of_the_history_starts_the_window_again() -> None:
    assert isinstance(judged(look(0, ASLEEP), look(100, ASLEEP), marks=[1, 2]), Moving)


def test_a_task_on_a_disk_or_in_a_page_fault_moves() -> None:
    assert isinstance(still(replace(ASLEEP, state="D")), Moving)


def test_a_vforks_parent_is_as_still_as_its_child() -> None:
    assert isinstance(still(replace(ASLEEP, state="D", call=CLONE), OTHER), Quiet)


def test_a_task_blocked_outside_of_any_system_call_moves() -> None:
    assert isinstance(still(replace(ASLEEP, call=b"-1 0x1 0x1")), Moving)


def test_a_traced_task_moves() -> None:
    assert isinstance(still(replace(ASLEEP, state="t")), Moving)


def test_a_zombie_is_still() -> None:
    assert isinstance(still(ASLEEP, ZOMBIE), Quiet)


def test_a_stopped_task_is_still_wherever_it_was_stopped_and_named() -> None:
    stopped = replace(limited(OTHER, 50), pid=13, state="T", call=b"-1 0x1 0x1")

    assert still(ASLEEP, stopped) == Quiet(since_ns=1000, due_ns=None, stopped=frozenset({13}))


# Timed waits


def test_a_wait_that_ends_within_the_horizon_moves() -> None:
    assert isinstance(still(limited(ASLEEP, 1100, Bound.ABSOLUTE)), Moving)


def test_a_wait_that_ends_beyond_the_horizon_is_quiet_until_then() -> None:
    assert still(limited(ASLEEP, 1101, Bound.ABSOLUTE)) == Quiet(since_ns=1000, due_ns=1101 * MS)


def test_a_wait_that_has_ended_moves() -> None:
    assert isinstance(still(limited(ASLEEP, 50, Bound.ABSOLUTE)), Moving)


def test_the_horizon_can_be_set() -> None:
    waiting = limited(ASLEEP, 500, Bound.ABSOLUTE)

    assert isinstance(still(waiting, horizon_ns=300 * MS), Quiet)


def test_the_first_of_several_waits_is_due() -> None:
    verdict = still(limited(ASLEEP, 9000, Bound.ABSOLUTE), limited(OTHER, 3000, Bound.ABSOLUTE))

    assert verdict == Quiet(since_ns=1000, due_ns=3000 * MS)


def test_a_relative_wait_may_have_begun_with_its_thread_if_it_was_never_seen_otherwise() -> None:
    """Ten seconds from birth, of which nine and a half had gone when it was first seen."""
    samples = look(9500, limited(ASLEEP, 10_000)), look(9600, limited(ASLEEP, 10_000))

    assert isinstance(judged(*samples), Moving)


def test_a_relative_wait_of_a_young_thread_is_quiet() -> None:
    samples = [look(at, limited(ASLEEP, 10_000, started_ms=9400)) for at in (9500, 9600)]

    assert judged(*samples) == Quiet(since_ns=9500 * MS + 1000, due_ns=19_500 * MS + 1000)


def test_a_relative_wait_began_after_the_task_was_last_seen_elsewhere() -> None:
    waiting = limited(ran(ASLEEP), 1500)
    samples = [look(50_000, ASLEEP), look(50_100, waiting), look(50_200, waiting)]

    assert judged(*samples) == Quiet(since_ns=50_100 * MS + 1000, due_ns=51_600 * MS + 1000)


def test_a_relative_wait_may_have_begun_right_after_the_look_before_it_was_seen() -> None:
    waiting = limited(ran(ASLEEP), 1500)
    samples = [look(50_000, ASLEEP), look(51_000, waiting), look(51_100, waiting)]

    assert isinstance(judged(*samples), Moving)


def test_a_wait_of_unknown_length_must_be_outwaited_for_the_horizon() -> None:
    unknown = replace(ASLEEP, wait=calls.UNREADABLE)

    assert isinstance(still(unknown, until_ms=999), Moving)
    assert still(unknown, until_ms=1001) == Quiet(since_ns=1000, due_ns=None, exact=False)


def test_a_task_whose_call_cannot_be_read_must_be_outwaited_for_the_horizon() -> None:
    hidden = replace(ASLEEP, call=b"? S futex_wait", wait=calls.UNREADABLE, exact=False)

    assert isinstance(still(hidden, until_ms=999), Moving)
    assert still(hidden, until_ms=1001) == Quiet(since_ns=1000, due_ns=None, exact=False)


def test_a_kernel_timer_within_the_horizon_moves() -> None:
    assert isinstance(still(ASLEEP, pending=Pending(due_ns=600 * MS)), Moving)


def test_a_kernel_timer_beyond_the_horizon_is_due() -> None:
    verdict = still(ASLEEP, pending=Pending(due_ns=6000 * MS))

    assert verdict == Quiet(since_ns=1000, due_ns=6000 * MS)


def test_a_kernel_timer_whose_end_is_unseen_must_be_outwaited_for_the_horizon() -> None:
    unseen = Pending(unseen=frozenset({10}))

    assert isinstance(still(ASLEEP, pending=unseen, until_ms=999), Moving)
    assert isinstance(still(ASLEEP, pending=unseen, until_ms=1001), Quiet)


# Empty


def test_a_tree_without_processes_is_empty() -> None:
    assert judged(look(0), look(100)) == Empty(since_ns=1000)


def test_a_tree_of_zombies_alone_is_empty_since_the_last_one_died() -> None:
    living = replace(ZOMBIE, state="S", call=READ)

    assert judged(look(0, living), look(100, ZOMBIE)) == Empty(since_ns=100 * MS + 1000)


# Idling


def poll(
    times: int, *, every_ms: int = 100, beside: Sequence[Task] = (), **changes: Any
) -> list[TreeSample]:
    """A task that wakes before each sample, `times` times in all."""
    return [
        look(n * every_ms, ran(limited(ASLEEP, every_ms), n, **changes), *beside)
        for n in range(times + 1)
    ]


def test_a_task_that_wakes_and_sleeps_in_the_same_call_idles() -> None:
    verdict = judged(*poll(10))

    assert isinstance(verdict, Moving)  # not a second yet
    assert judged(*poll(11)) == Idling(since_ns=1000, periods=11, period_ns=1_099_999_000 // 11)


def test_a_tree_idles_only_after_the_shortest_time() -> None:
    assert isinstance(judged(*poll(5), idle_min_ns=490 * MS), Idling)


def test_a_tree_idles_only_after_enough_periods_of_the_slowest_task() -> None:
    slow = limited(OTHER, 700)
    twice = [look(0, slow), look(700, ran(slow)), look(1400, ran(slow, 2))]

    assert isinstance(judged(*twice), Moving)
    assert isinstance(judged(*twice, look(2100, ran(slow, 3))), Idling)


def test_periods_are_counted_by_the_task_that_wakes_least() -> None:
    samples = [
        look(n * 100, ran(limited(ASLEEP, 100), n), ran(limited(OTHER, 400), n // 4))
        for n in range(17)
    ]

    assert judged(*samples).periods == 4


def test_a_task_preempted_again_and_again_in_one_burst_has_not_slept() -> None:
    burst = replace(ASLEEP, state="R", call=calls.RUNNING)
    samples = [look(n * 100, ran(burst, n)) for n in range(20)]

    assert isinstance(judged(*samples), Moving)


def test_a_task_woken_again_and_again_that_never_ran_has_not_repeated_itself() -> None:
    woken = ran(replace(ASLEEP, state="R", call=calls.RUNNING))
    samples = [look(n * 100, (ran(ASLEEP), woken)[n % 2]) for n in range(1, 20)]

    assert isinstance(judged(look(0, ASLEEP), *samples), Moving)


def test_a_busy_loop_never_idles() -> None:
    busy = replace(OTHER, state="R", call=calls.RUNNING)
    samples = [look(n * 100, ran(ASLEEP, n), ran(busy, n, ns=100 * MS)) for n in range(50)]

    assert isinstance(judged(*samples), Moving)


@pytest.mark.parametrize(("ms", "verdict"), [(19, Idling), (21, Moving)])
def test_a_tree_that_uses_a_fifth_of_a_core_does_not_idle(ms: int, verdict: type) -> None:
    samples = [look(n * 100, ran(ASLEEP, n, ns=ms * MS)) for n in range(30)]

    assert isinstance(judged(*samples), verdict)


def test_a_call_that_is_new_starts_the_habit_again() -> None:
    samples = [*poll(11), look(1200, ran(ASLEEP, 12, call=READ_ON))]

    assert isinstance(judged(*samples), Moving)


def test_calls_that_alternate_are_a_habit() -> None:
    samples = [look(n * 100, ran(ASLEEP, n, call=(READ, READ_ON)[n % 2])) for n in range(13)]

    assert isinstance(judged(*samples), Idling)


def test_a_history_event_ends_a_habit() -> None:
    samples = poll(12)

    assert isinstance(judged(*samples, marks=[0] * 12 + [1]), Moving)


def test_what_was_a_habit_before_an_event_must_be_shown_anew_after_it() -> None:
    samples = poll(30)
    verdict = judged(*samples, marks=[0] * 15 + [1] * 16)

    assert isinstance(verdict, Idling)
    assert verdict.since_ns == 1500 * MS + 1000


def test_a_call_known_from_before_an_event_is_new_after_it() -> None:
    calls_made = [READ_ON] * 5 + [READ] * 15 + [READ_ON]
    samples = [look(n * 100, ran(ASLEEP, n, call=call)) for n, call in enumerate(calls_made)]

    assert isinstance(judged(*samples, marks=[0] * 6 + [1] * 15), Moving)


def test_a_birth_ends_a_habit() -> None:
    samples = [*poll(12), look(1300, ran(ASLEEP, 13), OTHER)]

    assert isinstance(judged(*samples), Moving)


def test_a_pool_that_replaces_a_thread_each_time_never_idles() -> None:
    samples = [look(n * 100, ran(ASLEEP, n), replace(OTHER, tid=20 + n)) for n in range(30)]

    assert isinstance(judged(*samples), Moving)


def test_a_sleeper_beside_a_poller_is_due_when_it_ends() -> None:
    samples = poll(12, beside=[limited(OTHER, 10_000, Bound.ABSOLUTE)])

    assert judged(*samples).due_ns == 10_000 * MS


def test_a_sleeper_that_wakes_within_the_horizon_keeps_a_poller_from_idling() -> None:
    samples = poll(12, beside=[limited(OTHER, 2000, Bound.ABSOLUTE)])

    assert isinstance(judged(*samples), Moving)


def test_a_sleeper_on_a_disk_keeps_a_poller_from_idling() -> None:
    assert isinstance(judged(*poll(12, beside=[replace(OTHER, state="D")])), Moving)


def test_a_sleeper_of_unknown_length_beside_a_poller_must_be_outwaited_for_the_horizon() -> None:
    beside = [replace(OTHER, wait=calls.UNREADABLE)]

    assert isinstance(judged(*poll(9, beside=beside), idle_min_ns=500 * MS), Moving)
    assert isinstance(judged(*poll(11, beside=beside), idle_min_ns=500 * MS), Idling)


def test_a_poller_whose_calls_cannot_be_read_idles_too() -> None:
    samples = poll(12, call=b"? S hrtimer_nanosleep", wait=calls.UNREADABLE, exact=False)

    assert isinstance(judged(*samples), Idling)


# Fingerprints


def test_a_tree_in_which_nothing_ran_has_not_moved() -> None:
    before = fingerprint(look(0, ASLEEP, OTHER))

    assert fingerprint(look(900, OTHER, ASLEEP)).motion_since(before) is Motion.NONE


def test_a_task_that_ran_shows() -> None:
    before = fingerprint(look(0, ASLEEP))

    assert fingerprint(look(900, ran(ASLEEP))).motion_since(before) is Motion.RAN


@pytest.mark.parametrize("later", [(ASLEEP, OTHER), (), (ran(ASLEEP, state="Z"),)])
def test_a_birth_or_a_death_shows(later: tuple[Task, ...]) -> None:
    before = fingerprint(look(0, ASLEEP))

    assert fingerprint(look(900, *later)).motion_since(before) is Motion.CHANGED
