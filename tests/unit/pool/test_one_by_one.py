"""Jobs that come one by one: each goes where it would go as a part of many, and nothing fails unheard."""

from bisect import bisect_right
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from poolproof import simulation
from poolproof.pool import balancing
from poolproof.simulation import Schedule
from tests.integration.simulated_program import pool

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


@pytest.mark.parametrize("policy", ["fifo", "random"])
def test_no_task_of_the_pool_fails_unheard_when_overflow_workers_come_and_die(policy: Any) -> None:
    """A worker that is up before anybody waits for it must not break who lets it go when idle."""

    async def main() -> list[Any]:
        heard: list[Any] = []
        simulation.current().set_exception_handler(lambda _, context: heard.append(context))
        await pool()
        return [one.get("exception") for one in heard if "Task exception" in one["message"]]

    assert simulation.run(main(), schedule=Schedule(policy, 7)) == []
