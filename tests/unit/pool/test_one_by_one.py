"""Jobs that come one by one: each goes where it would go as a part of many; what was started for it is let go."""

import asyncio
from bisect import bisect_right

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from poolproof import simulation
from poolproof.pool import balancing
from poolproof.pool.pool import Pool
from poolproof.pool.settings import PoolSettings
from poolproof.transport.base import WorkerSpec
from poolproof.transport.mock import MockTransport

pytestmark = pytest.mark.unit

numbers = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 4)), max_size=8)


def filled(count: int, loads: list[int], rooms: list[int]) -> list[int]:
    """Fill level by level, as for any number of jobs."""

    def given_at(level: int) -> list[int]:
        return [min(room, max(0, level - load)) for load, room in zip(loads, rooms, strict=True)]

    highest = max((load + room for load, room in zip(loads, rooms, strict=True)), default=0)
    level = bisect_right(range(highest + 1), count, key=lambda at: sum(given_at(at))) - 1
    shares = given_at(level)
    for place, more in enumerate(given_at(level + 1)):
        if count > sum(shares) and more > shares[place]:
            shares[place] = more
    return shares


@settings(max_examples=300, deadline=None)
@given(workers=numbers)
def test_a_single_job_goes_where_it_would_go_among_many(workers: list[tuple[int, int]]) -> None:
    loads, rooms = [load for load, _ in workers], [room for _, room in workers]

    assert balancing.fill(1, loads, rooms) == filled(1, loads, rooms)


async def slow(request: int) -> int:
    await simulation.advance(0.5)
    return request


def test_an_overflow_worker_that_is_up_at_once_is_let_go_when_idle() -> None:
    async def main() -> tuple[int, int]:
        settings = PoolSettings(size=1, overflow=1, overflow_idle=1.0, most_ahead=1)
        async with Pool(WorkerSpec(target=slow), MockTransport(), settings) as pool:
            jobs = [pool.submit(number) for number in range(4)]
            await asyncio.wait(jobs)
            most = len(pool.workers())
            await simulation.advance(5)
            return most, len(pool.workers())

    assert simulation.run(main()) == (2, 1)
