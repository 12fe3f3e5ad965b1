"""Searching for an order of steps that breaks something, and cutting it to the deviations that it needs."""

import asyncio

import pytest

from poolproof.chaos.orders import search, shrink_order
from poolproof.simulation import Played, Schedule, play

pytestmark = pytest.mark.unit


class LostUpdateError(Exception):
    """Two read, and both wrote."""


async def count(*, together: bool) -> None:
    """Two tasks add one each; where both have read before either writes, one addition is lost."""
    total = 0

    async def add() -> None:
        nonlocal total
        before = total
        if together:
            await asyncio.sleep(0)
        total = before + 1

    await asyncio.gather(add(), add())
    if total != 2:
        raise LostUpdateError(total)


def racy(schedule: Schedule) -> Played[None]:
    return play(only_out_of_order(), schedule)


async def only_out_of_order() -> None:
    """Break only where the second task goes on before the first."""
    went: list[int] = []

    async def go(number: int) -> None:
        await asyncio.sleep(0)
        went.append(number)

    await asyncio.gather(*(go(number) for number in range(2)))
    if went == [1, 0]:
        raise LostUpdateError(str(went))


def test_what_fails_in_order_needs_no_search() -> None:
    found = search(lambda schedule: play(count(together=True), schedule))

    assert found is not None
    assert (found.policy, found.seeds, found.played.lifted.deviations) == ("fifo", 1, ())


def test_what_never_fails_is_not_found() -> None:
    assert search(lambda schedule: play(count(together=False), schedule), seeds=30) is None


def test_a_search_ends_with_its_time() -> None:
    assert search(racy, wanted=lambda _: False, seconds=0.0) is None


def test_an_order_is_found_and_cut_to_the_one_deviation_that_it_needs() -> None:
    found = search(racy)
    assert found is not None
    assert found.policy in {"random", "pct", "delay"}

    shrunk = shrink_order(racy, found.played)

    assert len(shrunk.plan.deviations) == 1
    assert isinstance(racy(shrunk.plan).error, LostUpdateError)
