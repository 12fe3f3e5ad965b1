"""How severe a failure is, what becomes of its worker, and how long recovery may take."""

import pytest

from poolproof.categories import Severity
from poolproof.errors import (
    CheckoutTimeoutError,
    CircuitOpenError,
    DeadlineExceededError,
    FrameError,
    HealthCheckFailedError,
    InitTimeoutError,
    NotCarriedError,
    PoolError,
    RemoteError,
    StartFailedError,
    WorkerDiedError,
)
from poolproof.pool.recovery import Treatment, budget_ns, escalate, is_hopeless, treat

pytestmark = pytest.mark.unit

SECOND = 1_000_000_000


@pytest.mark.parametrize(
    ("severity", "expected"),
    [("minor", "major"), ("major", "critical"), ("critical", "critical")],
)
def test_after_more_than_three_retries_it_is_one_step_worse(
    severity: Severity, expected: Severity
) -> None:
    assert escalate(severity, retries=3) == severity
    assert escalate(severity, retries=4) == expected


def test_it_is_critical_when_all_workers_are_affected() -> None:
    assert escalate("minor", retries=0, all_workers=True) == "critical"


def test_what_is_critical_is_given_up_after_more_than_two_retries() -> None:
    assert [is_hopeless("critical", retries) for retries in (2, 3)] == [False, True]
    assert not is_hopeless("major", 9)


@pytest.mark.parametrize(
    ("severity", "seconds"), [("critical", 5), ("major", 30), ("minor", 60), (None, 10)]
)
def test_budget_is_the_plan_s_and_half_of_it_when_a_user_waits(
    severity: Severity | None, seconds: int
) -> None:
    assert budget_ns(severity) == seconds * SECOND
    assert budget_ns(severity, user_facing=True) == seconds * SECOND // 2


@pytest.mark.parametrize(
    ("error", "action"),
    [
        (WorkerDiedError(""), "remove"),
        (FrameError(""), "remove"),
        (PoolError(""), "remove"),
        (StartFailedError(""), "replace"),
        (InitTimeoutError(""), "replace"),
        (DeadlineExceededError(""), "replace"),
        (CheckoutTimeoutError(""), "keep"),
        (RemoteError("E", ""), "keep"),
        (NotCarriedError(""), "keep"),
        (CircuitOpenError(""), "keep"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, PoolError) else value,
)
def test_worker_is_treated_by_what_happened(error: PoolError, action: str) -> None:
    assert treat(error).action == action


def test_worker_that_fails_a_check_is_degraded_and_removed_after_the_third() -> None:
    error = HealthCheckFailedError("no answer within 5 s")

    assert treat(error, failed_checks=1) == Treatment("degrade", 5 * SECOND)
    assert treat(error, failed_checks=2).action == "degrade"
    assert treat(error, failed_checks=3).action == "remove"
