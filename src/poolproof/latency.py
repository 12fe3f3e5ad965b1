"""Latencies: recorded by the hundred thousand, kept as an HDR histogram, told as percentiles."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from hdrh.histogram import HdrHistogram  # type: ignore[import-untyped]

LONGEST_NS: Final = 3600 * 1_000_000_000
DIGITS: Final = 3
"""Significant digits: a percentile is right within a thousandth."""
_SHIFT: Final = 10
_FOLD_AT: Final = 4096
_NS_PER_MS: Final = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Latencies:
    """A distribution of latencies, in milliseconds; all 0 where there was none.

    Attributes:
        count: how many.
        mean: their mean.
        p50, p90, p95, p99, p999: half, nine tenths, ... of them were at most so long.
        longest: the longest.
    """

    count: int
    mean: float
    p50: float
    p90: float
    p95: float
    p99: float
    p999: float
    longest: float


class Histogram:
    """Latencies in nanoseconds, up to an hour, in bounded memory.

    They are counted by the microsecond (of 1,024 ns) first, which costs a tenth of a recording; the
    counts are folded into the HDR histogram when there are many, or when somebody asks.
    """

    def __init__(self) -> None:
        self._counts: Counter[int] = Counter()
        self._hdr: Any = HdrHistogram(1, LONGEST_NS >> _SHIFT, DIGITS)

    def record(self, latencies_ns: Iterable[int]) -> None:
        """Take a batch of latencies."""
        self._counts.update([ns >> _SHIFT for ns in latencies_ns])
        if len(self._counts) > _FOLD_AT:
            self._fold()

    def _fold(self) -> None:
        longest = LONGEST_NS >> _SHIFT
        for value, count in self._counts.items():
            self._hdr.record_value(min(max(value, 1), longest), count)
        self._counts.clear()

    def percentile_ms(self, percent: float) -> float:
        """Return what `percent` of all were at most, in milliseconds."""
        self._fold()
        return float(self._hdr.get_value_at_percentile(percent) << _SHIFT) / _NS_PER_MS

    def summary(self) -> Latencies:
        """Return the distribution so far."""
        self._fold()
        count = int(self._hdr.get_total_count())
        if not count:
            return Latencies(
                count=0, mean=0.0, p50=0.0, p90=0.0, p95=0.0, p99=0.0, p999=0.0, longest=0.0
            )
        return Latencies(
            count=count,
            mean=float(self._hdr.get_mean_value()) * (1 << _SHIFT) / _NS_PER_MS,
            p50=self.percentile_ms(50),
            p90=self.percentile_ms(90),
            p95=self.percentile_ms(95),
            p99=self.percentile_ms(99),
            p999=self.percentile_ms(99.9),
            longest=float(self._hdr.get_max_value() << _SHIFT) / _NS_PER_MS,
        )
