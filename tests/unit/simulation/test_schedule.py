"""Orders of task steps: each is replayed by its deviations, and none breaks what asyncio promises."""

import asyncio
import itertools
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from poolproof.errors import UsageError
from poolproof.simulation import POLICIES, Schedule, advance, current, from_json, play, run, to_json
from poolproof.simulation.order import PATIENCE
from poolproof.simulation.randomness import Streams
from poolproof.simulation.schedule import Delays, Priorities, policy_of

pytestmark = pytest.mark.unit

seeds = st.integers(0, 2**32)
policies = st.sampled_from(POLICIES)


async def busy(program: Sequence[Sequence[int]]) -> list[tuple[int, int]]:
    """Run one task for each row, which sleeps as its numbers say; return who ran when."""
    seen: list[tuple[int, int]] = []

    async def one(name: int, row: Sequence[int]) -> None:
        for pause in row:
            seen.append((name, current().now_ns))
            await advance(pause / 10)

    async with asyncio.TaskGroup() as group:
        for name, row in enumerate(program):
            group.create_task(one(name, row))
    return seen


programs = st.lists(st.lists(st.integers(0, 2), max_size=5), max_size=5)


@settings(max_examples=60, deadline=None)
@given(program=programs, policy=policies, seed=seeds)
def test_an_order_is_replayed_by_its_deviations(program: Any, policy: Any, seed: int) -> None:
    played = play(busy(program), Schedule(policy, seed))
    again = play(busy(program), played.lifted)

    assert played.error is None
    assert (again.value, again.trace, again.now_ns) == (played.value, played.trace, played.now_ns)
    assert again.deviations == played.deviations


@settings(max_examples=60, deadline=None)
@given(program=programs, deviations=st.dictionaries(st.integers(0, 30), st.integers(1, 9)))
def test_any_deviations_are_clamped_and_then_replayed(program: Any, deviations: Any) -> None:
    played = play(busy(program), Schedule(deviations=tuple(sorted(deviations.items()))))

    assert played.error is None
    assert play(busy(program), played.lifted).trace == played.trace
    assert {step for step, _ in played.deviations} <= set(deviations)


@settings(max_examples=40, deadline=None)
@given(program=programs)
def test_without_deviations_the_order_is_that_of_the_stock_loop(program: Any) -> None:
    """The stock loop's timers are compared by their order alone: its clock is real."""

    async def names() -> list[int]:
        return [name for name, _ in await busy_without_clock(program)]

    assert run(names()) == asyncio.run(names())


async def busy_without_clock(program: Sequence[Sequence[int]]) -> list[tuple[int, int]]:
    seen: list[tuple[int, int]] = []

    async def one(name: int, row: Sequence[int]) -> None:
        for turns in row:
            seen.append((name, turns))
            for _ in range(turns):
                await asyncio.sleep(0)

    await asyncio.gather(*(one(name, row) for name, row in enumerate(program)))
    return seen


@pytest.mark.parametrize("policy", [policy for policy in POLICIES if policy != "fifo"])
def test_a_policy_finds_a_lost_update_that_first_in_first_out_hides(policy: Any) -> None:
    """Two tasks add to one counter: in the stock order, the second reads after the first wrote."""

    async def main() -> int:
        count = 0

        async def add(turns: int) -> None:
            nonlocal count
            await asyncio.sleep(0)
            value = count
            for _ in range(turns):
                await asyncio.sleep(0)
            count = value + 1

        async def late() -> None:
            for _ in range(3):
                await asyncio.sleep(0)
            await add(0)

        await asyncio.gather(add(1), late())
        return count

    found = [
        seed for seed in range(100) if play(main(), Schedule(policy, seed, length=12)).value == 1
    ]

    assert run(main()) == 2
    assert found
    lifted = play(main(), Schedule(policy, found[0], length=12)).lifted
    assert play(main(), lifted).value == 1


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("seed", range(20))
def test_callbacks_keep_their_order_and_are_not_overtaken(policy: Any, seed: int) -> None:
    async def main() -> list[Any]:
        loop, seen = current(), list[Any]()
        done = loop.create_future()
        done.add_done_callback(lambda _: seen.append("first"))

        async def waits(name: int) -> None:
            await done
            seen.append(name)

        tasks = [asyncio.create_task(waits(number)) for number in range(3)]
        await asyncio.sleep(1)
        done.add_done_callback(lambda _: seen.append("last"))
        done.set_result(None)
        loop.call_soon(seen.append, "soon")
        await asyncio.gather(*tasks)
        return seen

    seen = run(main(), schedule=Schedule(policy, seed))

    assert seen[0] == "first"
    assert [name for name in seen if isinstance(name, str)] == ["first", "last", "soon"]
    assert sorted(name for name in seen if isinstance(name, int)) == [0, 1, 2]


def test_a_step_that_is_put_off_has_its_turn_at_last() -> None:
    """A task that spins until another has run is no livelock."""

    async def main() -> int:
        turns = 0
        stop = False

        async def spin() -> None:
            nonlocal turns
            while not stop:
                turns += 1
                await asyncio.sleep(0)

        async def end() -> None:
            nonlocal stop
            stop = True

        await asyncio.gather(end(), spin())
        return turns

    assert run(main()) == 0
    assert PATIENCE <= run(main(), schedule=Schedule(deviations=((1, 1),))) <= PATIENCE + 2


def test_one_deviation_holds_a_task_back_until_nothing_else_is_ready() -> None:
    async def main() -> list[str]:
        seen: list[str] = []

        async def one(name: str) -> None:
            for _ in range(3):
                seen.append(name)
                await asyncio.sleep(0)

        await asyncio.gather(one("a"), one("b"), one("c"))
        return seen

    assert "".join(run(main())) == "abcabcabc"
    assert "".join(run(main(), schedule=Schedule(deviations=((1, 1),)))) == "bcbcbcaaa"


def test_the_three_streams_do_not_disturb_each_other() -> None:
    one, other = Streams.of(7), Streams.of(7)
    one.user.random()

    assert one.network.random() == other.network.random()
    assert one.schedule.random() == other.schedule.random()
    assert len({Streams.of(7).user.random(), Streams.of(7).network.random()}) == 2


@settings(max_examples=50, deadline=None)
@given(policy=policies, seed=seeds, depth=st.integers(1, 9), length=st.integers(1, 10_000))
def test_a_schedule_survives_json(policy: Any, seed: int, depth: int, length: int) -> None:
    schedule = Schedule(policy, seed, depth=depth, length=length)
    back = from_json(to_json(schedule))

    assert to_json(back) == to_json(schedule)
    assert policy_of(back, Streams.of(seed).schedule).pick(0, [1, 2]) == policy_of(
        schedule, Streams.of(seed).schedule
    ).pick(0, [1, 2])


def test_the_json_of_a_lifted_schedule_is_short() -> None:
    assert to_json(Schedule(seed=7, deviations=((36, 1),))) == {
        "policy": "fifo",
        "seed": 7,
        "deviations": [[36, 1]],
    }


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        ({"policy": "lifo"}, "expected a policy among fifo, random, pct, delay, got lifo"),
        ({"depth": 0}, "expected depth and length of at least 1, got 0 and 200"),
        ({"policy": "pct", "deviations": [[1, 1]]}, "expected deviations only from fifo"),
        ({"deviations": [[2, 1], [1, 1]]}, "steps ascending"),
        ({"deviations": [[2, 0]]}, r"expected deviations \(step >= 0, pick >= 1\)"),
        (
            {"sede": 1},
            "expected keys among policy, seed, deviations, depth, length, buggify, got sede",
        ),
    ],
)
def test_a_bad_schedule_is_refused(data: Any, problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        from_json(data)


def test_delays_deviate_no_more_often_than_allowed() -> None:
    policy = Delays(Streams.of(3).schedule, depth=4, length=50)

    assert sum(policy.pick(step, [1, 2, 3]) > 0 for step in range(200)) == 4


def test_priorities_stay_but_for_their_changes() -> None:
    policy = Priorities(Streams.of(3).schedule, depth=3, length=50)
    best = [policy.pick(step, [1, 2, 3]) for step in range(200)]

    assert sum(a != b for a, b in itertools.pairwise(best)) <= 2
