"""Echo through worker processes, over the transport alone and through `multiprocessing.Pool`: jobs a second."""

import asyncio
import concurrent.futures
import contextlib
import itertools
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from poolproof.transport.base import End, Reply, Transport, WorkerEvents, WorkerLink, WorkerSpec
from poolproof.transport.process import ProcessTransport
from poolproof.transport.stage import Heard, Player

WORKERS = 2


def echo(payload: Any) -> Any:
    """Return it."""
    return payload


class Loop(WorkerEvents):
    """Keeps a number of jobs in flight: a reply is followed by a request in the same turn."""

    def __init__(self, payload: Any, jobs: int) -> None:
        self.payload, self.left = payload, jobs
        self.waiting = jobs
        self.ids = itertools.count(1)
        self.done = asyncio.Event()

    def feed(self, link: WorkerLink, count: int) -> None:
        """Send so many, if so many are left."""
        count = min(count, self.left)
        self.left -= count
        ids, payload = self.ids, self.payload
        link.send([(next(ids), payload, 0, 1, 1, None) for _ in range(count)])

    def replied(self, link: WorkerLink, replies: Sequence[Reply]) -> None:
        """Send as many again."""
        self.waiting -= len(replies)
        self.feed(link, len(replies))
        if not self.waiting:
            self.done.set()

    def ended(self, link: WorkerLink, end: End) -> None:
        """Pass over it."""

    def noted(self, link: WorkerLink, what: str, detail: str) -> None:
        """Pass over it."""


async def over(make: Callable[[], Transport], payload: Any, in_flight: int, jobs: int) -> float:
    """Return jobs a second over a transport."""
    transport = make()
    await transport.open()
    try:
        loop = Loop(payload, jobs)
        spec = WorkerSpec(target=echo)
        links = [await transport.spawn(spec, n, 1, loop) for n in range(min(WORKERS, in_flight))]
        begun = time.perf_counter()
        for link in links:
            loop.feed(link, in_flight // len(links))
        await loop.done.wait()
        return jobs / (time.perf_counter() - begun)
    finally:
        await transport.close()


def transport(payload: Any, in_flight: int, jobs: int) -> float:
    """Return jobs a second over worker processes."""
    return asyncio.run(over(ProcessTransport, payload, in_flight, jobs))


def no_lap() -> None:
    """Note nothing when an answer has come."""


def apply_async(payload: Any, in_flight: int, jobs: int, lap: Callable[[], None] = no_lap) -> float:
    """Return jobs a second of `multiprocessing.Pool.apply_async`, with so many in flight; `lap` for each answer."""
    with multiprocessing.get_context("fork").Pool(WORKERS) as pool:
        begun = time.perf_counter()
        flying = [pool.apply_async(echo, (payload,)) for _ in range(in_flight)]
        for at in range(jobs - in_flight):
            place = at % in_flight
            flying[place].get()
            lap()
            flying[place] = pool.apply_async(echo, (payload,))
        for one in flying:
            one.get()
        return jobs / (time.perf_counter() - begun)


def imap_unordered(
    payload: Any, in_flight: int, jobs: int, lap: Callable[[], None] = no_lap
) -> float:
    """Return jobs a second of `multiprocessing.Pool.imap_unordered`, with so many in flight; `lap` for each answer."""
    room = threading.Semaphore(in_flight)

    def items() -> Iterator[Any]:
        for _ in range(jobs):
            room.acquire()
            yield payload

    with multiprocessing.get_context("fork").Pool(WORKERS) as pool:
        begun = time.perf_counter()
        for _ in pool.imap_unordered(echo, items()):
            room.release()
            lap()
        return jobs / (time.perf_counter() - begun)


async def replacements(spares: int, rounds: int) -> list[float]:
    """Return the seconds from a worker's SIGKILL until its replacement has done a job."""
    transport = ProcessTransport(spares=spares)
    await transport.open()
    try:
        spec, found = WorkerSpec(target=echo), list[float]()
        heard = Heard()
        player = Player(await transport.spawn(spec, 0, 1, heard), heard)
        for epoch in range(2, rounds + 2):
            await player.ask("warm")
            while spares and not any(link.usable for _, link in transport._spares):  # noqa: ASYNC110
                await asyncio.sleep(0.001)
            assert player.link.pid is not None
            begun = time.perf_counter()
            os.kill(player.link.pid, signal.SIGKILL)
            await heard.ending()
            heard = Heard()
            player = Player(await transport.spawn(spec, 0, epoch, heard), heard)
            await player.ask("again")
            found.append(time.perf_counter() - begun)
        return found
    finally:
        await transport.close()


def executor_replacements(rounds: int) -> list[float]:
    """The same for `ProcessPoolExecutor`, made anew by hand as its documentation has it."""
    fork = multiprocessing.get_context("fork")
    found = list[float]()
    executor = concurrent.futures.ProcessPoolExecutor(1, fork)
    for _ in range(rounds):
        pid = executor.submit(os.getpid).result()
        begun = time.perf_counter()
        broken = executor.submit(time.sleep, 10)
        os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(concurrent.futures.BrokenExecutor):
            broken.result()
        executor.shutdown()
        executor = concurrent.futures.ProcessPoolExecutor(1, fork)
        executor.submit(echo, "again").result()
        found.append(time.perf_counter() - begun)
    executor.shutdown()
    return found
