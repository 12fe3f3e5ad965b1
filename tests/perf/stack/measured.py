"""Jobs a second through whole stacks: pool, protocol and workers, with every guarantee on; and through peers."""

import asyncio
import concurrent.futures
import importlib
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from poolproof.ledger import DEATH, Ledger
from poolproof.pool.monitor import PoolMonitor
from poolproof.pool.pool import Pool
from poolproof.pool.settings import PoolSettings
from poolproof.stack.environment import ADAPTERS
from poolproof.transport.base import Layer, WorkerSpec
from poolproof.transport.process import ProcessTransport
from tests.perf.transport.echo import apply_async, echo, imap_unordered, no_lap

WARM = 2_000


def stack(
    layer: Layer,
    payload: Any,
    in_flight: int,
    jobs: int,
    *,
    workers: int = 2,
    history: Path | None = None,
    monitored: bool = False,
    lap: Callable[[], None] = no_lap,
) -> float:
    """Return jobs a second, by as many callers as there are to be jobs in flight; `lap` for each answer."""

    async def run(pool: Pool) -> float:
        await loop_of_callers(pool, payload, in_flight, WARM)
        begun = time.perf_counter()
        await loop_of_callers(pool, payload, in_flight, jobs, lap)
        return jobs / (time.perf_counter() - begun)

    async def main() -> float:
        settings = PoolSettings(size=workers, overflow=0)
        ledger = Ledger(history)
        pool = Pool(WorkerSpec(target=echo), ADAPTERS[layer](), settings, ledger=ledger)
        async with AsyncExitStack() as stack:
            stack.callback(ledger.close)
            await stack.enter_async_context(pool)
            if monitored:
                await stack.enter_async_context(PoolMonitor(pool))
            return await run(pool)

    return asyncio.run(main())


async def loop_of_callers(
    pool: Pool, payload: Any, callers: int, jobs: int, lap: Callable[[], None] = no_lap
) -> None:
    """Let so many callers submit so many jobs in all, each one after the other; `lap` for each answer."""

    async def caller(count: int) -> None:
        submit = pool.submit
        for _ in range(count):
            await submit(payload)
            lap()

    share, more = divmod(jobs, callers)
    await asyncio.gather(*(caller(share + (number < more)) for number in range(callers)))


def monitor_costs(layer: Layer, in_flight: int, jobs: int, rounds: int) -> float:
    """Return the processor time with a monitor over that without, in one pool, taken in turns."""

    async def main() -> float:
        async with Pool(WorkerSpec(target=echo), ADAPTERS[layer]()) as pool:
            plain = watched = 0.0
            await loop_of_callers(pool, b"x" * 100, in_flight, WARM)
            for _ in range(rounds):
                plain += await _processor(
                    lambda: loop_of_callers(pool, b"x" * 100, in_flight, jobs)
                )
                async with PoolMonitor(pool):
                    watched += await _processor(
                        lambda: loop_of_callers(pool, b"x" * 100, in_flight, jobs)
                    )
            return watched / plain

    return asyncio.run(main())


async def _processor(run: Callable[[], Awaitable[None]]) -> float:
    begun = time.process_time()
    await run()
    return time.process_time() - begun


def mapped(payloads: int) -> tuple[float, float]:
    """Return items a second of `Pool.map` here, and of `multiprocessing.Pool.map` in chunks of 64."""

    async def main() -> float:
        async with Pool(WorkerSpec(target=echo), ADAPTERS["full"]()) as pool:
            await pool.map(range(WARM))
            begun = time.perf_counter()
            for first in range(0, payloads, 8_000):
                await pool.map(range(first, first + 8_000))
            return payloads / (time.perf_counter() - begun)

    ours = asyncio.run(main())
    with multiprocessing.get_context("fork").Pool(2) as peer:
        begun = time.perf_counter()
        peer.map(echo, range(payloads), chunksize=64)
        return ours, payloads / (time.perf_counter() - begun)


def executor(payload: Any, in_flight: int, jobs: int) -> float:
    """Return jobs a second of `ProcessPoolExecutor`, with so many in flight."""
    room = threading.Semaphore(in_flight)
    fork = multiprocessing.get_context("fork")
    with concurrent.futures.ProcessPoolExecutor(2, fork) as pool:
        pool.submit(echo, payload).result()
        begun = time.perf_counter()
        futures = []
        for _ in range(jobs):
            room.acquire()
            future = pool.submit(echo, payload)
            future.add_done_callback(lambda _: room.release())
            futures.append(future)
        concurrent.futures.wait(futures)
        return jobs / (time.perf_counter() - begun)


PEERS: dict[str, Callable[[Any, int, int], float]] = {
    "apply_async": apply_async,
    "imap_unordered": imap_unordered,
    "executor": executor,
}


def pykka_asks(callers: int, jobs: int) -> float:
    """Return round trips a second to a pykka actor, with so many asked for at once."""
    pykka: Any = importlib.import_module("pykka")  # of the group `peers`
    kind: Any = type(
        "Echo", (pykka.ThreadingActor,), {"on_receive": lambda _self, message: message}
    )
    actor = kind.start()
    try:
        begun = time.perf_counter()
        for _ in range(jobs // callers):
            for answer in [actor.ask(b"x", block=False) for _ in range(callers)]:
                answer.get()
        return jobs / (time.perf_counter() - begun)
    finally:
        actor.stop()


def replacements(rounds: int, *, spares: int = 0) -> list[float]:
    """Return the seconds from a worker's SIGKILL until a job is done on its replacement, through the pool."""

    async def main() -> list[float]:
        found: list[float] = []
        settings = PoolSettings(size=1, overflow=0)
        transport = ProcessTransport(spares=spares)
        async with Pool(WorkerSpec(target=echo), transport, settings) as pool:
            dead = asyncio.Event()
            pool.ledger.follow(
                lambda batch: dead.set() if any(e[1] == DEATH for e in batch) else None
            )
            for _ in range(rounds):
                await pool.submit("warm")
                pid = pool.slots()[0].link.pid
                assert pid is not None
                dead.clear()
                begun = time.perf_counter()
                os.kill(pid, signal.SIGKILL)
                # Not by looking again and again: that takes the processor from who is to answer.
                await dead.wait()
                await pool.submit("again")
                found.append(time.perf_counter() - begun)
        return found

    return asyncio.run(main())
