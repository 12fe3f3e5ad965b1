"""What a monitor tells of a pool is what happened to it while it was watched."""

import asyncio
from typing import Any

import pytest

from poolproof.errors import RemoteError
from poolproof.pool.monitor import PoolMonitor, start_pool_monitor, with_pool_monitoring
from poolproof.pool.pool import Pool
from poolproof.pool.settings import PoolSettings
from poolproof.stack.isolated import concurrent_pool_operations, ensure_pool_ready
from poolproof.sync import wait_for
from poolproof.transport.base import WorkerSpec
from poolproof.transport.mock import MockTransport

pytestmark = [pytest.mark.unit, pytest.mark.asyncio]


def handle(request: Any) -> Any:
    if request == "raise":
        raise ValueError
    return request


def pool(**settings: Any) -> Pool:
    chosen = PoolSettings(**{"size": 1, **settings})
    return Pool(WorkerSpec(target=handle), MockTransport(), chosen)


async def test_everything_is_counted_while_it_is_watched_and_nothing_before_or_after() -> None:
    async with pool(most_ahead=1) as one:
        await one.submit(0)

        async def work() -> str:
            await asyncio.gather(*(one.submit(number) for number in range(9)))
            with pytest.raises(RemoteError):
                await one.submit("raise")
            async with one.checkout():
                pass
            one.slots()[0].link.kill()
            await wait_for(lambda: one.restarts, timeout=5)
            return "done"

        result, stats = await with_pool_monitoring(one, work)
        await one.submit(1)

    assert result == "done"
    assert stats.latencies.count == 9
    assert stats.checkouts == 11
    assert dict(stats.errors) == {"RemoteError": 1}
    assert (stats.worker_deaths, stats.worker_restarts) == (1, 1)
    assert stats.max_queue_depth >= 7
    assert stats.latencies.p50 <= stats.latencies.p99 <= stats.latencies.longest


async def test_a_stopped_monitor_keeps_what_it_has_seen() -> None:
    async with pool() as one:
        monitor = start_pool_monitor(one)
        await one.submit(1)
        first = await monitor.stop()
        await one.submit(2)

        assert (await monitor.stop()).latencies.count == first.latencies.count == 1


async def test_a_stream_tells_while_it_goes_on() -> None:
    async with pool() as one, PoolMonitor(one) as monitor:
        await one.submit(1)
        async for stats in monitor.stream(0.001):
            assert stats.latencies.count == 1
            break


async def test_operations_submitted_together_have_each_their_own_outcome() -> None:
    async with pool(size=2) as one:
        await ensure_pool_ready(one, 2)
        outcomes = await concurrent_pool_operations(
            one, [("good", 1), ("bad", "raise")], session={"good": "a"}
        )

    assert outcomes["good"].value == 1
    assert isinstance(outcomes["bad"].error, RemoteError)
    assert all(outcome.took_ms > 0 for outcome in outcomes.values())


async def test_a_pool_without_enough_workers_is_not_ready() -> None:
    async with pool() as one:
        with pytest.raises(TimeoutError, match=r"at least 2 ready workers within 0\.05 s, got 1"):
            await ensure_pool_ready(one, 2, seconds=0.05)


async def test_nothing_is_left_of_a_monitor() -> None:
    async with pool() as one:
        before = len(asyncio.all_tasks())
        async with PoolMonitor(one):
            pass

        assert len(asyncio.all_tasks()) == before
