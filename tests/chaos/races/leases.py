"""A sound pool of workers that are lent: at most so many are open, first come first served.

A worker, or the place for one more, is handed to who has waited longest, and belongs to that one
from this very moment: whoever is cancelled between being handed it and running hands it on.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Protocol


class Worker(Protocol):
    """What is lent."""

    async def reset(self) -> None:
        """Forget all of who had it."""
        ...


class Leases:
    """Lends workers: `worker = await checkout()`, then `await checkin(worker)`."""

    def __init__(self, open_worker: Callable[[], Awaitable[Worker]], size: int) -> None:
        self._open_worker, self.size = open_worker, size
        self.idle: deque[Worker] = deque()
        self._waiting: deque[asyncio.Future[Worker | None]] = deque()
        self._places = 0  # workers that are open, or about to be

    async def checkout(self) -> Worker:
        """Return an idle worker, a new one, or the first that comes back."""
        if self.idle:
            return self.idle.popleft()
        if self._places < self.size:
            self._places += 1
            return await self._open()
        return await self._wait()

    async def checkin(self, worker: Worker) -> None:
        """Reset the worker and lend it to the next."""
        try:
            await worker.reset()
        except BaseException:
            self._hand(None)
            raise
        self._hand(worker)

    async def _open(self) -> Worker:
        try:
            return await self._open_worker()
        except BaseException:
            self._hand(None)
            raise

    async def _wait(self) -> Worker:
        waiter: asyncio.Future[Worker | None] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        try:
            worker = await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled():
                self._hand(waiter.result())
            raise
        return worker or await self._open()

    def _hand(self, worker: Worker | None) -> None:
        """Give a worker, or with None the place for a new one, to who has waited longest."""
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(worker)
                return
        if worker:
            self.idle.append(worker)
        else:
            self._places -= 1
