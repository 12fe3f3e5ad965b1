"""Measurements in this process: what is counted, and by which formula."""

import asyncio
from typing import Any

import pytest

from poolproof.bench import (
    Measured,
    benchmark_pool_operations,
    calculate_percentiles,
    measure_latency_distribution,
    warmup_pool,
)
from poolproof.errors import UsageError
from poolproof.stack.isolated import start_isolated_pool

pytestmark = pytest.mark.unit


class Scripted:
    """A pool that answers after a time, and fails on `bad`."""

    def __init__(self) -> None:
        self.open = self.most = 0
        self.asked: list[Any] = []

    async def submit(self, request: Any, /) -> Any:
        self.asked.append(request)
        self.open += 1
        self.most = max(self.most, self.open)
        await asyncio.sleep(0)
        self.open -= 1
        if request == "bad":
            raise LookupError
        return request


def measured(pool: Any, requests: list[Any], operations: int, in_flight: int) -> Measured:
    return asyncio.run(
        benchmark_pool_operations(pool, requests, operations=operations, in_flight=in_flight)
    )


def test_all_operations_are_made_by_so_many_callers() -> None:
    pool = Scripted()
    found = measured(pool, ["a", "b"], 31, 4)

    assert (len(pool.asked), pool.most) == (31, 4)
    assert found.latencies.count == 31
    assert found.per_second == pytest.approx(31 / found.seconds)


def test_errors_are_counted_by_name_and_are_no_successes() -> None:
    found = measured(Scripted(), ["good", "bad"], 10, 1)

    assert found.errors == {"LookupError": 5}
    assert found.latencies.count == 5


@pytest.mark.parametrize(
    ("requests", "operations", "in_flight"), [([], 1, 1), ([1], 0, 1), ([1], 1, 0)]
)
def test_nothing_to_do_is_refused(requests: list[Any], operations: int, in_flight: int) -> None:
    with pytest.raises(UsageError, match="expected requests, operations and callers"):
        measured(Scripted(), requests, operations, in_flight)


def test_a_warm_up_is_made_and_its_errors_pass() -> None:
    pool = Scripted()
    asyncio.run(warmup_pool(pool, "x", 7))

    assert pool.asked == ["x"] * 7
    with pytest.raises(LookupError):
        asyncio.run(warmup_pool(pool, "bad"))


def test_runs_are_merged() -> None:
    async def main() -> Any:
        async with start_isolated_pool(len, layer="mock", timeout=60.0) as pool:
            return await measure_latency_distribution(pool, "abc", operations=20, runs=3)

    assert asyncio.run(main()).count == 60


def test_percentiles_are_nearest_ranks() -> None:
    assert calculate_percentiles([3.0, 1.0, 2.0], [0, 50, 99.9]) == {0: 1.0, 50: 2.0, 99.9: 3.0}
    with pytest.raises(ValueError, match="1 value or more"):
        calculate_percentiles([])
