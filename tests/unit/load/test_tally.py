"""Rows, added up: latency from when each was due, and void where the load was not offered."""

from array import array
from collections.abc import Callable

import pytest

from poolproof.agent.generator import BLOCKED, BUSY, DROPPED, OK
from poolproof.load.tally import Tally

pytestmark = pytest.mark.unit

MS = 1_000_000
ZERO = 5_000 * MS
Row = tuple[int, int, int, int]


def tally_of(rows: list[Row], times: list[int] | None = None) -> Tally:
    tally = Tally(None if times is None else array("q", times), ZERO)
    tally.take([number for row in rows for number in row])
    return tally


def stalled(count: int, every_ms: int, begin_ms: int, end_ms: int) -> tuple[list[int], list[Row]]:
    """Operations of 1 ms, of a pool that stands still from begin to end; each is sent when it is due."""
    times = [n * every_ms * MS for n in range(count)]
    rows = []
    for number, due in enumerate(times):
        answered = due + MS if not begin_ms * MS <= due < end_ms * MS else end_ms * MS + MS
        rows.append((number, ZERO + due, ZERO + answered, OK))
    return times, rows


def test_a_stall_is_in_the_percentiles_of_all_that_were_due_meanwhile() -> None:
    times, rows = stalled(3_000, every_ms=10, begin_ms=10_000, end_ms=16_000)
    tally = tally_of(rows, times)

    latency = tally.latencies.summary()
    assert latency.p50 == pytest.approx(1, rel=0.01)
    assert latency.p90 > 1_000
    assert latency.p99 > 5_000
    assert latency.longest == pytest.approx(6_001, rel=0.01)


def test_what_was_sent_late_is_timed_from_when_it_was_due() -> None:
    """A generator that is itself held up must not hide it: service time alone looks well here."""
    tally = tally_of([(0, ZERO + 900 * MS, ZERO + 901 * MS, OK)], [0])

    assert tally.latencies.summary().longest == pytest.approx(901, rel=0.01)
    assert tally.service.summary().longest == pytest.approx(1, rel=0.01)


def test_in_a_closed_loop_nothing_is_due_before_it_is_sent() -> None:
    tally = tally_of([(0, ZERO + 900 * MS, ZERO + 901 * MS, OK)])

    assert tally.latencies.summary().longest == pytest.approx(1, rel=0.01)
    assert tally.planned == 0


def test_what_has_no_end_counts_as_having_taken_until_the_end() -> None:
    tally = tally_of([(0, ZERO, ZERO + MS, OK)], [0, MS])

    assert tally.close(ZERO + 8_001 * MS, sent=2) == 1
    assert tally.latencies.summary().count == 2
    assert tally.latencies.summary().longest == pytest.approx(8_000, rel=0.01)


def test_errors_are_counted_by_name_and_are_no_latencies() -> None:
    tally = tally_of(
        [(0, ZERO, ZERO + MS, 1), (1, ZERO, ZERO + MS, 2), (2, ZERO, ZERO, 1)], [0] * 3
    )

    assert tally.error_counts({1: "Boom"}) == {"Boom": 2, "error 2": 1}
    assert tally.latencies.summary().count == 0
    assert tally.answered == 0


def on_time(count: int) -> list[Row]:
    return [(n, ZERO + n * MS, ZERO + n * MS, OK) for n in range(count)]


def late(number: int, by_ms: int) -> Row:
    sent = ZERO + (number + by_ms) * MS
    return (number, sent, sent, OK)


TIMES = [n * MS for n in range(1_000)]


@pytest.mark.parametrize(
    ("rows", "sent", "reason"),
    [
        (lambda: on_time(1_000), 1_000, None),
        (
            lambda: [*on_time(999), (999, ZERO, ZERO, DROPPED)],
            1_000,
            "1 of 1,000 arrivals were dropped",
        ),
        (lambda: on_time(998), 998, "2 of 1,000 arrivals were never sent"),
        (
            lambda: [*on_time(900), *(late(n, 11) for n in range(900, 1_000))],
            1_000,
            "100 of 1,000 arrivals were sent more than 10 ms late",
        ),
        (lambda: [*on_time(995), *(late(n, 11) for n in range(995, 1_000))], 1_000, None),
        (lambda: [*on_time(999), late(999, 1_500)], 1_000, "it sent the last arrival 1.5 s late"),
    ],
    ids=["on-time", "dropped", "unsent", "late", "few-late", "behind"],
)
def test_a_load_that_was_not_offered_is_void(
    rows: Callable[[], list[Row]], sent: int, reason: str | None
) -> None:
    tally = tally_of(rows(), TIMES)
    reasons = list(tally.offered(sent).reasons())

    assert len(reasons) == (reason is not None)
    assert reason is None or reason in reasons[0]


@pytest.mark.parametrize("why", [BLOCKED, BUSY])
def test_who_was_kept_from_sending_by_the_pool_is_not_at_fault(why: int) -> None:
    span = (500, ZERO + 500 * MS, ZERO + 900 * MS, why)
    held_up = [(n, ZERO + 901 * MS, ZERO + 902 * MS, OK) for n in range(500, 900)]
    rows = [*on_time(500), *held_up, *(row for row in on_time(1_000)[900:])]

    assert not list(tally_of([span, *rows], TIMES).offered(1_000).reasons())
    assert list(tally_of(rows, TIMES).offered(1_000).reasons())


def test_an_excuse_does_not_last() -> None:
    """What is late long after the pool let go is the generator's own doing."""
    span = (0, ZERO, ZERO + 10 * MS, BLOCKED)
    rows = [*on_time(900), *(late(n, 20) for n in range(900, 1_000))]

    assert list(tally_of([span, *rows], TIMES).offered(1_000).reasons())


def test_behind_by_the_pools_own_submit_is_a_measurement_and_behind_on_its_loop_is_none() -> None:
    rows = [*on_time(999), late(999, 1_500)]
    begin, end = ZERO + 999 * MS, ZERO + 2_499 * MS

    assert not list(tally_of([(999, begin, end, BLOCKED), *rows], TIMES).offered(1_000).reasons())
    assert list(tally_of([(999, begin, end, BUSY), *rows], TIMES).offered(1_000).reasons())


def test_the_series_tells_what_was_due_answered_and_waiting() -> None:
    times, rows = stalled(30, every_ms=100, begin_ms=1_000, end_ms=2_000)
    series = tally_of(rows, times).seconds()

    assert [row["due"] for row in series] == [10, 10, 10]
    assert [row["waiting"] for row in series] == [0, 10, 0]
    assert series[1]["max_ms"] == pytest.approx(1_001)
    assert series[2]["answered"] == 20
