"""Percentiles: one definition, held by exact values and by the histogram, against brute force."""

import math
from fractions import Fraction
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poolproof.latency import Histogram
from poolproof.ranks import percentile, rank

pytestmark = pytest.mark.unit

PERCENTS = (0.0, 1.0, 50.0, 90.0, 95.0, 99.0, 99.9, 99.99, 100.0)
UNIT_NS = 1024


def brute_force(values: list[int], percent: float) -> int:
    """The least value that at least so many per cent of all do not exceed, by trying each."""
    share = Fraction(repr(percent)) / 100
    n = len(values)
    return next(v for v in sorted(values) if Fraction(sum(w <= v for w in values), n) >= share)


def told_ns(values: list[int], percent: float) -> float:
    histogram = Histogram()
    histogram.record(values)
    return histogram.percentile_ms(percent) * 1e6


def near(told: float, exact: int) -> bool:
    """Within the stated precision: a thousandth, or the unit that is counted in, up or down."""
    return abs(told - exact) <= max(UNIT_NS, exact / 1000) + UNIT_NS


@given(st.lists(st.integers(0, 10**12), min_size=1, max_size=60), st.sampled_from(PERCENTS))
def test_a_percentile_is_what_brute_force_finds(values: list[int], percent: float) -> None:
    assert percentile(sorted(values), percent) == brute_force(values, percent)


@given(
    st.lists(st.integers(0, 3_000_000_000_000), min_size=1, max_size=60), st.sampled_from(PERCENTS)
)
def test_the_histogram_agrees_within_its_precision(values: list[int], percent: float) -> None:
    assert near(told_ns(values, percent), brute_force(values, percent))


def test_a_rank_is_that_of_the_decimal_that_is_written() -> None:
    """99.9 * 1000 / 100 is a little more than 999 in binary, and its ceiling 1,000 would be wrong."""
    assert rank(99.9, 1000) == 999
    assert rank(99.99, 10_000) == 9_999
    assert rank(50, 3) == 2
    assert rank(0, 5) == 1


def test_a_rank_that_is_rounded_is_told_from_the_right_one() -> None:
    """As hdrhistogram has it of its own, 99 % of 160 is the 158th; then two in 160 exceed it."""
    values = [1_000_000] * 158 + [10_000_000_000, 20_000_000_000]

    assert int(99 * 160 / 100 + 0.5) == 158
    assert near(told_ns(values, 99), 10_000_000_000)


@pytest.mark.parametrize(("percent", "count"), [(50, 0), (-1, 3), (100.1, 3), (math.nan, 3)])
def test_no_percentile_of_nothing_nor_beyond_all(percent: float, count: int) -> None:
    with pytest.raises(ValueError, match="expected 0 to 100 per cent of 1 value or more"):
        rank(percent, count)


def test_histograms_that_are_added_say_what_one_of_all_says() -> None:
    rng = Random(8)
    runs = [[int(rng.lognormvariate(12, 2)) for _ in range(2_000)] for _ in range(3)]
    whole, merged = Histogram(), Histogram()
    for run in runs:
        part = Histogram()
        part.record(run)
        whole.record(run)
        merged.add(part)

    assert merged.summary() == whole.summary()
    mean_of_p99 = sum(percentile(sorted(run), 99) for run in runs) / 3
    assert merged.percentile_ms(99) * 1e6 != pytest.approx(mean_of_p99, rel=0.001)


def test_what_is_counted_coarsely_first_is_told_alike() -> None:
    rng = Random(9)
    values = [int(rng.lognormvariate(16, 3)) for _ in range(20_000)]
    at_once, often = Histogram(), Histogram()
    at_once.record(values)
    for value in values:
        often.record([value])
        if len(often._counts) > 500:
            often._coarsen()
    plain = Histogram()
    for value in values:
        plain._hdr.record_value(max(1, value >> 10))

    assert at_once.summary() == often.summary() == plain.summary()


def test_an_empty_histogram_says_nothing() -> None:
    assert Histogram().summary().count == 0
    assert Histogram().summary().p99 == 0.0
