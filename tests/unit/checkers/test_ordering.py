"""First come, first served: what is overtaking with one worker, and with several."""

import pytest

from tests.unit.checkers.histories import ONE, OWNER, TWO, History, the, verdict, warm

pytestmark = pytest.mark.unit

FIFO = {"order": "fifo"}


def queued(*, workers: int, faults: tuple[str, ...] = ()) -> History:
    return History(*faults, workers=workers, promises=FIFO).start().submit(1, 2, 3)


def test_it_does_not_apply_if_no_order_is_promised() -> None:
    assert verdict(warm(), "order") == "not applicable"


def test_one_worker_that_takes_the_later_job_first_is_invalid() -> None:
    found = the(queued(workers=1).ran(1).ran(3).ran(2), "order")

    assert (found.verdict, found.effect, found.jobs) == (
        "invalid",
        "a later job is begun first",
        (2,),
    )
    assert "job 2 was accepted before job 3 was submitted" in found.evidence[0]


def test_one_worker_that_keeps_the_order_is_valid() -> None:
    assert verdict(queued(workers=1).ran(1).ran(2).ran(3), "order") == "valid"


def test_two_workers_whose_starts_are_merely_late_are_valid() -> None:
    assert verdict(queued(workers=2).ran(1).begun(3, TWO).begun(2, ONE), "order") == "valid"


def test_a_worker_that_did_something_else_meanwhile_took_the_earlier_job_later() -> None:
    history = queued(workers=2).begun(1, ONE).begun(3, TWO).finished(1, ONE).begun(2, ONE)

    assert the(history, "order").jobs == (2,)


def test_the_same_worker_that_begins_the_later_job_first_is_invalid() -> None:
    assert verdict(queued(workers=2).ran(3, TWO).ran(2, TWO).ran(1), "order") == "invalid"


def test_several_workers_in_the_owners_process_cannot_be_told_apart() -> None:
    found = the(queued(workers=2).ran(1, OWNER).ran(3, OWNER).ran(2, OWNER), "order")

    assert found.verdict == "not applicable"
    assert found.reason.endswith("check the order with --workers 1")


def test_one_thread_in_the_owners_process_is_judged() -> None:
    assert (
        verdict(queued(workers=1).ran(1, OWNER).ran(3, OWNER).ran(2, OWNER), "order") == "invalid"
    )


def test_a_process_that_runs_jobs_side_by_side_cannot_be_judged() -> None:
    history = queued(workers=2).begun(1).begun(3).finished(1).finished(3).ran(2)

    assert verdict(history, "order") == "not applicable"


def test_a_job_that_waited_through_a_fault_is_exempt() -> None:
    history = queued(workers=1, faults=("kill-busy",)).ran(1).hit(ONE).ran(3, TWO).ran(2, TWO)

    assert verdict(history.submit(4).ran(4, TWO), "order") == "valid"


def test_a_job_that_waited_while_a_worker_died_is_exempt() -> None:
    history = queued(workers=1).ran(1).death(ONE).ran(3, TWO).ran(2, TWO)

    assert verdict(history, "order") == "valid"


def test_a_job_begun_after_a_harmful_one_is_exempt() -> None:
    history = History("exit-in-job", workers=1, promises=FIFO).start().hit().submit(1, body="exit")
    history.begun(1).submit(2, 3).ran(3, TWO).ran(2, TWO)

    assert verdict(history, "order") == "unknown"


def test_an_overtaking_that_may_be_simultaneous_is_valid() -> None:
    history = queued(workers=2).begun(1, ONE)
    history.begun(3, TWO).at(9).finished(1, ONE).begun(2, ONE)

    assert verdict(history, "order") == "valid"


def test_cancelled_and_refused_jobs_are_not_compared() -> None:
    history = History(workers=1, promises=FIFO).start().submit(1).cancel(1).refuse(2).submit(3)

    assert verdict(history.ran(3).ran(2).ran(1), "order") == "unknown"


def test_jobs_submitted_at_the_same_time_are_not_compared() -> None:
    history = History(workers=1, promises=FIFO).start().ask(1, 2)
    history.write("ok", op="submit", job=1).write("ok", op="submit", job=2)

    assert verdict(history.ran(2).ran(1), "order") == "unknown"
