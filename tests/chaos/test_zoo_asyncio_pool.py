"""The sound asyncio pool of the zoo is sound, whenever its callers are cancelled."""

import asyncio
import sys
from collections.abc import Callable
from typing import Any, Final, NoReturn

import pytest

from tests.chaos.zoo import asyncio_pool

pytestmark = pytest.mark.chaos

BOUND_S: Final = 20.0


def fail() -> NoReturn:
    raise ZeroDivisionError("on purpose")


def interrupt() -> NoReturn:
    raise KeyboardInterrupt


def time_out() -> NoReturn:
    raise TimeoutError("the job's own")


async def turns(number: int) -> None:
    for _ in range(number):
        await asyncio.sleep(0)


def test_it_runs_at_most_n_in_the_order_of_their_coming() -> None:
    begun: list[int] = []
    running = 0

    async def job(number: int) -> int:
        nonlocal running
        begun.append(number)
        running += 1
        assert running <= 2
        await turns(number % 3)
        running -= 1
        return number

    async def main() -> list[int]:
        async with asyncio_pool.make_pool(2) as pool:
            return await asyncio.gather(*(pool.submit(job, number) for number in range(20)))

    assert asyncio.run(main()) == list(range(20))
    assert begun == list(range(20))


@pytest.mark.parametrize("turn", range(13))
@pytest.mark.parametrize("first", ["release", "cancel"])
def test_it_loses_no_slot_to_a_cancellation_at_any_turn(turn: int, first: str) -> None:
    async def main() -> None:
        pool = asyncio_pool.make_pool(1)
        gate = asyncio.Event()
        running = asyncio.create_task(pool.submit(gate.wait))
        waiting = [asyncio.create_task(pool.submit(asyncio.sleep, 0, n)) for n in range(3)]
        await turns(3)
        if first == "cancel":
            waiting[0].cancel()
            await turns(turn)
            gate.set()
        else:
            gate.set()
            await turns(turn)
            waiting[0].cancel()
        outcomes = await asyncio.gather(running, *waiting, return_exceptions=True)
        assert [outcomes[0], *outcomes[2:]] == [True, 1, 2]
        assert outcomes[1] == 0 or isinstance(outcomes[1], asyncio.CancelledError)
        assert await pool.submit(abs, -1) == 1
        assert pool._free == 1
        await pool.aclose()

    asyncio.run(asyncio.wait_for(main(), BOUND_S))


@pytest.mark.parametrize("job", [fail, sys.exit, interrupt])
def test_it_hands_an_error_of_a_job_to_its_caller(job: Callable[[], Any]) -> None:
    async def main() -> None:
        async with asyncio_pool.make_pool(1) as pool:
            with pytest.raises((ZeroDivisionError, asyncio_pool.JobExitError)):
                await pool.submit(job)
            assert await pool.submit(abs, -1) == 1

    asyncio.run(asyncio.wait_for(main(), BOUND_S))


def test_it_ends_although_a_job_does_not() -> None:
    async def main() -> list[Any]:
        async with asyncio_pool.make_pool(1) as pool:
            jobs = [asyncio.create_task(pool.submit(asyncio.Event().wait)) for _ in range(3)]
            await turns(3)
        with pytest.raises(asyncio_pool.PoolClosedError):
            await pool.submit(abs, -1)
        return await asyncio.gather(*jobs, return_exceptions=True)

    outcomes = asyncio.run(asyncio.wait_for(main(), BOUND_S))

    assert [type(outcome) for outcome in outcomes] == [asyncio_pool.PoolClosedError] * 3


def test_it_counts_a_time_out_of_a_job_as_the_jobs_own() -> None:
    async def main() -> None:
        async with asyncio_pool.make_pool(1) as pool:
            with pytest.raises(TimeoutError, match="own"):
                await pool.submit(time_out)

    asyncio.run(main())
