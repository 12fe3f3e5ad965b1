"""What a job costs on each of our layers: kept as a baseline, and compared with it by run_performance_tests.sh."""

import asyncio
import time
from typing import Any

import pytest

from poolproof.fingerprint import calibrate
from poolproof.latency import Histogram
from poolproof.load.schedule import arrivals
from poolproof.measured_tests import Bench
from poolproof.stack.isolated import start_isolated_pool
from poolproof.stats import fastest
from tests.perf.pace import slowness

pytestmark = pytest.mark.perf

ROUNDS = 16
SLICES = 4
JOBS = 50
PAYLOAD = b"x" * 100


class Echo:
    def handle(self, request: Any) -> Any:
        return request


async def slice_of_jobs(pool: Any, in_flight: int) -> float:
    async def caller() -> None:
        for _ in range(JOBS // in_flight):
            await pool.submit(PAYLOAD)

    began = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(in_flight)))
    return (time.perf_counter() - began) / JOBS


async def samples(layer: str, in_flight: int) -> tuple[list[float], list[float]]:
    """Each the fastest of some short slices, with a calibration beside it: a neighbour only makes slower."""
    took: list[float] = []
    beside: list[float] = []
    async with start_isolated_pool(Echo, layer=layer, timeout=60.0) as pool:
        await slice_of_jobs(pool, in_flight)
        for _ in range(ROUNDS):
            took.append(fastest([await slice_of_jobs(pool, in_flight) for _ in range(SLICES)]))
            beside.append(fastest(calibrate() for _ in range(2)))
    return took, beside


@pytest.mark.parametrize("in_flight", [1, 50])
@pytest.mark.parametrize("name", ["mock", "bridge_mock", "full"])
def test_a_job_costs_less_than_a_millisecond(name: str, in_flight: int, bench: Bench) -> None:
    took, beside = asyncio.run(samples(name, in_flight))

    bench.samples(took, calibration=beside)

    assert fastest(took) < 1e-3 * slowness()


def test_a_latency_is_recorded_in_less_than_ten_microseconds(bench: Bench) -> None:
    histogram = Histogram()
    batch = [n * 10_007 % 5_000_000 for n in range(1_000)]

    bench(histogram.record, batch)

    assert fastest(bench.taken) < 10e-6 * len(batch) * slowness()


def test_an_arrival_is_planned_in_less_than_ten_microseconds(bench: Bench) -> None:
    bench(arrivals, "ramp", 1_000, 3)

    assert fastest(bench.taken) < 10e-6 * 2_500 * slowness()
