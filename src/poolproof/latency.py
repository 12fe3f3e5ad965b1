"""Latencies: recorded by the hundred thousand, kept as an HDR histogram, told as percentiles by one formula."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from hdrh.histogram import HdrHistogram  # type: ignore[import-untyped]

from poolproof.ranks import rank

LONGEST_NS: Final = 3600 * 1_000_000_000
DIGITS: Final = 3
"""Significant digits: a percentile is right within a thousandth, or within 1,024 ns where that is more."""
_SHIFT: Final = 10
_BITS: Final = 11  # of a value that the HDR histogram keeps, at three digits
_FOLD_AT: Final = 4096
_NS_PER_MS: Final = 1_000_000
_TOLD: Final = (50.0, 90.0, 95.0, 99.0, 99.9, 99.99)


@dataclass(frozen=True, slots=True, kw_only=True)
class Latencies:
    """A distribution of latencies, in milliseconds; all 0 where there was none.

    Attributes:
        count: how many.
        mean: their mean.
        p50, p90, p95, p99, p999, p9999: half, nine tenths, ... of them were at most so long.
        longest: the longest.
    """

    count: int
    mean: float
    p50: float
    p90: float
    p95: float
    p99: float
    p999: float
    p9999: float
    longest: float


class Histogram:
    """Latencies in nanoseconds, up to an hour, in bounded memory.

    They are counted by the microsecond (of 1,024 ns) first, which costs a tenth of a recording; where
    there are many, by what the HDR histogram tells apart, which costs a third; and they are folded
    into it when somebody asks.
    """

    def __init__(self) -> None:
        self._counts: Counter[int] = Counter()
        self._coarse: Counter[int] = Counter()
        self._hdr: Any = HdrHistogram(1, LONGEST_NS >> _SHIFT, DIGITS)

    def record(self, latencies_ns: Iterable[int]) -> None:
        """Take a batch of latencies."""
        self._counts.update([ns >> _SHIFT for ns in latencies_ns])
        if len(self._counts) > _FOLD_AT:
            self._coarsen()

    def _coarsen(self) -> None:
        coarse = self._coarse
        for value, count in self._counts.items():
            shift = value.bit_length() - _BITS
            coarse[value >> shift << shift if shift > 0 else value] += count
        self._counts.clear()

    def _fold(self) -> None:
        self._coarsen()
        longest = LONGEST_NS >> _SHIFT
        for value, count in self._coarse.items():
            self._hdr.record_value(min(max(value, 1), longest), count)
        self._coarse.clear()

    def add(self, other: "Histogram") -> None:
        """Take all that another one holds: how the percentiles of several runs are had, never by averaging them."""
        self._fold()
        other._fold()  # noqa: SLF001 - of the same class
        self._hdr.add(other._hdr)  # noqa: SLF001

    def percentiles_ms(self, percents: Iterable[float]) -> list[float]:
        """Return what each share of all were at most, in milliseconds; 0 of none."""
        self._fold()
        total = int(self._hdr.get_total_count())
        wanted = [rank(percent, total) if total else 0 for percent in percents]
        found: dict[int, float] = {0: 0.0}
        seen, left = 0, sorted(set(wanted) - {0}, reverse=True)
        for index, count in enumerate(self._hdr.counts):
            seen += count
            while left and left[-1] <= seen:
                found[left.pop()] = self._ms_at(index)
            if not left:
                break
        return [found[one] for one in wanted]

    def _ms_at(self, index: int) -> float:
        value = self._hdr.get_highest_equivalent_value(self._hdr.get_value_from_index(index))
        return float(value << _SHIFT) / _NS_PER_MS

    def percentile_ms(self, percent: float) -> float:
        """Return what `percent` of all were at most, in milliseconds."""
        return self.percentiles_ms([percent])[0]

    def summary(self) -> Latencies:
        """Return the distribution so far."""
        p50, p90, p95, p99, p999, p9999 = self.percentiles_ms(_TOLD)
        return Latencies(
            count=int(self._hdr.get_total_count()),
            mean=float(self._hdr.get_mean_value()) * (1 << _SHIFT) / _NS_PER_MS,
            p50=p50,
            p90=p90,
            p95=p95,
            p99=p99,
            p999=p999,
            p9999=p9999,
            longest=float(self._hdr.get_max_value() << _SHIFT) / _NS_PER_MS,
        )
