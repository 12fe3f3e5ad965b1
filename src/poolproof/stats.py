"""The few formulas that verdicts rest on: pure functions from numbers to numbers."""

import math
from collections.abc import Iterable
from typing import Final, NamedTuple

Z_95: Final = 1.959964
"""The two-sided 95 % quantile of the standard normal distribution."""


class Interval(NamedTuple):
    """A share's confidence interval, both ends within 0 to 1."""

    low: float
    high: float


def wilson(hits: int, trials: int, z: float = Z_95) -> Interval:
    """Return the Wilson score interval of `hits` of `trials` (E. B. Wilson, 1927).

    Nothing tried says nothing: the interval of 0 of 0 is everything.

    Raises:
        ValueError: there are fewer than no hits, or more hits than trials.
    """
    if not 0 <= hits <= trials:
        raise ValueError(f"expected 0 <= hits <= trials, got {hits} of {trials}")
    if trials == 0:
        return Interval(0.0, 1.0)
    share, n = hits / trials, trials
    middle = share + z**2 / (2 * n)
    spread = z * math.sqrt(share * (1 - share) / n + z**2 / (4 * n * n))
    scale = 1 + z**2 / n
    return Interval(max(0.0, (middle - spread) / scale), min(1.0, (middle + spread) / scale))


def deviation(measured: float, expected: float) -> float:
    """Return how far `measured` is from `expected`, as a share of it: 0.1 is 10 %; infinite if nothing was expected."""
    if expected == measured:
        return 0.0
    return abs(measured - expected) / expected if expected else math.inf


def fastest(seconds: Iterable[float]) -> float:
    """Return the least of several durations of the same work: noise only ever adds; 0 of none."""
    return min(seconds, default=0.0)
