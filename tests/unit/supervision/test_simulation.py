"""Virtual time: it jumps, to the nanosecond, and a wait that would never end is an error."""

import asyncio
import time

import pytest

from poolproof import simulation

pytestmark = pytest.mark.unit


def test_a_day_takes_no_time() -> None:
    async def main() -> float:
        await simulation.advance(86_400 * 3)
        return asyncio.get_running_loop().time()

    begun = time.monotonic()

    assert simulation.run(main()) == 86_400 * 3
    assert time.monotonic() - begun < 10


def test_timers_fire_in_order_and_to_the_nanosecond() -> None:
    async def main() -> list[int]:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, simulation.SimulationLoop)
        seen: list[int] = []
        for delay in (3e-9, 1e-9, 2.5):
            loop.call_later(delay, lambda: seen.append(loop.now_ns))
        await simulation.advance(3)
        return seen

    assert simulation.run(main(), start_ns=7) == [8, 10, 2_500_000_007]


def test_clock_stands_still_while_something_is_ready() -> None:
    async def main() -> float:
        for _ in range(100):
            await asyncio.sleep(0)
        return asyncio.get_running_loop().time()

    assert simulation.run(main()) == 0


def test_wait_for_nothing_is_an_error() -> None:
    async def main() -> None:
        await asyncio.Event().wait()

    with pytest.raises(
        simulation.SimulationStalledError, match=r"^expected something ready or a timer"
    ):
        simulation.run(main())


def test_timeouts_work() -> None:
    async def main() -> None:
        async with asyncio.timeout(5):
            await asyncio.Event().wait()

    with pytest.raises(TimeoutError):
        simulation.run(main())


def test_real_time_cannot_be_advanced() -> None:
    with pytest.raises(RuntimeError, match=r"^expected a loop in virtual time, got a real one"):
        asyncio.run(simulation.advance(1))
