"""The formulas of verdicts, against values from elsewhere and against what they must always hold."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poolproof.stats import deviation, fastest, wilson

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("hits", "trials", "low", "high"),
    [
        # R. G. Newcombe, Statistics in Medicine 17 (1998), table I, method 3.
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_the_interval_is_that_of_newcombes_table(
    hits: int, trials: int, low: float, high: float
) -> None:
    assert wilson(hits, trials) == pytest.approx((low, high), abs=5e-5)


def test_nothing_tried_says_nothing() -> None:
    assert wilson(0, 0) == (0.0, 1.0)


@pytest.mark.parametrize(("hits", "trials"), [(-1, 3), (4, 3)])
def test_an_impossible_count_is_refused(hits: int, trials: int) -> None:
    with pytest.raises(ValueError, match=f"expected 0 <= hits <= trials, got {hits} of {trials}"):
        wilson(hits, trials)


@given(st.integers(1, 10_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_the_share_is_within_its_interval_and_the_interval_within_what_a_share_can_be(
    of: tuple[int, int],
) -> None:
    hits, trials = of
    low, high = wilson(hits, trials)

    assert 0.0 <= low <= hits / trials + 1e-12
    assert hits / trials - 1e-12 <= high <= 1.0


@pytest.mark.parametrize(
    ("measured", "expected", "share"),
    [(1.1, 1.0, 0.1), (0.9, 1.0, 0.1), (1.0, 1.0, 0.0), (0.0, 0.0, 0.0), (1.0, 0.0, math.inf)],
)
def test_a_deviation_counts_both_ways(measured: float, expected: float, share: float) -> None:
    assert deviation(measured, expected) == pytest.approx(share)


def test_the_fastest_of_none_took_no_time() -> None:
    assert (fastest([0.3, 0.1, 0.2]), fastest([])) == (0.1, 0.0)
