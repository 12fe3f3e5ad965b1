"""What is suspected of a tree, and how long a suspicion is waited for before it is confirmed."""

import pytest

from poolproof.chaos.patience import (
    AFTER_DUE_SECONDS,
    LEAST_PARK_SECONDS,
    PATIENCE,
    SPIN_SECONDS,
    SPIN_SHARE,
    Suspicion,
    Why,
    confirmed_at,
    suspected,
)
from poolproof.watch.quiet import Empty, Idling, Moving, Quiet, Verdict

pytestmark = pytest.mark.unit

QUIET = Quiet(since_ns=1, due_ns=None)
IDLING = Idling(since_ns=1, periods=3, period_ns=5)
DEADLINE = 10.0


def suspicion(why: Why, *, waited: float = 0.5, due: float | None = None) -> Suspicion:
    return Suspicion(
        why=why, at=100.0, waited=waited, due=due, seen=0, print=None, activity=((), 0)
    )


@pytest.mark.parametrize(
    ("verdict", "still_seconds", "busy_share", "expected"),
    [
        (QUIET, 0.0, 0.0, ("quiet", None)),
        (Quiet(since_ns=1, due_ns=3_500_000_000), 0.0, 0.0, ("quiet", 3.5)),
        (IDLING, 0.0, 1.0, ("idling", None)),
        (
            Idling(since_ns=1, periods=3, period_ns=5, due_ns=2_000_000_000),
            0.0,
            0.0,
            ("idling", 2.0),
        ),
        (Empty(since_ns=1), 100.0, 1.0, None),
        (Moving("it runs"), 0.0, 1.0, None),
        (Moving("it runs"), SPIN_SECONDS - 0.001, 1.0, None),
        (Moving("it runs"), SPIN_SECONDS, SPIN_SHARE, ("spinning", None)),
        (Moving("it runs"), 50.0, 0.9, ("spinning", None)),
        (Moving("it polls"), SPIN_SECONDS, SPIN_SHARE - 0.01, ("idling", None)),
    ],
)
def test_what_is_suspected(
    verdict: Verdict,
    still_seconds: float,
    busy_share: float,
    expected: tuple[Why, float | None] | None,
) -> None:
    assert suspected(verdict, still_seconds, busy_share, still_seconds) == expected


def test_who_got_no_processor_is_not_suspected_of_spinning() -> None:
    runs = Moving("it runs")

    assert suspected(runs, 5.0, 0.9, computed_seconds=0.4) is None
    assert suspected(runs, 5.0, 0.9, computed_seconds=0.5) == ("spinning", None)
    assert suspected(runs, 5.0, 0.1, computed_seconds=0.0) == ("idling", None)


@pytest.mark.parametrize("why", ["owner-gone", "livelock"])
def test_what_no_waiting_can_mend_is_confirmed_at_once(why: Why) -> None:
    assert confirmed_at(suspicion(why, waited=9.0, due=500.0), DEADLINE) == 100.0


@pytest.mark.parametrize("why", ["quiet", "idling", "overdue"])
def test_a_suspicion_is_confirmed_at_ten_times_the_wait(why: Why) -> None:
    assert PATIENCE == 10
    assert confirmed_at(suspicion(why, waited=0.5), DEADLINE) == 105.0


def test_a_short_wait_is_still_given_a_while() -> None:
    assert confirmed_at(suspicion("quiet", waited=0.01), DEADLINE) == 100.0 + LEAST_PARK_SECONDS


def test_a_timer_that_is_due_later_is_outwaited() -> None:
    late = suspicion("quiet", waited=0.5, due=130.0)

    assert confirmed_at(late, DEADLINE) == 130.0 + AFTER_DUE_SECONDS


def test_a_timer_that_is_due_sooner_changes_nothing() -> None:
    assert confirmed_at(suspicion("quiet", waited=0.5, due=101.0), DEADLINE) == 105.0


def test_a_spinning_tree_is_given_the_whole_deadline() -> None:
    assert confirmed_at(suspicion("spinning", waited=0.5), DEADLINE) == 110.0
    assert confirmed_at(suspicion("spinning", waited=2.0), DEADLINE) == 110.0
