"""Whether lost workers are replaced, and whether jobs wait beside idle ones."""

import random
from typing import Any

import pytest

from poolproof.checkers import Trial, capacity
from poolproof.history import Event
from tests.unit.checkers.histories import (
    CONTROLLER,
    MS,
    ONE,
    OWNER,
    THREE,
    TWO,
    History,
    plan,
    the,
    verdict,
    warm,
)
from tests.unit.checkers.test_overlap import accused

pytestmark = pytest.mark.unit

KILL = "kill-busy"
SOON = {"capacity": 0.5}
BUSY = {"work-conserving": 0.5}


def born(history: History, *pids: int) -> History:
    for pid in pids:
        history.write("birth", CONTROLLER, data={"child": pid, "born": pid * 10})
    return history


def counted(history: History, phase: str, **data: Any) -> History:
    return history.write("phase", CONTROLLER, data={"phase": phase, **data})


class TestCapacity:
    def hit(self, **fields: Any) -> History:
        """Worker ONE was killed at 0.1 s, before the eyes of the controller."""
        history = counted(warm(KILL, promises=SOON, **fields), "faulted", workers=[ONE, TWO])
        return born(history, ONE, TWO).at(100).hit(ONE).death(ONE).heal()

    def test_it_does_not_apply_if_nothing_is_promised(self) -> None:
        assert verdict(warm(), "capacity") == "not applicable"

    def test_a_worker_that_is_not_replaced_is_invalid(self) -> None:
        history = counted(self.hit().at(700).done(3, pid=TWO, role="fresh"), "stop").stop()
        found = the(history, "capacity")

        assert found.effect == "a lost worker is not replaced"
        assert (
            "1 of those were gone and not replaced, the first of them since 0.1"
            in (found.evidence[0])
        )
        assert accused(history) == {"capacity"}

    def test_one_that_is_replaced_is_valid(self) -> None:
        history = born(self.hit(), THREE).at(700).done(3, pid=THREE, role="fresh")

        assert verdict(counted(history, "stop").stop(), "capacity") == "valid"

    def test_of_one_that_was_lost_just_now_nothing_is_known(self) -> None:
        history = counted(self.hit().at(500).done(3, pid=TWO, role="fresh"), "stop").stop()

        found = the(history, "capacity")
        assert found.verdict == "unknown"
        assert found.reason.startswith("1 of 2 workers were not replaced yet when the shutdown")

    def test_a_newcomer_replaces_whoever_was_lost_first(self) -> None:
        history = born(self.hit(), THREE).at(600).done(3, pid=THREE).death(TWO)

        assert verdict(counted(history.at(700), "stop").stop(), "capacity") == "unknown"

    def test_of_one_whose_loss_nobody_saw_nothing_is_known(self) -> None:
        history = counted(warm(KILL, promises=SOON), "faulted", workers=[ONE, TWO])
        history = born(history, ONE, TWO).hit().at(700).done(3, pid=TWO)

        assert verdict(counted(history, "stop").death(ONE).stop(), "capacity") == "unknown"

    def test_it_does_not_apply_to_threads_nor_if_nobody_counted_again(self) -> None:
        threads = counted(warm(promises=SOON), "faulted", workers=[])

        assert verdict(counted(threads, "stop").stop(), "capacity") == "not applicable"
        assert verdict(self.hit(), "capacity") == "not applicable"


class TestIdleWorker:
    def left(self, **fields: Any) -> History:
        """Job 3 is accepted at 0.1 s, when both workers are idle."""
        return warm(promises=BUSY, **fields).at(100).submit(3)

    def test_it_does_not_apply_if_nothing_is_promised(self) -> None:
        assert verdict(warm(), "idle-worker") == "not applicable"

    def test_a_job_that_waits_while_a_worker_is_idle_is_invalid(self) -> None:
        history = self.left().at(700).ran(3).ok(3)
        found = the(history, "idle-worker")

        assert (found.effect, found.jobs) == ("a job waits while a worker is idle", (3,))
        assert "waited for 0.5" in found.evidence[0]
        assert "process 201 had room for it" in found.evidence[0]
        assert accused(history) == {"idle-worker"}

    def test_one_that_waits_for_an_idle_worker_less_than_promised_is_valid(self) -> None:
        assert verdict(self.left().at(500).ran(3).ok(3), "idle-worker") == "valid"

    def test_one_that_waits_while_all_are_busy_is_valid(self) -> None:
        history = warm(promises=BUSY).submit(4, 5).begun(4, ONE).begun(5, TWO).submit(3).at(900)

        assert verdict(history.finished(4, ONE).ran(3).ok(3), "idle-worker") == "valid"

    def test_one_that_waits_while_one_of_two_is_idle_is_invalid(self) -> None:
        history = warm(promises=BUSY).submit(4).begun(4, ONE).submit(3).at(900).finished(4, ONE)

        assert verdict(history.ran(3, TWO).ok(3), "idle-worker") == "invalid"

    def test_a_worker_that_takes_no_job_any_more_may_not_be_there(self) -> None:
        history = warm(promises=BUSY).submit(4).begun(4, ONE).submit(3).at(900).finished(4, ONE)

        assert verdict(history.ran(3, ONE).ok(3), "idle-worker") == "valid"

    def test_threads_have_room_while_they_run_less_than_they_have_run_at_a_time(self) -> None:
        history = History(promises=BUSY).start().submit(1, 2).begun(1, OWNER).begun(2, OWNER)
        history.finished(1, OWNER).submit(3).at(700).finished(2, OWNER).begun(3, OWNER)

        assert verdict(history.submit(4).begun(4, OWNER), "idle-worker") == "invalid"

    def test_the_end_of_one_of_two_and_a_start_are_not_idleness(self) -> None:
        history = History(promises=BUSY).start().submit(1, 2).begun(1, OWNER).begun(2, OWNER)
        history.submit(3).at(700).finished(1, OWNER).begun(3, OWNER)

        assert verdict(history, "idle-worker") == "valid"

    def test_a_job_that_waited_through_a_fault_is_not_judged(self) -> None:
        history = warm(KILL, promises=BUSY).hit(TWO).submit(3).at(700).ran(3).heal()

        assert the(history, "idle-worker").reason == "2 jobs, none waited beside the idle"

    def test_nothing_is_known_if_no_job_waited_in_peace(self) -> None:
        history = History(KILL, promises=BUSY).start().hit(TWO).submit(3).at(700).ran(3).heal()

        assert verdict(history, "idle-worker") == "unknown"


def slowly(trial: Trial) -> bool:
    """Look for an idle time and a job that waited in it too long, pair by pair."""
    promised = trial.promises["work-conserving"] * 1_000_000_000
    return any(
        min(wait.until, idle.until) - max(wait.since, idle.since) > promised
        for idle in capacity._idle_times(trial)
        for wait in capacity._waits(trial)
    )


@pytest.mark.parametrize("seed", range(20))
def test_the_fast_search_finds_what_comparing_all_pairs_finds(seed: int) -> None:
    draw = random.Random(seed)
    times = {job: sorted(draw.sample(range(1, 3000), 4)) for job in range(40)}
    events = [
        Event(t=t * MS + job, kind=kind, pid=pid, op=op, job=job)
        for job, (asked, accepted, begun, ended) in times.items()
        for t, kind, pid, op in (
            (asked, "invoke", OWNER, "submit"),
            (accepted, "ok", OWNER, "submit"),
            (begun, "started", 300 + job % 25, None),
            (ended, "finished", 300 + job % 25, None),
        )
    ]
    trial = Trial(plan(promises={"work-conserving": 0.9}), tuple(events))

    assert (verdict(trial, "idle-worker") == "invalid") == slowly(trial)
