"""Numbers that change in steps while a trial runs: how many jobs wait, how many workers are up; and quantiles."""

from collections.abc import Iterator, Sequence
from typing import Final

from poolproof.ranks import percentile

Curve = list[int]
"""Microseconds and values in turn, each time as the difference to the one before: `[0, 2, 130, 1]`."""

MOST_STEPS: Final = 8_000
"""A longer curve is thinned out: of neighbours, the highest stays."""
QUANTILES: Final = (50, 95, 99, 100)


class Steps:
    """Counts what overlaps: each `add` is one more from `begin` to `end`; None: to the end of the axis."""

    def __init__(self) -> None:
        self._changes: dict[str, dict[int, int]] = {}

    def add(self, name: str, begin: int, end: int | None) -> None:
        """Count one more in this time, in microseconds."""
        changes = self._changes.setdefault(name, {})
        changes[begin] = changes.get(begin, 0) + 1
        if end is not None:
            changes[end] = changes.get(end, 0) - 1

    def curve(self, name: str) -> Curve:
        """Return how the number changed; it is 0 before the first change."""
        value, steps = 0, list[tuple[int, int]]()
        for at, change in sorted(self._changes.get(name, {}).items()):
            value += change
            if not steps or steps[-1][1] != value:
                steps.append((at, value))
        return packed(thinned(steps))


def thinned(steps: Sequence[tuple[int, int]], most: int = MOST_STEPS) -> list[tuple[int, int]]:
    """Return at most about `most` steps: of each group of neighbours, the highest and the last."""
    group = -(-len(steps) * 2 // most)
    if group <= 2:  # noqa: PLR2004 - the highest and the last are all there are
        return list(steps)
    kept: list[tuple[int, int]] = []
    for begin in range(0, len(steps), group):
        some = steps[begin : begin + group]
        kept += dict.fromkeys((max(some, key=lambda step: step[1]), some[-1]))
    return kept


def packed(steps: Sequence[tuple[int, int]]) -> Curve:
    """Return the steps as one list, times as differences."""
    curve: Curve = []
    before = 0
    for at, value in steps:
        curve += (at - before, value)
        before = at
    return curve


def pairs(curve: Curve) -> Iterator[tuple[int, int]]:
    """Yield the steps of a curve: when, and how many from then on."""
    at = 0
    for difference, value in zip(curve[::2], curve[1::2], strict=True):
        at += difference
        yield at, value


def around(curve: Curve, at: int) -> tuple[int, int]:
    """Return the number just before a moment, and from it on."""
    before = after = 0
    for when, value in pairs(curve):
        if when > at:
            break
        before, after = (after if when == at else value), value
    return before, after


def quantiles(values: Sequence[int]) -> dict[str, int]:
    """Return the 50th, 95th, 99th percentile and the maximum and how many values there are."""
    ordered = sorted(values)
    if not ordered:
        return {"count": 0}
    ranks = {f"p{q}": percentile(ordered, q) for q in QUANTILES}
    return {"count": len(ordered), **ranks}


def coloured(spans: Sequence[tuple[int, int]], most: int) -> list[int]:
    """Give each span, in order of its beginning, the first row in which nothing is at that time; at most `most` rows.

    Where all rows are taken, the row that is free first is shared.
    """
    free: list[int] = []
    rows: list[int] = []
    for begin, end in spans:
        row = next((i for i, until in enumerate(free) if until <= begin), len(free))
        if row == len(free):
            if row < most:
                free.append(0)
            else:
                row = min(range(most), key=free.__getitem__)
        free[row] = max(free[row], end)
        rows.append(row)
    return rows
