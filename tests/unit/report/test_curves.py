"""Numbers in steps: counted, packed, thinned, looked up around a moment; quantiles; rows for what overlaps."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poolproof.report.curves import (
    MOST_STEPS,
    Steps,
    around,
    coloured,
    packed,
    pairs,
    quantiles,
    thinned,
)

pytestmark = pytest.mark.unit

TIMES = st.integers(0, 50)
SPANS = st.lists(st.tuples(TIMES, TIMES).map(lambda pair: (min(pair), max(pair) + 1)))


@given(SPANS)
def test_a_curve_counts_what_is_there(spans: list[tuple[int, int]]) -> None:
    steps = Steps()
    for begin, end in spans:
        steps.add("here", begin, end)
    curve = steps.curve("here")

    for at in range(53):
        assert around(curve, at)[1] == sum(begin <= at < end for begin, end in spans)
        assert around(curve, at)[0] == sum(begin <= at - 1 < end for begin, end in spans)


def test_what_never_ends_counts_to_the_end() -> None:
    steps = Steps()
    steps.add("waiting", 5, None)

    assert list(pairs(steps.curve("waiting"))) == [(5, 1)]
    assert steps.curve("other") == []


@given(SPANS)
def test_a_packed_curve_is_the_same_curve(spans: list[tuple[int, int]]) -> None:
    steps = sorted(dict(spans).items())

    assert list(pairs(packed(steps))) == steps


def test_a_long_curve_is_thinned_and_keeps_its_peak() -> None:
    steps = [(at, 900 if at == 77_777 else at % 7) for at in range(100_000)]
    kept = thinned(steps)

    assert len(kept) <= MOST_STEPS + 2
    assert (77_777, 900) in kept
    assert kept[-1] == steps[-1]
    assert kept == sorted(kept)


def test_quantiles_are_by_nearest_rank() -> None:
    assert quantiles(list(range(1, 101))) == {
        "count": 100,
        "p50": 50,
        "p95": 95,
        "p99": 99,
        "p100": 100,
    }
    assert quantiles([7]) == {"count": 1, "p50": 7, "p95": 7, "p99": 7, "p100": 7}
    assert quantiles([]) == {"count": 0}


@given(SPANS)
def test_spans_of_one_row_never_overlap_where_there_are_rows_enough(
    spans: list[tuple[int, int]],
) -> None:
    spans.sort()
    rows = coloured(spans, most=len(spans) + 1)

    for i, (begin, _) in enumerate(spans):
        assert all(spans[j][1] <= begin for j in range(i) if rows[j] == rows[i])


@given(SPANS, st.integers(1, 3))
def test_there_are_never_more_rows_than_allowed(spans: list[tuple[int, int]], most: int) -> None:
    assert set(coloured(sorted(spans), most)) <= set(range(most))
