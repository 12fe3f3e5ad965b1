"""What a percentile is: the nearest rank, everywhere here."""

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import TypeVar

Value = TypeVar("Value", int, float)


def rank(percent: float, count: int) -> int:
    """Return which of `count` values in order is the percentile: the first with `percent` of all at or below it.

    This is the nearest rank, ceil(percent * count / 100), counted from 1: the one definition of a percentile here.
    `percent` is taken as the decimal that is written, so that 99.9 of 1,000 is the 999th.

    Raises:
        ValueError: there is no value, or no such percentile.
    """
    if count < 1 or not 0 <= percent <= 100:  # noqa: PLR2004 - per cent
        raise ValueError(f"expected 0 to 100 per cent of 1 value or more, got {percent} of {count}")
    return max(1, math.ceil(Fraction(repr(percent)) * count / 100))


def percentile(ordered: Sequence[Value], percent: float) -> Value:
    """Return the percentile of values that are in ascending order; see `rank`."""
    return ordered[rank(percent, len(ordered)) - 1]
