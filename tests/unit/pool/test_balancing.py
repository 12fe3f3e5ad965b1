"""How evenly strategies spread jobs, and that the bounds are ones that can be broken."""

import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poolproof.errors import UsageError
from poolproof.pool import balancing
from poolproof.pool.balancing import STRATEGIES, Bound, Strategy, fill, jain_index, max_over_mean
from tests.unit.pool.closed_loop import ClosedLoop, born
from tests.unit.pool.models import balance

pytestmark = pytest.mark.unit

CALLERS = 50
JOBS = 4000


def closed_loop(
    make: Callable[[Random], Strategy], *, workers: int, utilisation: float = 1
) -> ClosedLoop:
    """Return 50 callers in front of workers whose jobs take 1 ms, so busy as they are meant to be."""
    rng = Random(workers)
    think_ns = 0 if utilisation == 1 else round(CALLERS * 1_000_000 / (workers * utilisation))
    return ClosedLoop(make(rng), rng, workers=workers, callers=CALLERS, think_ns=think_ns)


@pytest.mark.parametrize("utilisation", [0.5, 1])
@pytest.mark.parametrize("workers", [2, 8, 16])
@pytest.mark.parametrize("name", STRATEGIES)
def test_strategy_keeps_its_bound_at_50_callers_also_after_a_death(
    name: str, workers: int, utilisation: float
) -> None:
    bound = STRATEGIES[name].bound
    loop = closed_loop(STRATEGIES[name].make, workers=workers, utilisation=utilisation)
    loop.run(JOBS)
    before = loop.counts()
    loop.kill(1)
    loop.forget()
    loop.run(JOBS)
    between = loop.counts()
    loop.replace(1)
    loop.forget()
    loop.run(JOBS)

    assert len(between) == workers - 1
    for counts in (before, between, loop.counts()):
        assert bound.holds(counts), (max_over_mean(counts), jain_index(counts))


@pytest.mark.parametrize(
    ("name", "ablated", "utilisation"),
    [
        ("round_robin", balance.FirstIdleAlone, 1),
        ("least_loaded", balance.FirstOfTheIdle, 0.5),
        ("power_of_two_choices", balance.WorseOfTwo, 0.5),
        ("consistent_hash", balance.HomeOnly, 0.5),
    ],
)
def test_bound_is_broken_by_the_strategy_ablated(
    name: str, ablated: Callable[[Random], Strategy], utilisation: float
) -> None:
    loop = closed_loop(ablated, workers=16, utilisation=utilisation)
    loop.run(JOBS)

    assert not STRATEGIES[name].bound.holds(loop.counts())


@pytest.mark.parametrize("name", ["round_robin", "least_loaded"])
def test_one_caller_s_jobs_go_round_too(name: str) -> None:
    rng = Random(3)
    loop = ClosedLoop(balancing.make(name, rng), rng, workers=8, callers=1)
    loop.run(800)

    assert loop.counts() == [100] * 8


def test_least_loaded_that_begins_with_the_first_leaves_the_rest_idle() -> None:
    rng = Random(3)
    loop = ClosedLoop(balance.FirstOfTheIdle(rng), rng, workers=8, callers=1)
    loop.run(800)

    assert loop.counts() == [800] + [0] * 7


def test_death_moves_only_the_sessions_of_the_dead() -> None:
    strategy = balancing.make("consistent_hash", Random(1))
    workers = [born(number) for number in range(8)]
    sessions = [f"session {number}" for number in range(500)]

    def homes() -> dict[str, int]:
        found = {session: strategy.pick(session) for session in sessions}
        return {session: worker.number for session, worker in found.items() if worker}

    strategy.set_members(workers)
    before = homes()
    strategy.set_members([worker for worker in workers if worker.number != 3])
    after = homes()

    assert {s for s in sessions if before[s] != after[s]} == {s for s in sessions if before[s] == 3}


def test_replacement_takes_over_the_sessions_of_its_place() -> None:
    strategy = balancing.make("consistent_hash", Random(1))
    homes: list[list[int]] = []
    for epoch in (1, 2):
        strategy.set_members([born(number, epoch=epoch) for number in range(4)])
        picked = [strategy.pick(f"{session}") for session in range(50)]
        homes.append([worker.number for worker in picked if worker])

    assert len(homes[0]) == 50
    assert homes[0] == homes[1]


def test_ring_is_the_same_under_another_hash_seed() -> None:
    program = (
        "from random import Random\n"
        "from poolproof.pool.balancing import make\n"
        "from poolproof.pool.worker import Worker\n"
        "workers = [Worker(number=n, epoch=1, now_ns=0) for n in range(5)]\n"
        "[worker.begun(0) for worker in workers]\n"
        "strategy = make('consistent_hash', Random(1)); strategy.set_members(workers)\n"
        "print([strategy.pick(str(s)).number for s in range(30)])\n"
    )

    def picks(seed: str) -> str:
        command = [sys.executable, "-c", program]
        return subprocess.run(
            command, check=True, capture_output=True, text=True, env={"PYTHONHASHSEED": seed}
        ).stdout

    assert picks("1") == picks("2")


def test_equal_seeds_give_equal_choices() -> None:
    loops = [closed_loop(STRATEGIES["power_of_two_choices"].make, workers=8) for _ in "ab"]
    for loop in loops:
        loop.run(500)

    assert loops[0].counts() == loops[1].counts()


@given(
    st.integers(0, 40),
    st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=6),
)
def test_batch_is_filled_like_water(count: int, workers: list[tuple[int, int]]) -> None:
    """Like giving one job after the other to the least loaded that has room."""
    loads = [load for load, _ in workers]
    rooms = [room for _, room in workers]
    one_by_one = list(loads)
    for _ in range(count):
        roomy = [i for i, (load, room) in enumerate(workers) if one_by_one[i] - load < room]
        if roomy:
            one_by_one[min(roomy, key=lambda place: one_by_one[place])] += 1

    shares = fill(count, loads, rooms)

    assert Counter(load + jobs for load, jobs in zip(loads, shares, strict=True)) == Counter(
        one_by_one
    )
    assert all(jobs <= room for jobs, room in zip(shares, rooms, strict=True))


@pytest.mark.parametrize("name", STRATEGIES)
def test_nobody_is_picked_when_nobody_accepts(name: str) -> None:
    strategy = balancing.make(name, Random(1))
    assert strategy.pick("s") is None

    worker = born(0, slots=1)
    strategy.set_members([worker])
    worker.checkout(now_ns=0)

    assert strategy.pick("s") is None
    assert strategy.pick() is None
    assert strategy.share(3) == []


def test_unknown_strategy_is_refused_with_those_there_are() -> None:
    with pytest.raises(UsageError, match=r"^expected a balancing strategy among consistent_hash, "):
        balancing.make("random", Random(1))


def test_name_of_a_strategy_is_taken_once() -> None:
    with pytest.raises(UsageError, match=r"got 'round_robin' again$"):
        balancing.strategy("round_robin", Bound(1, 1))(balancing.RoundRobin)


def test_index_of_jain_is_one_when_even_and_one_nth_when_one_has_all() -> None:
    assert (jain_index([5, 5, 5, 5]), jain_index([8, 0, 0, 0])) == (1, 0.25)
    assert (max_over_mean([5, 5, 5, 5]), max_over_mean([8, 0, 0, 0])) == (1, 4)
