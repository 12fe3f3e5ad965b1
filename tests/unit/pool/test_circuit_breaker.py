"""A circuit breaker, claim by claim; what holds in any order is said by its model."""

import pytest

from poolproof.pool.circuit_breaker import (
    HISTORY_LENGTH,
    REFUSED,
    Change,
    CircuitBreaker,
    Limits,
)

pytestmark = pytest.mark.unit

MINUTE = 60_000_000_000


def opened(limits: Limits | None = None) -> CircuitBreaker:
    """Return a breaker that opened at 0."""
    breaker = CircuitBreaker(limits)
    while breaker.position == "closed":
        breaker.failed(breaker.admit(0), 0)
    return breaker


def test_numbers_are_the_plan_s() -> None:
    assert Limits() == Limits(
        failures_to_open=5, open_ns=MINUTE, successes_to_close=3, probes_in_flight=3
    )


def test_fifth_failure_in_a_row_opens_it() -> None:
    breaker = opened()

    assert breaker.failures == 5
    assert breaker.admit(MINUTE - 1) == REFUSED
    assert breaker.refusals == 1


def test_success_breaks_a_row() -> None:
    breaker = CircuitBreaker()
    for ok in (False, False, False, False, True, False, False, False, False):
        permit = breaker.admit(0)
        (breaker.succeeded if ok else breaker.failed)(permit, 0)

    assert breaker.position == "closed"


def test_after_a_minute_it_is_half_open_and_admits_three_probes_at_once() -> None:
    breaker = opened()

    assert [breaker.admit(MINUTE) != REFUSED for _ in range(4)] == [True, True, True, False]
    assert breaker.position == "half_open"


def test_probe_that_came_back_makes_room_for_another() -> None:
    """The plan's own bound counted successes, not what is in flight."""
    breaker = opened()
    permits = [breaker.admit(MINUTE) for _ in range(3)]
    breaker.succeeded(permits[0], MINUTE)

    assert breaker.admit(MINUTE) != REFUSED
    assert breaker.admit(MINUTE) == REFUSED


def test_cancelled_probe_makes_room_for_another_and_says_nothing() -> None:
    breaker = opened()
    permits = [breaker.admit(MINUTE) for _ in range(3)]
    breaker.released(permits[0])

    assert breaker.admit(MINUTE) != REFUSED
    assert breaker.position == "half_open"


def test_cancelled_job_neither_breaks_a_row_of_failures_nor_lengthens_it() -> None:
    breaker = CircuitBreaker(Limits(failures_to_open=2))
    breaker.failed(breaker.admit(0), 0)
    breaker.released(breaker.admit(0))
    positions = [breaker.position]
    breaker.failed(breaker.admit(0), 0)
    positions.append(breaker.position)

    assert positions == ["closed", "open"]


def test_third_success_of_a_probe_closes_it() -> None:
    breaker = opened()
    for _ in range(3):
        assert breaker.position != "closed"
        breaker.succeeded(breaker.admit(MINUTE), MINUTE)

    assert breaker.position == "closed"


def test_one_failed_probe_opens_it_again() -> None:
    breaker = opened()
    breaker.succeeded(breaker.admit(MINUTE), MINUTE)
    breaker.failed(breaker.admit(MINUTE), MINUTE + 5)

    assert breaker.position == "open"
    assert breaker.retry_after_ns(MINUTE + 6) == MINUTE - 1


@pytest.mark.parametrize("ok", [True, False])
def test_answer_from_before_it_opened_is_no_probe_s(*, ok: bool) -> None:
    breaker = CircuitBreaker()
    late = breaker.admit(0)
    for _ in range(5):
        breaker.failed(breaker.admit(0), 0)
    probe = breaker.admit(MINUTE)

    (breaker.succeeded if ok else breaker.failed)(late, MINUTE)

    assert breaker.position == "half_open"
    assert probe != late


def test_probes_that_are_never_answered_do_not_hold_it_half_open_for_ever() -> None:
    breaker = opened()
    for _ in range(3):
        breaker.admit(MINUTE)

    assert breaker.admit(2 * MINUTE) == REFUSED
    assert breaker.history()[0].reason == "probe_unanswered"
    assert breaker.admit(3 * MINUTE) != REFUSED


def test_history_tells_each_change_newest_first() -> None:
    breaker = opened()
    breaker.failed(breaker.admit(MINUTE), MINUTE + 5)

    assert breaker.history() == [
        Change("half_open", "open", "probe_failed", MINUTE + 5),
        Change("open", "half_open", "waited", MINUTE),
        Change("closed", "open", "failures", 0),
    ]
    assert breaker.changes == 3


def test_history_is_bounded() -> None:
    breaker = opened(Limits(open_ns=1))
    for now_ns in range(1, HISTORY_LENGTH):
        breaker.failed(breaker.admit(now_ns), now_ns)

    assert breaker.changes > HISTORY_LENGTH == len(breaker.history())


def test_closed_breaker_admits_at_once() -> None:
    assert CircuitBreaker().retry_after_ns(7) == 0
