"""Where in all that is kept a measure changed for good: E-divisive, by Apache Otava (`poolproof[change-points]`).

E-divisive (D. S. Matteson, N. A. James, J. American Statistical Association 109, 2014) proposes a point, Student's t
judges it (M. Fleming et al., Hunter, ICPE 2023). A single comparison with yesterday sees neither a slow sequence of
small steps nor which of many runs it was.
"""

import importlib
import statistics
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import msgspec

from poolproof import fingerprint
from poolproof.baseline import Baseline
from poolproof.bench.result import SHARE, Measure
from poolproof.comparison import EFFECT
from poolproof.errors import UsageError

LEAST: Final = 10
"""So many baselines of a measure there must be; of fewer, a change of a tenth is mostly not found."""
BESIDE: Final = 3
"""So many must stand on each side of a change: one or two that differ are an outlier, and no change for good."""
MOST_CHANCE: Final = 1e-4
"""The greatest probability of chance; at Otava's own 1e-3, 6 of 100 histories of noise, 60 long, are accused."""
_WINDOW: Final = 50  # Otava's own

Found = Sequence[tuple[int, float]]


class ChangePoint(msgspec.Struct, frozen=True, kw_only=True):
    """A place in the history of a measure.

    Attributes:
        measure: its name.
        since: the name of the first baseline after it.
        saved_at: when that was saved.
        ratio: the mean cost after it, up to the next, over that before; above 1 is slower.
    """

    measure: str
    since: str
    saved_at: str
    ratio: float


class ChangePoints(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of all that is kept.

    Attributes:
        found: by measure, in order of time.
        measures: how many were looked at.
        baselines: how many of this kind of machine there are.
        elsewhere: how many were left out, because another kind of machine took them.
    """

    found: tuple[ChangePoint, ...]
    measures: int
    baselines: int
    elsewhere: int


def change_points(
    kept: Sequence[Baseline], *, calibrated: bool = False, effect: float = EFFECT
) -> ChangePoints:
    """Return where measures changed.

    Args:
        kept: the baselines, the oldest first; those of the newest one's kind of machine are looked at.
        calibrated: whether multiples of the calibration are; then those of other machines, too.
        effect: the least relative change that counts.

    Raises:
        UsageError: Otava is not installed.
    """
    search, costs = _search(effect), _ratios if calibrated else Measure.costs
    alike = [one for one in kept if calibrated or _of_one_machine(one, kept[-1])]
    series = {name: one for name, one in _series(alike, costs).items() if len(one) >= LEAST}
    return ChangePoints(
        found=tuple(point for name, one in series.items() for point in _points(name, one, search)),
        measures=len(series),
        baselines=len(alike),
        elsewhere=len(kept) - len(alike),
    )


def _of_one_machine(one: Baseline, other: Baseline) -> bool:
    return not fingerprint.differences(one.result.fingerprint, other.result.fingerprint)


def _ratios(measure: Measure) -> Sequence[float]:
    return measure.ratios() if len(measure.calibration) == len(measure.samples) else ()


def _series(
    kept: Sequence[Baseline], costs: Callable[[Measure], Sequence[float]]
) -> dict[str, list[tuple[Baseline, float]]]:
    """Return the median cost of each measure in each baseline that has it."""
    found: dict[str, list[tuple[Baseline, float]]] = {}
    for one in kept:
        for measure in one.result.measures:
            if measure.unit != SHARE and (values := costs(measure)):
                found.setdefault(measure.name, []).append((one, statistics.median(values)))
    return found


def _points(
    name: str,
    series: Sequence[tuple[Baseline, float]],
    search: Callable[[Sequence[float]], Found],
) -> Iterator[ChangePoint]:
    for index, ratio in search([cost for _, cost in series]):
        if BESIDE <= index <= len(series) - BESIDE:
            since = series[index][0]
            yield ChangePoint(measure=name, since=since.name, saved_at=since.saved_at, ratio=ratio)


def _search(effect: float) -> Callable[[Sequence[float]], Found]:
    """Return Otava's search: costs in order of time, to (index of the first after, ratio of the means)."""
    try:
        otava: Any = importlib.import_module("otava.analysis")  # two seconds: it brings scipy
    except ImportError as error:
        raise UsageError(
            f"expected Apache Otava to look for change points, got {error}; install poolproof[change-points]"
        ) from error

    def search(costs: Sequence[float]) -> Found:
        found, _ = otava.compute_change_points(
            list(costs), window_len=_WINDOW, max_pvalue=MOST_CHANCE, min_magnitude=effect
        )
        return [(int(one.index), 1 + float(one.stats.forward_rel_change())) for one in found]

    return search
