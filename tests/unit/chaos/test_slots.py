"""The places that trials share: how many run, how many are open, and who waits for whom."""

import asyncio
import contextlib
import time
from collections.abc import Callable

import pytest

from poolproof.chaos.slots import Slots

pytestmark = pytest.mark.unit


def slots(running: int = 1, parked: int = 2) -> Slots:
    return Slots(running=running, parked=parked, end=time.monotonic() + 60)


async def turns(count: int = 20) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


def test_the_rest_of_the_time_is_told() -> None:
    assert 59 < slots().remaining() <= 60
    assert Slots(running=1, parked=1, end=time.monotonic() - 1).remaining() < 0


Place = Callable[[], contextlib.AbstractAsyncContextManager[None]]


async def stay(place: Place, leave: asyncio.Event, told: list[str], name: str = "in") -> None:
    async with place():
        told.append(name)
        await leave.wait()


async def how_many_get_in(place: Place, count: int) -> int:
    """Return how many of `count` tasks got in before any left."""
    leave, told = asyncio.Event(), list[str]()
    async with asyncio.TaskGroup() as tasks:
        for _ in range(count):
            tasks.create_task(stay(place, leave, told))
        await turns()
        inside = len(told)
        leave.set()
    assert len(told) == count
    return inside


@pytest.mark.parametrize(("running", "count", "expected"), [(2, 5, 2), (3, 2, 2)])
def test_no_more_run_at_once_than_there_are_places(running: int, count: int, expected: int) -> None:
    places = slots(running=running)

    assert asyncio.run(how_many_get_in(places.running, count)) == expected


def test_no_more_are_open_at_once_than_allowed() -> None:
    places = slots(parked=3)

    assert asyncio.run(how_many_get_in(places.opened, 7)) == 3


def test_more_run_at_once_while_it_is_wider_and_no_more_after_it() -> None:
    async def scenario() -> tuple[int, int]:
        places = slots(running=2)
        async with places.wider(3):
            inside = await how_many_get_in(places.running, 7)
        return inside, await how_many_get_in(places.running, 7)

    assert asyncio.run(scenario()) == (5, 2)


def test_a_parked_trial_gives_its_place_away_and_waits_for_one_again() -> None:
    async def scenario() -> list[str]:
        places, told = slots(running=1), list[str]()
        resume, leave = asyncio.Event(), asyncio.Event()

        async def parks() -> None:
            async with places.running():
                async with places.parked():
                    told.append("parked")
                    await resume.wait()
                    told.append("wants back")
                told.append("back")

        async def runs() -> None:
            async with places.running():
                told.append("other runs")
                await leave.wait()
                told.append("other leaves")

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(parks())
            tasks.create_task(runs())
            await turns()
            resume.set()
            await turns()
            leave.set()
        return told

    told = asyncio.run(scenario())

    assert told == ["parked", "other runs", "wants back", "other leaves", "back"]


def test_what_is_urgent_and_what_was_parked_go_before_what_has_not_begun() -> None:
    async def scenario() -> list[str]:
        places, told, resume = slots(running=1), list[str](), asyncio.Event()

        async def parks() -> None:
            async with places.running():
                async with places.parked():
                    await resume.wait()
                told.append("parked")

        async def runs(name: str, *, urgent: bool = False) -> None:
            async with places.running(urgent=urgent):
                told.append(name)

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(parks())
            await turns()
            async with places.running():
                tasks.create_task(runs("new"))
                await turns()
                tasks.create_task(runs("urgent", urgent=True))
                resume.set()
                await turns()
        return told

    assert asyncio.run(scenario()) == ["urgent", "parked", "new"]


def test_a_place_handed_to_one_that_is_cancelled_goes_on_to_the_next() -> None:
    async def scenario() -> list[str]:
        places, told, leave = slots(running=1), list[str](), asyncio.Event()
        leave.set()
        async with asyncio.TaskGroup() as tasks:
            async with places.running():
                first = asyncio.create_task(stay(places.running, leave, told))
                await turns()
                tasks.create_task(stay(places.running, leave, told))
                await turns()
            first.cancel()
            await asyncio.gather(first, return_exceptions=True)
        return told

    assert asyncio.run(scenario()) == ["in"]


def test_all_are_parked_when_none_runs_or_waits_for_a_place() -> None:
    async def scenario() -> list[bool]:
        places, seen = slots(running=1), list[bool]()
        quiet = asyncio.create_task(places.all_parked())
        await turns()
        seen.append(quiet.done())
        async with places.running():
            busy = asyncio.create_task(places.all_parked())
            await turns()
            seen.append(busy.done())
            async with places.parked():
                await turns()
                seen.append(busy.done())
        return seen

    assert asyncio.run(scenario()) == [True, False, True]


def test_one_that_waits_for_a_place_counts_as_running() -> None:
    async def scenario() -> list[bool]:
        places, seen = slots(running=1), list[bool]()
        first, second, told = asyncio.Event(), asyncio.Event(), list[str]()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(stay(places.running, first, told))
            await turns()
            tasks.create_task(stay(places.running, second, told))
            await turns()
            quiet = tasks.create_task(places.all_parked())
            first.set()  # the place goes from one to the other, and is never free
            await turns()
            seen.append(quiet.done())
            second.set()
            await turns()
            seen.append(quiet.done())
        return seen

    assert asyncio.run(scenario()) == [False, True]


def test_one_that_gives_up_waiting_for_a_place_counts_no_more() -> None:
    async def scenario() -> None:
        places, leave, told = slots(running=1), asyncio.Event(), list[str]()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(stay(places.running, leave, told))
            await turns()
            waiting = asyncio.create_task(stay(places.running, leave, told))
            await turns()
            waiting.cancel()
            leave.set()
        await asyncio.gather(waiting, return_exceptions=True)
        async with asyncio.timeout(5):
            await places.all_parked()
        assert told == ["in"]

    asyncio.run(scenario())


def test_places_are_added_only_while_the_machine_is_idle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("poolproof.chaos.slots.WIDEN_SECONDS", 0)
    shares = iter([0.0, 0.9, 0.1, 0.1, 0.9])  # the first answer is about a time before

    def idle_share() -> float:
        return next(shares, 0.0)

    async def scenario() -> int:
        places = slots(running=1)
        widening = asyncio.create_task(places.widen(idle_share))
        await turns(100)
        widening.cancel()
        return await how_many_get_in(places.running, 10)

    assert asyncio.run(scenario()) == 3


def test_places_are_not_added_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("poolproof.chaos.slots.WIDEN_SECONDS", 0)
    monkeypatch.setattr("poolproof.chaos.slots.MOST_PLACES", 2)

    async def scenario() -> int:
        places = slots(running=1)
        await places.widen(lambda: 1.0)
        return await how_many_get_in(places.running, 10)

    assert asyncio.run(scenario()) == 3
