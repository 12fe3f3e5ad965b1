"""How severe a failure is by now, and how long recovery from it may take."""

import pytest

from poolproof.categories import Severity
from poolproof.pool.recovery import budget_ns, escalate, is_hopeless

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
