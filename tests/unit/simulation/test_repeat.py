"""One schedule is one run; a program that is two is an error, which says where they part."""

import asyncio

import pytest

from poolproof.simulation import NotRepeatableError, Schedule, advance, repeat

pytestmark = pytest.mark.unit


async def three() -> list[int]:
    seen: list[int] = []

    async def one(number: int) -> None:
        await advance(number)
        seen.append(number)

    await asyncio.gather(*map(one, range(3)))
    return seen


def test_a_sound_program_repeats() -> None:
    played = repeat(three, Schedule("random", 3), times=5)

    assert sorted(played.value or []) == [0, 1, 2]
    assert sum(entry > 0 for entry in played.entries) == played.steps


def test_state_that_is_left_behind_is_found_where_it_first_shows() -> None:
    runs: list[int] = []

    async def main() -> None:
        await advance(2)
        runs.append(1)
        if len(runs) > 2:
            await advance(1)

    with pytest.raises(
        NotRepeatableError,
        match=r"got another at repetition 3: step 2 at 2\.0{9} s was .* a move of time to 3\.0{9} s",
    ):
        repeat(main)


def test_another_order_is_told_by_the_tasks_that_had_their_turn() -> None:
    turned = iter([False, True])

    async def main() -> None:
        tasks = [asyncio.sleep(0), asyncio.sleep(0), advance(1)]
        await asyncio.gather(*(reversed(tasks) if next(turned) else tasks))

    with pytest.raises(NotRepeatableError, match=r"step \d+ at .* was Task-\d's and then "):
        repeat(main, Schedule("fifo"), times=2)
