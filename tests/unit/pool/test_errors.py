"""The nine categories, each by itself: what it says, what becomes of a job, and what its event tells."""

import pickle
from random import Random

import pytest

from poolproof.categories import CATEGORIES
from poolproof.errors import (
    CheckoutTimeoutError,
    CircuitOpenError,
    DeadlineExceededError,
    FrameError,
    HealthCheckFailedError,
    InitTimeoutError,
    NotCarriedError,
    PoolClosedError,
    PoolError,
    PoolExhaustedError,
    QuarantinedError,
    RemoteError,
    ResourceError,
    SessionLostError,
    StartFailedError,
    WorkerDiedError,
)
from poolproof.pool.circuit_breaker import counts_as_failure
from poolproof.pool.retrying import Tries, decide

pytestmark = pytest.mark.unit

# name: severity, strategy, most retries, back-off; written down a second time, from the plan.
PLAN = {
    "initialization": ("critical", "circuit_break", 3, "exponential"),
    "connection": ("major", "backoff_retry", 5, "exponential"),
    "communication": ("major", "immediate_retry", 3, "linear"),
    "timeout": ("major", "backoff_retry", 2, "exponential"),
    "resource": ("critical", "circuit_break", 1, "none"),
    "health_check": ("minor", "backoff_retry", 3, "linear"),
    "session": ("minor", "immediate_retry", 2, "none"),
    "python": ("major", "failover", 1, "none"),
    "system": ("critical", "abandon", 0, "none"),
}
# One error of each category, of a job that certainly did not happen.
ONE_OF_EACH: dict[str, PoolError] = {
    "initialization": StartFailedError("no worker"),
    "connection": WorkerDiedError("not begun", may_have_happened=False),
    "communication": FrameError("torn before it was sent", may_have_happened=False),
    "timeout": CheckoutTimeoutError("no worker was free"),
    "resource": ResourceError("no memory"),
    "health_check": HealthCheckFailedError("no answer"),
    "session": RemoteError("SessionGone", "who are you?", "session"),
    "python": RemoteError("ValueError", "no"),
    "system": PoolClosedError("closed"),
}
ONE_OF_EACH["session"].may_have_happened = False
ONE_OF_EACH["python"].may_have_happened = False
FAR = 10**15


@pytest.mark.parametrize("name", PLAN)
def test_category_is_as_planned(name: str) -> None:
    row = CATEGORIES[name]

    assert (row.severity, row.strategy, row.max_retries, row.backoff) == PLAN[name]
    assert len(CATEGORIES) == len(PLAN)


@pytest.mark.parametrize("name", PLAN)
def test_strategy_of_the_category_is_followed(name: str) -> None:
    decision = decide(ONE_OF_EACH[name], Tries(), now_ns=1, deadline_ns=FAR, rng=Random(1))

    verdicts = {"abandon": "give_up", "failover": "fail_over"}
    assert decision.verdict == verdicts.get(PLAN[name][1], "retry")
    assert decision.severity == PLAN[name][0]


@pytest.mark.parametrize("name", PLAN)
def test_context_tells_where_it_happened(name: str) -> None:
    cause = OSError("below")
    error = pickle.loads(pickle.dumps(ONE_OF_EACH[name]))
    error.__cause__ = cause

    context = error.at(attempt=2, layer="mock", worker=3, epoch=4, session="s").context

    assert context.category == name
    assert context.severity == PLAN[name][0]
    assert (context.worker, context.epoch) == (3, 4)
    assert (context.session, context.attempt, context.layer) == ("s", 2, "mock")
    assert context.cause is cause
    assert context.may_have_happened is error.may_have_happened


@pytest.mark.parametrize("name", PLAN)
def test_event_carries_the_context_as_plain_data(name: str) -> None:
    error = pickle.loads(pickle.dumps(ONE_OF_EACH[name]))
    error.__cause__ = OSError("below")

    data = error.at(attempt=1, layer="full", worker=0, epoch=1, session="s").context.data()

    assert data == {
        "category": name,
        "severity": PLAN[name][0],
        "may_have_happened": error.may_have_happened,
        "attempt": 1,
        "layer": "full",
        "worker": 0,
        "epoch": 1,
        "session": "s",
        "cause": "OSError: below",
    }


@pytest.mark.parametrize(
    ("error", "category", "happened"),
    [
        (StartFailedError(""), "initialization", False),
        (InitTimeoutError(""), "initialization", False),
        (WorkerDiedError(""), "connection", True),
        (FrameError(""), "communication", True),
        (NotCarriedError(""), "communication", False),
        (DeadlineExceededError(""), "timeout", True),
        (CheckoutTimeoutError(""), "timeout", False),
        (ResourceError(""), "resource", False),
        (PoolExhaustedError(""), "resource", False),
        (CircuitOpenError(""), "resource", False),
        (HealthCheckFailedError(""), "health_check", False),
        (SessionLostError(""), "session", False),
        (RemoteError("E", ""), "python", True),
        (PoolClosedError(""), "system", False),
        (QuarantinedError(""), "system", True),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, PoolError) else "",
)
def test_error_says_its_category_and_whether_the_job_may_have_happened(
    error: PoolError, category: str, *, happened: bool
) -> None:
    assert error.category is CATEGORIES[category]
    assert error.may_have_happened is happened


@pytest.mark.parametrize(
    "error",
    [
        NotCarriedError(""),
        PoolExhaustedError(""),
        CircuitOpenError(""),
        SessionLostError(""),
        PoolClosedError(""),
        QuarantinedError(""),
    ],
    ids=lambda error: type(error).__name__,
)
def test_refusal_is_neither_held_against_a_worker_nor_tried_again(error: PoolError) -> None:
    decision = decide(error, Tries(), now_ns=1, deadline_ns=FAR, rng=Random(1), idempotent=True)

    assert not counts_as_failure(error)
    assert (decision.verdict, decision.reason) == ("give_up", "hopeless")


@pytest.mark.parametrize("error", [RemoteError("E", "e"), WorkerDiedError(""), ValueError()])
def test_returned_error_counts_as_a_failure(error: Exception) -> None:
    assert counts_as_failure(error)


def test_cancellation_is_no_failure() -> None:
    assert not counts_as_failure(KeyboardInterrupt())


def test_deadline_is_a_timeout_error_too() -> None:
    with pytest.raises(TimeoutError):
        raise CheckoutTimeoutError("expected a free worker within 1 s, got none")


def test_worker_s_error_keeps_its_fields_through_pickling() -> None:
    error = RemoteError("ValueError", "no", "resource", "Traceback ...").at(attempt=1, worker=2)

    again = pickle.loads(pickle.dumps(error))

    assert str(again) == "ValueError: no"
    assert (again.type_name, again.message, again.remote_traceback) == (
        "ValueError",
        "no",
        "Traceback ...",
    )
    assert again.category is CATEGORIES["resource"]
    assert again.may_have_happened
    assert again.context == error.context


def test_error_of_two_jobs_is_copied_so_that_their_contexts_never_meet() -> None:
    death = WorkerDiedError("killed", may_have_happened=False)
    death.__cause__ = EOFError("end of file")

    errors = [death.at(attempt=1, worker=0, session=f"s{job}") for job in range(5)]

    assert len({id(error) for error in errors}) == 5
    assert [error.context.session for error in errors if error.context] == [
        "s0",
        "s1",
        "s2",
        "s3",
        "s4",
    ]
    assert all(not error.may_have_happened for error in errors)
    assert all(error.context and error.context.cause is death.__cause__ for error in errors)
    assert all(str(error) == "killed" for error in errors)


def test_escalated_severity_stands_in_the_context() -> None:
    context = WorkerDiedError("").at(severity="critical").context

    assert context
    assert (context.category, context.severity) == ("connection", "critical")
