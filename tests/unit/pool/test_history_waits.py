"""When a pool's history reaches its file: each turn on a real loop, when the loop stops in virtual time."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from poolproof import history
from poolproof.ledger import Ledger
from poolproof.pool.pool import Pool
from poolproof.simulation import SimulationLoop
from poolproof.simulation.stall import TimeLimitError
from poolproof.transport.base import WorkerSpec
from poolproof.transport.mock import MockTransport

pytestmark = pytest.mark.unit


async def double(number: int) -> int:
    await asyncio.sleep(0)
    return 2 * number


def outcomes(file: Path) -> int:
    return sum(event.kind == "ok" for event in history.read(file))


async def ten_jobs(file: Path, then: Callable[[], Awaitable[None]]) -> None:
    with contextlib.closing(Ledger(file)) as ledger:
        async with Pool(WorkerSpec(target=double), MockTransport(), ledger=ledger) as pool:
            for number in range(10):
                await pool.submit(number)
            await then()


def test_on_a_real_loop_a_turn_is_in_the_file_when_it_is_over(tmp_path: Path) -> None:
    file, found = tmp_path / "history", list[int]()

    async def look() -> None:
        await asyncio.sleep(0)
        found.append(outcomes(file))

    asyncio.run(ten_jobs(file, look))

    assert found == [10]


def test_a_simulation_that_never_ends_leaves_its_whole_history(tmp_path: Path) -> None:
    file, loop = tmp_path / "history", SimulationLoop(time_limit=100)

    async def for_ever() -> None:
        await asyncio.Event().wait()

    task = loop.create_task(ten_jobs(file, for_ever))
    with pytest.raises(TimeLimitError):
        loop.run_until_complete(task)
    found = outcomes(file)
    task.cancel()
    loop.run_until_complete(asyncio.wait([task]))
    loop.close()

    assert found == 10


def test_a_reader_in_a_simulation_is_told_each_turn() -> None:
    loop, told, ledger = SimulationLoop(), list[int](), Ledger()
    ledger.follow(lambda events: told.append(len(events)))

    async def main() -> None:
        async with Pool(WorkerSpec(target=double), MockTransport(), ledger=ledger) as pool:
            for number in range(10):
                await pool.submit(number)
            await asyncio.sleep(0)
            assert len(told) >= 10

    loop.run_until_complete(main())
    loop.close()
