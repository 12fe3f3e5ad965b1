"""Measurements of a pool that lives in this process: what has `submit(request)`, and returns something to await."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from poolproof.errors import UsageError
from poolproof.latency import Histogram, Latencies
from poolproof.ranks import percentile

PERCENTS: Final = (50.0, 90.0, 95.0, 99.0, 99.9)
WARMUP: Final = 100
"""The plan's: so many operations before anything is measured."""


class Submits(Protocol):
    """A pool: `Pool`, `Stack` and whatever else takes requests like them."""

    def submit(self, request: Any, /) -> Awaitable[Any]:
        """Hand over a request; the result is awaited."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What came of operations that a number of callers made, each one after the other.

    Attributes:
        operations: how many.
        errors: how many of them failed, by the error's name.
        seconds: how long all of them took.
        latencies: of those that succeeded, from submit to answer: a closed loop's, see docs/load.md.
    """

    operations: int
    errors: Mapping[str, int]
    seconds: float
    latencies: Latencies

    @property
    def per_second(self) -> float:
        """Successful operations a second of the time that really passed."""
        return self.latencies.count / self.seconds if self.seconds else 0.0


async def warmup_pool(pool: Submits, request: Any, operations: int = WARMUP) -> None:
    """Have the pool do so many operations, so that what is measured is no first time; an error passes."""
    for _ in range(operations):
        await pool.submit(request)


async def benchmark_pool_operations(
    pool: Submits, requests: Sequence[Any], *, operations: int, in_flight: int = 1
) -> Measured:
    """Make operations, so many in flight at a time, and return what came of them.

    Args:
        pool: warm already; see `warmup_pool`.
        requests: what is asked, in turns.
        operations: how many in all.
        in_flight: by how many callers.

    Raises:
        UsageError: there is nothing to ask, or a number below 1.
    """
    if not requests or operations < 1 or in_flight < 1:
        raise UsageError(
            f"expected requests, operations and callers, got {len(requests)}, {operations}, {in_flight}"
        )
    histogram, errors = Histogram(), dict[str, int]()
    numbers = iter(range(operations))

    async def caller() -> None:
        took: list[int] = []
        for number in numbers:
            began = time.monotonic_ns()
            try:
                await pool.submit(requests[number % len(requests)])
            except Exception as error:  # noqa: BLE001 - counted, by its name
                errors[type(error).__name__] = errors.get(type(error).__name__, 0) + 1
            else:
                took.append(time.monotonic_ns() - began)
        histogram.record(took)

    began = time.monotonic()
    await asyncio.gather(*(caller() for _ in range(in_flight)))
    seconds = time.monotonic() - began
    return Measured(
        operations=operations, errors=errors, seconds=seconds, latencies=histogram.summary()
    )


async def measure_latency_distribution(
    pool: Submits, request: Any, *, operations: int = 1_000, runs: int = 3
) -> Latencies:
    """Return the latency of one operation at a time, over several runs whose histograms are merged; errors pass."""
    whole = Histogram()
    for _ in range(runs):
        run = Histogram()
        run.record([await _timed(lambda: pool.submit(request)) for _ in range(operations)])
        whole.add(run)
    return whole.summary()


async def _timed(begin: Callable[[], Awaitable[Any]]) -> int:
    began = time.monotonic_ns()
    await begin()
    return time.monotonic_ns() - began


def calculate_percentiles(
    values: Iterable[float], percents: Sequence[float] = PERCENTS
) -> dict[float, float]:
    """Return the percentiles of values, by nearest rank as everywhere here: see `poolproof.ranks.rank`.

    Raises:
        ValueError: there is no value, or no such percentile.
    """
    ordered = sorted(values)
    return {percent: percentile(ordered, percent) for percent in percents}
