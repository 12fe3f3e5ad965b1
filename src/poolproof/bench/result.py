"""What a benchmark found: measures, each with all of its samples, and where they were taken."""

from typing import Any, Final, Literal

import msgspec

from poolproof.latency import Latencies

SCHEMA: Final = 1
SHARE: Final = "share"
"""The unit of what happens or does not: its samples are 1 and 0."""
Better = Literal["less", "more"]


class Measure(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was measured several times.

    Attributes:
        name: what; with its parameters, as in `throughput, 64 in flight`.
        unit: `s`, `/s`, `MB`, `%` or `share`.
        better: whether less of it is better, or more.
        samples: all of them, in order.
        calibration: for each sample, how many seconds the calibration took beside it; empty where there is none.
    """

    name: str
    unit: str
    better: Better
    samples: tuple[float, ...]
    calibration: tuple[float, ...] = ()

    def costs(self) -> tuple[float, ...]:
        """Return the samples such that less is better: rates as the time of one."""
        return self.samples if self.better == "less" else tuple(1 / one for one in self.samples)

    def ratios(self) -> tuple[float, ...]:
        """Return the costs as multiples of the calibration beside each."""
        return tuple(c / k for c, k in zip(self.costs(), self.calibration, strict=True))


class BenchResult(msgspec.Struct, frozen=True, kw_only=True):
    """A benchmark of one target.

    Attributes:
        target: its name.
        measures: all that was measured.
        latency: the distribution at one in flight; closed loop.
        failures: what could not be measured, and why.
        fingerprint: of machine, Python, packages; see `poolproof.fingerprint`.
        load_before, load_after: of the machine.
    """

    target: str
    measures: tuple[Measure, ...]
    latency: Latencies
    failures: dict[str, str]
    fingerprint: dict[str, Any]
    load_before: float
    load_after: float
    schema: int = SCHEMA
