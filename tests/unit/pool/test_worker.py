"""A worker's state machine, edge by edge."""

import pickle
from itertools import product

import pytest

from poolproof.pool.worker import (
    HISTORY_LENGTH,
    LEGAL,
    STATES,
    InvalidTransitionError,
    State,
    Transition,
    Worker,
)
from tests.unit.pool.closed_loop import born
from tests.unit.pool.models.worker import EDGES

pytestmark = pytest.mark.unit

PAIRS = list(product(STATES, STATES))
WAY: dict[State, list[State]] = {
    "initializing": [],
    "ready": ["ready"],
    "busy": ["ready", "busy"],
    "degraded": ["ready", "degraded"],
    "terminating": ["ready", "terminating"],
    "terminated": ["terminated"],
}


def worker_in(state: State) -> Worker:
    worker = Worker(number=0, epoch=1, now_ns=0)
    for step in WAY[state]:
        worker.move(step, "test", now_ns=0)
    return worker


def test_there_are_14_legal_pairs_and_22_others() -> None:
    assert len(EDGES) == 14
    assert len(PAIRS) == 36
    assert {(origin, target) for origin in LEGAL for target in LEGAL[origin]} == EDGES


@pytest.mark.parametrize(("origin", "target"), sorted(EDGES))
def test_legal_pair_is_taken(origin: State, target: State) -> None:
    worker = worker_in(origin)

    worker.move(target, "why", now_ns=7, metadata={"job": 3})

    assert worker.state == target
    assert worker.history()[0] == Transition(origin, target, "why", 7, 7, {"job": 3})
    assert worker.metadata == {"job": 3}


@pytest.mark.parametrize(("origin", "target"), sorted(set(PAIRS) - EDGES))
def test_illegal_pair_is_refused_with_both_states_named(origin: State, target: State) -> None:
    worker = worker_in(origin)
    before = worker.history()

    with pytest.raises(InvalidTransitionError, match=f"from {origin} to {target}$") as caught:
        worker.move(target, "why", now_ns=7, metadata={"job": 3})

    assert (caught.value.origin, caught.value.target) == (origin, target)
    assert (worker.state, worker.history(), worker.metadata) == (origin, before, {})


def test_refusal_survives_pickling() -> None:
    error = pickle.loads(pickle.dumps(InvalidTransitionError("terminated", "ready")))

    assert (error.origin, error.target) == ("terminated", "ready")
    assert str(error) == (
        "expected a transition from terminated to nothing, got one from terminated to ready"
    )


def test_new_worker_is_initializing_and_of_unknown_health() -> None:
    worker = Worker(number=0, epoch=1, now_ns=0)

    assert (worker.state, worker.health, worker.can_accept_work()) == (
        "initializing",
        "unknown",
        False,
    )


def test_init_is_the_first_evidence_of_health() -> None:
    worker = born(0)

    assert (worker.state, worker.health, worker.can_accept_work()) == ("ready", "healthy", True)
    assert worker.history()[0].reason == "init_complete"


@pytest.mark.parametrize("ok", [True, False])
def test_job_goes_out_and_comes_back(ok: bool) -> None:  # noqa: FBT001
    worker = born(0, slots=1)

    worker.checkout(now_ns=10)
    assert (worker.state, worker.can_accept_work()) == ("busy", False)
    worker.checkin(now_ns=25, ok=ok)

    reason = "checkin_success" if ok else "checkin_error"
    assert worker.history()[0] == Transition("busy", "ready", reason, 15, 25)
    assert worker.history()[0].duration_ms == 0.000015


def test_worker_with_several_slots_is_busy_when_all_are_taken() -> None:
    worker = born(0, slots=3)

    worker.checkout(now_ns=1, jobs=2)
    assert worker.state == "ready"
    worker.checkout(now_ns=2)

    assert (worker.state, worker.in_flight, worker.jobs) == ("busy", 3, 3)


def test_more_jobs_than_free_slots_are_refused() -> None:
    worker = born(0, slots=2)

    with pytest.raises(InvalidTransitionError, match=r"from ready to busy$"):
        worker.checkout(now_ns=1, jobs=3)

    assert worker.in_flight == 0


def test_degraded_worker_takes_no_job_and_is_not_healed_by_one_that_comes_back() -> None:
    worker = born(0, slots=2)
    worker.checkout(now_ns=1)
    worker.check_failed(now_ns=2)

    worker.checkin(now_ns=3)

    assert (worker.state, worker.can_accept_work()) == ("degraded", False)


def test_degraded_worker_that_passes_a_check_is_ready_and_healthy() -> None:
    worker = born(0)
    worker.check_failed(now_ns=1)

    assert worker.check_passed(now_ns=2) == "restored"
    assert (worker.state, worker.health, worker.can_accept_work()) == ("ready", "healthy", True)
    assert worker.history()[0].reason == "health_restored"


def test_restored_worker_whose_slots_are_taken_is_busy() -> None:
    worker = born(0, slots=1)
    worker.checkout(now_ns=1)
    worker.check_failed(now_ns=2)
    worker.check_passed(now_ns=3)

    assert worker.state == "busy"
    worker.checkin(now_ns=4)
    assert worker.can_accept_work()


def test_first_failed_check_degrades_and_the_third_in_a_row_asks_for_removal() -> None:
    worker = born(0)

    assert [worker.check_failed(now_ns=1) for _ in range(3)] == ["degraded", "degraded", "remove"]


def test_passed_check_breaks_a_row_of_failed_ones() -> None:
    worker = born(0)
    worker.check_failed(now_ns=1)
    worker.check_failed(now_ns=2)
    worker.check_passed(now_ns=3)

    assert worker.check_failed(now_ns=4) == "degraded"


def test_passed_check_of_a_sound_worker_changes_nothing() -> None:
    worker = born(0)

    assert worker.check_passed(now_ns=1) == "ignored"
    assert len(worker.history()) == 1


@pytest.mark.parametrize("state", ["initializing", "terminating", "terminated"])
def test_check_of_a_worker_that_does_not_serve_is_ignored(state: State) -> None:
    worker = worker_in(state)

    assert worker.check_passed(now_ns=1) == worker.check_failed(now_ns=1) == "ignored"
    assert worker.state == state


def test_terminating_twice_is_harmless() -> None:
    worker = born(0)

    assert worker.terminate("shutdown", now_ns=1)
    assert not worker.terminate("shutdown", now_ns=2)
    assert worker.state == "terminating"
    assert worker.should_remove()


def test_worker_that_has_not_begun_is_terminated_at_once() -> None:
    worker = Worker(number=0, epoch=1, now_ns=0)

    assert worker.terminate("shutdown", now_ns=1)
    assert worker.state == "terminated"


@pytest.mark.parametrize("state", [state for state in STATES if state != "terminated"])
def test_sudden_death_from_any_live_state(state: State) -> None:
    worker = worker_in(state)

    assert worker.died("killed", now_ns=5)
    assert not worker.died("killed", now_ns=6)
    assert worker.state == "terminated"
    assert worker.should_remove()


def test_job_of_a_dead_worker_is_only_counted_when_it_comes_back() -> None:
    worker = born(0, slots=1)
    worker.checkout(now_ns=1)
    worker.died("killed", now_ns=2)

    worker.checkin(now_ns=3)

    assert (worker.state, worker.in_flight) == ("terminated", 0)


def test_fewer_slots_make_a_worker_busy_and_more_make_it_ready() -> None:
    worker = born(0, slots=4)
    worker.checkout(now_ns=1, jobs=2)

    worker.set_slots(2, now_ns=2)
    assert worker.state == "busy"
    worker.set_slots(3, now_ns=3)
    assert worker.can_accept_work()
    worker.set_slots(4, now_ns=4)
    assert worker.can_accept_work()


def test_retiring_worker_gets_no_more_jobs_even_if_it_is_restored() -> None:
    worker = born(0)
    worker.retire()
    worker.check_failed(now_ns=1)
    worker.check_passed(now_ns=2)

    assert (worker.state, worker.can_accept_work()) == ("ready", False)


def test_history_is_newest_first_and_bounded() -> None:
    worker = born(0, slots=1)
    for turn in range(HISTORY_LENGTH):
        worker.checkout(now_ns=turn)
        worker.checkin(now_ns=turn)

    history = worker.history()
    assert len(history) == HISTORY_LENGTH
    assert [step.at_ns for step in history] == sorted(
        (step.at_ns for step in history), reverse=True
    )
