"""How a crash point ended: each class, their precedence, and what is kept beside the class."""

import pytest

from poolproof.checkers import PointClass, classify
from tests.unit.checkers.histories import ONE, POINT, TWO, History, warm

pytestmark = pytest.mark.unit


def struck(**fields: object) -> History:
    """Job 3 was begun by worker ONE, which died at the crash point."""
    return (
        warm(point=POINT, **fields).submit(3, role="faulted").begun(3).strike(ONE).receipt("point")
    )


def name(history: History) -> str:
    return classify(history.trial()).name


def whole(history: History) -> History:
    """Fresh jobs are served, and the pool is stopped."""
    return history.done(8, 9, pid=TWO, role="fresh").stop()


def test_a_point_that_no_worker_came_to_is_unreached() -> None:
    assert classify(whole(warm(point=POINT)).trial()) == PointClass(name="unreached")


def test_a_strike_without_a_receipt_is_unknown() -> None:
    assert name(whole(warm(point=POINT).strike(ONE))) == "unknown"


def test_a_struck_trial_in_which_nothing_was_asked_is_unknown() -> None:
    assert name(History(point=POINT).strike(ONE).receipt("point")) == "unknown"


def test_a_job_that_is_run_again_and_answered_survived() -> None:
    assert classify(whole(struck().ran(3, TWO).ok(3)).trial()) == PointClass(name="survived")


def test_an_error_of_a_job_is_reported() -> None:
    assert name(whole(struck().fail(3))) == "reported"


def test_an_error_of_submit_is_reported() -> None:
    assert name(whole(struck().ran(3, TWO).ok(3).refuse(4))) == "reported"


def test_an_error_of_start_is_reported() -> None:
    history = History(point=POINT).strike(ONE).receipt("point").start(error="OSError")

    assert name(history) == "reported"


@pytest.mark.parametrize("error", ["ValueError", "RemoteError"])
def test_an_error_of_a_jobs_own_body_is_no_report(error: str) -> None:
    history = struck().ran(3, TWO).ok(3).submit(4, body="fail").begun(4, TWO).raised(4, TWO)

    assert name(whole(history.fail(4, error=error))) == "survived"


def test_an_error_that_another_jobs_body_raised_is_a_report() -> None:
    history = struck().submit(4).begun(4, TWO).raised(4, TWO, "OSError").fail(4, error="PoolError")

    assert name(whole(history.ran(3, TWO).ok(3))) == "reported"


def test_a_job_whose_caller_waits_is_lost() -> None:
    assert name(struck().done(8, pid=TWO, role="fresh").judged(3).stop()) == "lost"


def test_one_fresh_job_that_waits_beside_others_is_lost() -> None:
    found = classify(
        struck().fail(3).done(8, pid=TWO, role="fresh").submit(9, role="fresh").judged(9).trial()
    )

    assert (found.name, found.effects) == ("lost", ("no-recovery",))


def test_a_pool_that_serves_no_fresh_job_is_stopped() -> None:
    assert name(struck().fail(3).submit(8, 9, role="fresh").judged(8, 9).stop()) == "stopped"


def test_a_stopped_pool_keeps_that_it_lost_a_job_too() -> None:
    found = classify(struck().submit(8, 9, role="fresh").judged(3, 8, 9).stop().trial())

    assert (found.name, found.effects) == ("stopped", ("unresolved-job",))


def test_a_lost_job_keeps_that_the_shutdown_hangs() -> None:
    history = struck().judged(3).write("invoke", op="stop").judged(3, op="stop")

    assert classify(history.trial()) == PointClass(name="lost", effects=("shutdown-hang",))


def test_a_declared_effect_is_kept_as_well() -> None:
    contract = {"contract": {"shutdown-hang": "stop waits for lost jobs"}}
    history = struck(promises=contract).judged(3).write("invoke", op="stop").judged(3, op="stop")

    assert classify(history.trial()).effects == ("shutdown-hang",)


def test_a_start_that_never_returns_is_stopped() -> None:
    history = History(point=POINT).write("invoke", op="start").strike(ONE).receipt("point")

    assert name(history.judged(op="start")) == "stopped"


def test_a_start_that_only_seems_to_hang_is_unknown() -> None:
    history = History(point=POINT).write("invoke", op="start").strike(ONE).receipt("point")

    assert name(history.mark("suspect", op="start")) == "unknown"


def test_a_start_of_which_no_more_is_known_is_unknown() -> None:
    assert name(History(point=POINT).write("invoke", op="start").strike().receipt()) == "unknown"


@pytest.mark.parametrize("marks", [("suspect",), ("suspect", "unjudged"), ()])
def test_a_wait_that_was_not_judged_is_unknown(marks: tuple[str, ...]) -> None:
    history = struck()
    for mark in marks:
        history.mark(mark, 3)

    assert name(history) == "unknown"


def test_a_shutdown_that_was_not_judged_is_unknown() -> None:
    history = struck().ran(3, TWO).ok(3).write("invoke", op="stop").mark("suspect", op="stop")

    assert name(history) == "unknown"


def test_a_shutdown_that_hangs_alone_is_kept_beside_the_class() -> None:
    history = struck().ran(3, TWO).ok(3).write("invoke", op="stop").judged(op="stop")

    assert classify(history.trial()) == PointClass(name="survived", effects=("shutdown-hang",))


def test_a_suspicion_of_nothing_in_particular_is_unknown() -> None:
    assert name(whole(struck().ran(3, TWO).ok(3)).mark("suspect", op="sample")) == "unknown"


def test_a_job_that_had_finished_and_is_run_again_is_duplicated() -> None:
    history = warm(point=POINT).submit(3).ran(3).strike(ONE).receipt("point").ran(3, TWO).ok(3)

    assert name(whole(history)) == "duplicated"


def test_a_duplicate_that_was_answered_before_is_no_effect_beside_its_class() -> None:
    history = warm(point=POINT).submit(3).ran(3).ok(3).strike(ONE).receipt("point").ran(3, TWO)

    assert classify(whole(history).trial()) == PointClass(name="duplicated")


def test_what_raised_and_is_run_again_is_not_duplicated() -> None:
    history = warm(point=POINT).submit(3).begun(3).raised(3, error="SystemExit").strike(ONE)

    assert name(whole(history.receipt("point").ran(3, TWO).ok(3))) == "survived"


def test_a_late_answer_is_slow_with_its_time() -> None:
    history = struck().mark("suspect", 3).mark("moved", 3).at(535).ran(3, TWO).ok(3)
    found = classify(whole(history).trial())

    assert found.name == "slow"
    assert found.seconds == pytest.approx(0.519)


def test_a_late_answer_of_a_duplicated_job_is_kept_beside_the_class() -> None:
    history = warm(point=POINT).submit(3).ran(3).strike(ONE).receipt("point").mark("suspect", 3)
    found = classify(whole(history.ran(3, TWO).ok(3)).trial())

    assert (found.name, found.effects) == ("duplicated", ("slow",))


def test_a_leak_beside_the_class_is_told_by_the_reference() -> None:
    usual = History().start().sample("before").done(1).stop().sample("after").trial()
    history = whole(struck().ran(3, TWO).ok(3)).sample("after", shm=["psm_1"])

    assert classify(history.trial(), usual).effects == ("leak",)
