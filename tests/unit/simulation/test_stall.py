"""A run that would never end is an error, with every pending task and where it waits."""

import asyncio
import itertools
import linecache
from typing import Any

import pytest

from poolproof.simulation import (
    DeadlockError,
    LivelockError,
    Schedule,
    SimulationStalledError,
    TimeLimitError,
    advance,
    play,
    run,
)

pytestmark = pytest.mark.unit


async def two_that_wait_for_each_other() -> None:
    one, other = asyncio.Queue[int](), asyncio.Queue[int]()

    async def relay(source: asyncio.Queue[int], target: asyncio.Queue[int]) -> None:
        await target.put(await source.get())

    async with asyncio.TaskGroup() as group:
        group.create_task(relay(one, other), name="there")
        group.create_task(relay(other, one), name="back")


@pytest.mark.parametrize("policy", ["fifo", "random"])
def test_a_deadlock_names_every_task_and_its_line(policy: Any) -> None:
    with pytest.raises(DeadlockError, match=r"^expected something ready or a timer") as caught:
        run(two_that_wait_for_each_other(), schedule=Schedule(policy))

    assert [one.task for one in caught.value.pending] == ["Task-1", "there", "back"]
    file, line, function = next(
        site for site in reversed(caught.value.pending[1].sites) if site[0] == __file__
    )
    assert function.endswith("relay")
    assert "await source.get()" in linecache.getline(file, line)
    assert f"there awaits a future at {__file__}:{line} in " in str(caught.value)
    assert "-> asyncio/queues.py:" in str(caught.value)


def test_a_task_that_awaits_another_names_it() -> None:
    async def main() -> None:
        await asyncio.create_task(asyncio.Event().wait(), name="inner")

    with pytest.raises(DeadlockError, match=r"Task-1 awaits inner at .*test_stall.py:\d+ in "):
        run(main())


def test_a_livelock_is_an_error_after_its_number_of_steps() -> None:
    async def main() -> None:
        for _ in itertools.count():
            await asyncio.sleep(0)

    for schedule in (Schedule(), Schedule("random")):
        with pytest.raises(
            LivelockError,
            match=r"^expected time to move, got 500 steps [^\n]*\n  Task-1 awaits its turn at",
        ):
            run(main(), step_limit=500, schedule=schedule)


def test_timers_without_end_are_an_error_at_the_time_limit() -> None:
    async def main() -> None:
        async def beats() -> None:
            for _ in itertools.count():
                await advance(1)

        heart = asyncio.create_task(beats())
        await asyncio.Event().wait()
        heart.cancel()

    with pytest.raises(TimeLimitError, match=r"^expected an end within 60 virtual seconds"):
        run(main(), time_limit=60)


def test_a_long_list_is_cut_and_says_so() -> None:
    async def main() -> None:
        await asyncio.gather(*(asyncio.Event().wait() for _ in range(150)))

    error = play(main()).error

    assert isinstance(error, SimulationStalledError)
    assert len(error.pending) == 151
    assert str(error).endswith("and 51 more")


def test_a_wait_inside_an_asynchronous_generator_is_found() -> None:
    async def numbers() -> Any:
        await asyncio.Event().wait()
        yield 1

    async def main() -> None:
        async for _ in numbers():
            pass

    with pytest.raises(DeadlockError) as caught:
        run(main())

    assert any(function.endswith("numbers") for *_, function in caught.value.pending[0].sites)
