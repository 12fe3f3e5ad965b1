"""The sequential model of a pool: what it calls broken, and what it allows."""

import pytest

from poolproof.stateful import Outcome, PoolModel

pytestmark = pytest.mark.unit

OK, ERROR = Outcome("ok"), Outcome("error", text="Oops")


def one_job(outcome: Outcome | None = None) -> PoolModel:
    model = PoolModel()
    number = model.submitted()
    if outcome is not None:
        model.ended(number, outcome)
    return model


def slugs(model: PoolModel, starts: dict[int, int]) -> list[str]:
    return [slug for slug, _ in model.broken(starts)]


def test_a_job_that_ran_once_and_has_its_answer_is_fine() -> None:
    assert slugs(one_job(OK), {1: 1}) == []


def test_a_job_that_waits_is_fine() -> None:
    assert slugs(one_job(), {}) == []
    assert one_job().waiting() == [1]


@pytest.mark.parametrize(
    ("outcome", "starts", "slug"),
    [
        (OK, {1: 2}, "duplicate-run"),
        (OK, {}, "phantom-result"),
        (OK, {1: 1, 7: 1}, "phantom-result"),
        (Outcome("ok", right=False), {1: 1}, "wrong-result"),
        (ERROR, {1: 1}, "unexplained-error"),
    ],
)
def test_each_promise_is_broken_by(outcome: Outcome, starts: dict[int, int], slug: str) -> None:
    assert slugs(one_job(outcome), starts) == [slug]


def test_an_error_is_the_right_of_whom_something_was_done_to_meanwhile() -> None:
    model = one_job()
    model.harmed()
    model.ended(1, ERROR)

    assert slugs(model, {1: 1}) == []


def test_what_was_done_before_it_came_explains_no_error_unless_it_lasts() -> None:
    model = PoolModel()
    model.harmed()
    model.ended(model.submitted(), ERROR)
    model.harmed("paused")
    model.ended(model.submitted(), ERROR)
    model.healed()
    model.ended(model.submitted(), ERROR)

    assert [text.partition(":")[0] for _, text in model.broken({})] == ["job 1", "job 3"]


def test_a_denial_of_what_was_run_is_false() -> None:
    model = one_job()
    model.harmed()
    model.ended(1, Outcome("error", text="NeverSent", happened=False))

    assert slugs(model, {1: 1}) == ["false-denial"]
    assert slugs(model, {}) == []


def test_a_start_after_a_granted_cancellation_is_broken_and_one_before_is_not() -> None:
    model = one_job()
    model.cancelled(1, starts=1)

    assert slugs(model, {1: 1}) == []
    assert slugs(model, {1: 2}) == ["duplicate-run", "cancelled-run"]


def test_one_worker_is_not_lent_twice_in_the_same_life() -> None:
    model = PoolModel()
    model.leases = [(0, 1), (0, 2), (1, 1)]
    assert slugs(model, {}) == []
    model.leases.append((1, 1))
    assert slugs(model, {}) == ["double-grant"]


def test_the_first_outcome_counts() -> None:
    model = one_job(OK)
    model.ended(1, ERROR)

    assert model.jobs[1].outcome == OK
