"""Bounds: read, judged, and refused with what can be bounded."""

import pytest

from poolproof.errors import UsageError
from poolproof.load.slo import Bound, judge, parse

pytestmark = pytest.mark.unit


def test_the_planned_bounds_are_read_in_their_units() -> None:
    assert parse("p99<100ms, errors<0.1%, recovery<=0.5s, throughput>1000, rss<50MB") == (
        Bound(metric="p99", relation="<", value=100.0),
        Bound(metric="errors", relation="<", value=0.1),
        Bound(metric="recovery", relation="<=", value=500.0),
        Bound(metric="throughput", relation=">", value=1000.0),
        Bound(metric="rss", relation="<", value=50.0),
    )


def test_a_bound_is_kept_on_its_side_only() -> None:
    measured = {"p99": 100.0, "errors": 0.05, "throughput": 999.0}
    judged = judge(parse("p99<100ms, p99<=100ms, errors<0.1%, throughput>=1000"), measured)

    assert [one.kept for one in judged] == [False, True, True, False]


def test_a_bound_on_what_was_not_measured_is_not_kept() -> None:
    judged = judge(parse("recovery<500ms"), {"recovery": None})

    assert not judged[0].kept
    assert str(judged[0]) == "recovery<500ms: nothing measured"


@pytest.mark.parametrize(
    "text", ["p98<1ms", "p99=1ms", "p99<1", "errors<1ms", "p99<ms", "p99<-1ms"]
)
def test_what_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"expected (a bound such as|p99 in|errors in)"):
        parse(text)
