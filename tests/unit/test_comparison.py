"""The verdict on a change, on samples whose truth is known: noise, drift and a busy neighbour made by a seed."""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from random import Random

import pytest

from poolproof.comparison import (
    compare_pairs,
    compare_samples,
    compare_shares,
    decide,
    judge,
    student,
    trimmed_mean,
)

pytestmark = pytest.mark.unit

Measure = Callable[[int], Sequence[tuple[float, float]]]


def machine(seed: int, change: float, *, noise: float = 0.04) -> Measure:
    """Pairs of times: each with noise of its own, both with a drift, some hit by a neighbour."""
    rng, drift = Random(seed), [0.0]

    def once(scale: float) -> float:
        hit = 0.5 if rng.random() < 0.1 else 0.0
        return 1e-3 * scale * math.exp(drift[0] + rng.gauss(0, noise) + hit)

    def measure(count: int) -> Sequence[tuple[float, float]]:
        pairs = []
        for _ in range(count):
            drift[0] += rng.gauss(0, 0.05)
            first, second = once(1.0), once(1 + change)
            pairs.append((first, second))
        return pairs

    return measure


def verdicts(change: float, times: int) -> Counter[str]:
    return Counter(decide(machine(seed, change)).verdict for seed in range(times))


def test_a_against_a_is_hardly_ever_called_a_change() -> None:
    found = verdicts(0.0, 30)

    assert found["faster"] + found["slower"] <= 1
    assert found["same"] >= 15


def test_a_change_of_a_tenth_is_found_both_ways() -> None:
    assert verdicts(0.10, 20)["slower"] >= 18
    assert verdicts(-0.10, 20)["faster"] >= 18


def test_a_change_of_three_hundredths_is_never_called_the_same() -> None:
    found = verdicts(0.03, 20)

    assert found["same"] == 0
    assert found["faster"] == 0


def test_one_number_would_have_been_wrong_where_the_pairs_are_right() -> None:
    """The ablation: the means of one short run each, compared as they are, call noise a change."""
    wrong = 0
    for seed in range(50):
        pairs = machine(seed, 0.0)(5)
        old, new = (sum(side) for side in zip(*pairs, strict=True))
        wrong += not 0.975 < new / old < 1.025

    assert wrong > 10


def test_drift_between_two_runs_is_taken_for_a_change_without_pairs() -> None:
    pairs = machine(3, 0.0)(160)
    old = [first for first, _ in pairs[:80]]
    new = [second for _, second in pairs[80:]]

    assert compare_pairs(pairs).verdict in {"same", "inconclusive"}
    assert compare_samples(old, new).verdict in {"faster", "slower"}


def test_samples_of_a_steady_machine_are_compared_as_well() -> None:
    rng = Random(1)
    old = [math.exp(rng.gauss(0, 0.05)) for _ in range(200)]

    assert compare_samples(old, [1.1 * value for value in old]).verdict == "slower"
    assert compare_samples(old, old).verdict == "same"


@pytest.mark.parametrize(
    ("ratio", "low", "high", "verdict"),
    [
        (1.0, 0.99, 1.01, "same"),
        (1.02, 1.01, 1.024, "same"),
        (1.02, 1.01, 1.03, "inconclusive"),
        (1.03, 1.01, 1.05, "slower"),
        (1.10, 0.99, 1.20, "inconclusive"),
        (0.95, 0.90, 0.99, "faster"),
        (0.99, 0.96, 0.995, "inconclusive"),
    ],
)
def test_the_verdict_follows_from_the_interval(
    ratio: float, low: float, high: float, verdict: str
) -> None:
    assert judge(ratio, low, high) == verdict


def test_too_few_pairs_say_nothing() -> None:
    assert compare_pairs([(1.0, 2.0)] * 14).verdict == "inconclusive"
    assert compare_pairs([(1.0, 2.0)] * 15).verdict == "slower"


def test_a_time_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="expected times above 0"):
        compare_pairs([(0.0, 1.0)] * 20)


@pytest.mark.parametrize(
    ("confidence", "freedom", "table"),
    [
        (0.95, 10, 2.228),
        (0.99, 8, 3.355),
        (0.99, 30, 2.750),
        (0.999, 11, 4.437),
        (0.999, 120, 3.373),
    ],
)
def test_students_quantile_is_that_of_the_tables(
    confidence: float, freedom: int, table: float
) -> None:
    assert student(confidence, freedom) == pytest.approx(table, rel=0.02)


def test_the_trimmed_mean_leaves_out_a_fifth_on_each_side() -> None:
    assert trimmed_mean([1, 2, 3, 4, 1000]) == 3
    assert trimmed_mean([5.0]) == 5.0


def tries(happened: int, of: int) -> list[bool]:
    return [number < happened for number in range(of)]


@pytest.mark.parametrize(
    ("old", "new", "low", "high"),
    [
        ((48, 80), (56, 70), 0.0524, 0.3339),  # Newcombe's own first example, method 10
        ((0, 10), (0, 10), -0.2775, 0.2775),
    ],
)
def test_the_interval_of_two_shares_is_that_of_its_author(
    old: tuple[int, int], new: tuple[int, int], low: float, high: float
) -> None:
    found = compare_shares(tries(*old), tries(*new), confidence=0.95)

    assert (found.low - 1, found.high - 1) == pytest.approx((low, high), abs=0.0001)


def test_what_never_happened_in_a_few_tries_is_not_called_the_same() -> None:
    verdicts = [compare_shares(tries(0, n), tries(0, n)).verdict for n in (20, 1000)]

    assert verdicts == ["inconclusive", "same"]
