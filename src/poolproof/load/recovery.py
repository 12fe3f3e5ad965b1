"""What a fault did to a load, and for how long: detection, depth, length and repair, from what was seen outside.

Goodput is counted in slices. It is low in a slice that has less than chance alone would leave of the level before the
fault: three standard deviations of a Poisson count, and at least a tenth.
"""

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

SLICE_NS: Final = 50_000_000
LEAST_IN_SLICE: Final = 20
BEFORE_NS: Final = 5_000_000_000
STEADY_NS: Final = 1_000_000_000
"""For how long goodput must be back before that counts as repaired."""
LOW_SHARE: Final = 0.9
_MS: Final = 1e-6


class Curve(msgspec.Struct, frozen=True, kw_only=True):
    """What one fault did; times in milliseconds.

    Attributes:
        fault: its kind.
        at_ms: when it took effect, from the load's beginning.
        heal_ms: when it was undone; None where nothing undoes it but the pool.
        detected_ms: from the effect to the first sign that the pool knew: an operation told as failed,
            or a worker born in the dead one's place. None: there was none.
        repaired_ms: from the effect, or from the heal where there is one, until goodput and workers were
            back, and stayed for a second. None: they did not come back in the run.
        depth: the greatest part of goodput that was gone, 0 to 1; 0 where there was no dip.
        dip_ms: for how long goodput was low.
        slice_ms: how long the slices are in which goodput was counted, so that twenty answers are usual in each.
    """

    fault: str
    at_ms: float
    heal_ms: float | None
    detected_ms: float | None
    repaired_ms: float | None
    depth: float
    dip_ms: float
    slice_ms: float = SLICE_NS * _MS


def curve(
    fault: str,
    at: int,
    heal: int | None,
    *,
    good: Mapping[int, int],
    failed: Sequence[int],
    live: Sequence[tuple[int, int]],
    births: Sequence[int],
    workers: int,
    until: int,
) -> Curve:
    """Return the curve of one fault; all times in nanoseconds from the load's beginning.

    Args:
        fault: its kind.
        at: when it took effect.
        heal: when it was undone, if that was not left to the pool.
        good: right answers, by the number of the slice in which they came.
        failed: when operations failed.
        live: (when, how many workers lived), in order.
        births: when a worker was first seen that had not been there.
        workers: how many there should be.
        until: when the load ended, or the next fault began.
    """
    wide = _width(good, at)
    slice_ns, counts = SLICE_NS * wide, _widened(good, wide)
    first, last = at // slice_ns, until // slice_ns
    before = range(max(0, first - BEFORE_NS // slice_ns), first)
    level = statistics.median([counts.get(n, 0) for n in before]) if before else 0.0
    low = [n for n in range(first, last) if counts.get(n, 0) < _bound(level)]
    origin = at if heal is None else heal
    bad = [(n * slice_ns, (n + 1) * slice_ns) for n in low] + _short(live, workers, until)
    back = _back(bad, origin, until)
    dip = [n for n in low if back is None or n * slice_ns < max(back, origin)]
    seen = [t for t in (*failed, *births) if t >= at]
    return Curve(
        fault=fault,
        at_ms=at * _MS,
        heal_ms=None if heal is None else heal * _MS,
        detected_ms=(min(seen) - at) * _MS if seen else None,
        repaired_ms=None if back is None else (back - origin) * _MS,
        depth=max((1 - counts.get(n, 0) / level for n in dip), default=0.0),
        dip_ms=len(dip) * slice_ns * _MS,
        slice_ms=slice_ns * _MS,
    )


def _width(good: Mapping[int, int], at: int) -> int:
    """Return how many slices make one that has enough answers to tell a dip from chance; a second at most."""
    slices = at // SLICE_NS
    total = sum(count for n, count in good.items() if n < slices)
    return min(max(1, math.ceil(LEAST_IN_SLICE * slices / total)), 20) if total else 20


def _widened(good: Mapping[int, int], wide: int) -> dict[int, int]:
    counts: dict[int, int] = {}
    for n, count in good.items():
        counts[n // wide] = counts.get(n // wide, 0) + count
    return counts


def _bound(level: float) -> float:
    return min(LOW_SHARE * level, level - 3 * math.sqrt(level))


def _short(live: Sequence[tuple[int, int]], workers: int, until: int) -> list[tuple[int, int]]:
    """Return the times in which workers were missing: from each look that found it so to the next."""
    ends = [t for t, _ in live[1:]] + [until]
    return [(t, end) for (t, n), end in zip(live, ends, strict=True) if n < workers]


def _back(bad: Sequence[tuple[int, int]], origin: int, until: int) -> int | None:
    """Return when the first window began, from the origin on, in which nothing was bad for long enough."""
    for begin in sorted({origin, *(end for _, end in bad if end > origin)}):
        if begin + STEADY_NS > until:
            return None
        if not any(first < begin + STEADY_NS and end > begin for first, end in bad):
            return begin
    return None
