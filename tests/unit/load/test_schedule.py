"""Schedules: pure, repeatable, and as dense as the shape says."""

import statistics
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poolproof.errors import UsageError
from poolproof.load import mix
from poolproof.load.schedule import MOST_ARRIVALS, SHAPES, Arrivals, Shape, arrivals, pieces

pytestmark = pytest.mark.unit

shapes = st.sampled_from(SHAPES)
spacings: st.SearchStrategy[Arrivals] = st.sampled_from(["poisson", "even"])


@given(shapes, st.floats(1, 300), st.floats(0.5, 20), st.integers(0, 2**32), spacings)
def test_equal_arguments_give_equal_times_in_order_within_the_run(
    shape: Shape, rate: float, seconds: float, seed: int, spacing: Arrivals
) -> None:
    times = arrivals(shape, rate, seconds, seed, spacing=spacing)

    assert times == arrivals(shape, rate, seconds, seed, spacing=spacing)
    assert list(times) == sorted(times)
    assert all(0 <= t <= seconds * 1e9 for t in times)


@given(shapes, st.floats(5, 300), st.floats(1, 20))
def test_evenly_spaced_arrivals_are_as_many_as_the_shape_holds(
    shape: Shape, rate: float, seconds: float
) -> None:
    due = sum(piece.total for piece in pieces(shape, rate, seconds))

    assert abs(len(arrivals(shape, rate, seconds, spacing="even")) - due) <= 1


@given(shapes, st.floats(20, 300), st.floats(2, 20), st.floats(0.05, 0.95))
def test_by_any_moment_as_many_are_due_as_the_rate_adds_up_to(
    shape: Shape, rate: float, seconds: float, share: float
) -> None:
    """Against the integral of the rate by a thousand small steps, not by the formula under test."""
    moment, step = share * seconds, seconds / 1000
    due = sum(
        _rate_at(shape, rate, seconds, (n + 0.5) * step) * step
        for n in range(1000)
        if n < share * 1000
    )
    times = arrivals(shape, rate, seconds, spacing="even")

    assert abs(sum(t <= moment * 1e9 for t in times) - due) <= 1 + rate * step * 2


def _rate_at(shape: Shape, rate: float, seconds: float, t: float) -> float:
    part = t / seconds
    return {
        "steady": rate,
        "ramp": rate * min(1.0, part * 3),
        "spike": rate if 1 / 3 <= part < 2 / 3 else rate / 20,
        "staircase": rate * (int(part * 5) + 1) / 5,
    }[shape]


def test_poisson_gaps_vary_as_much_as_they_are_long() -> None:
    times = arrivals("steady", 1000, 20, seed=3)
    gaps = [b - a for a, b in pairwise(times)]

    assert statistics.mean(gaps) == pytest.approx(1e6, rel=0.03)
    assert statistics.stdev(gaps) == pytest.approx(1e6, rel=0.05)


def test_seeds_differ() -> None:
    assert arrivals("steady", 100, 1, seed=1) != arrivals("steady", 100, 1, seed=2)


def test_the_planned_ramp_rises_for_two_minutes() -> None:
    times = arrivals("ramp", 1000, 420, rise=120, spacing="even")

    assert len(times) == 120 * 500 + 300 * 1000
    assert sum(t < 60e9 for t in times) == pytest.approx(15_000, abs=1)


@pytest.mark.parametrize(
    ("rate", "seconds", "match"),
    [
        (0, 1, "a rate and a time above 0"),
        (1, float("inf"), "a rate and a time above 0"),
        (MOST_ARRIVALS, 2, "at most 20,000,000 arrivals"),
    ],
)
def test_what_cannot_be_is_refused(rate: float, seconds: float, match: str) -> None:
    with pytest.raises(UsageError, match=match):
        arrivals("steady", rate, seconds)


def test_a_ramp_cannot_rise_for_longer_than_the_load() -> None:
    with pytest.raises(UsageError, match="expected a ramp to rise for up to 10 s, got 11 s"):
        arrivals("ramp", 10, 10, rise=11)


def test_a_mix_is_drawn_as_its_weights_say() -> None:
    operations = mix.parse("echo:100=70, sleep:5ms=20, burn:500us=10")
    drawn = mix.draw(operations, 20_000, seed=5)

    assert [one.argument for one in operations] == [100.0, 0.005, 0.0005]
    assert [drawn.count(kind) / 20_000 for kind in range(3)] == pytest.approx(
        [0.7, 0.2, 0.1], abs=0.02
    )
    assert drawn == mix.draw(operations, 20_000, seed=5)


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("", "expected operations"),
        ("read=70", "expected an operation among noop, echo"),
        ("echo=70", "returns its payload, of so many bytes"),
        ("noop:3", "noop: nothing"),
        ("sleep:5=1", "a time such as 500us"),
        ("echo:1e9", "bytes up to"),
        ("noop=-1", "a weight above 0"),
        ("noop=many", "a weight above 0"),
    ],
)
def test_a_mix_that_cannot_be_is_refused_with_what_to_write(text: str, match: str) -> None:
    with pytest.raises(UsageError, match=match):
        mix.parse(text)


def test_arrivals_do_not_depend_on_the_draw_of_the_mix() -> None:
    assert Random(1).random() != Random(1 ^ 0x6D6978).random()
