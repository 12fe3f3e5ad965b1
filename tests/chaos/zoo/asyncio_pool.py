"""A sound asyncio pool: at most N jobs at once, each in its caller's task, first come first served.

A slot that is handed over belongs to the one that was woken, from that very moment; so whoever is
cancelled between being woken and running must hand it on.
"""

import asyncio
import contextlib
import inspect
import traceback
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Any, Final, Self

GRACE_S: Final = 0.3  # what running jobs are given at shutdown


class PoolClosedError(Exception):
    """The pool was shut down before the job was over."""


class JobExitError(Exception):
    """The job tried to end the loop: SystemExit or KeyboardInterrupt."""


class AsyncioPool:
    """Runs plain and coroutine functions: `async with pool: await pool.submit(function, *args)`."""

    def __init__(self, workers: int = 2) -> None:
        self.promises = {"order": "fifo"}
        self._free = self._width = workers
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._running: set[asyncio.Timeout] = set()
        self._released = asyncio.Event()
        self._closing = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Refuse new jobs and those that wait; give the rest GRACE_S; return when all is over."""
        self._closing = True
        for waiter in self._waiting:
            if not waiter.done():
                waiter.set_exception(PoolClosedError("the pool was shut down before the job began"))
        self._waiting.clear()
        until = asyncio.get_running_loop().time() + GRACE_S
        for limit in self._running:
            limit.reschedule(until)
        while self._free < self._width:
            self._released.clear()
            await self._released.wait()

    async def submit(self, function: Callable[..., Any], /, *args: Any) -> Any:
        """Wait for a slot, run the job in it, and return its result or raise its error."""
        async with self._slot():
            limit = asyncio.timeout(None)
            self._running.add(limit)
            try:
                async with limit:
                    return await run(function, args)
            except TimeoutError:
                if limit.expired():
                    raise PoolClosedError("the pool was shut down while the job ran") from None
                raise
            finally:
                self._running.discard(limit)

    @contextlib.asynccontextmanager
    async def _slot(self) -> AsyncIterator[None]:
        if self._closing:
            raise PoolClosedError("the pool is shut down")
        if self._free > 0:
            self._free -= 1
        else:
            await self._hand_over()
        try:
            if self._closing:
                raise PoolClosedError("the pool was shut down before the job began")
            yield
        finally:
            self._release()

    async def _hand_over(self) -> None:
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter.cancelled():
                with contextlib.suppress(ValueError):
                    self._waiting.remove(waiter)
            elif waiter.exception() is None:
                self._release()
            raise

    def _release(self) -> None:
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return
        self._free += 1
        self._released.set()


async def run(function: Callable[..., Any], args: tuple[Any, ...]) -> Any:
    """Run a plain or a coroutine function; what would end the loop becomes an error."""
    try:
        result = function(*args)
        return await result if inspect.isawaitable(result) else result
    except (SystemExit, KeyboardInterrupt) as error:
        raise JobExitError("".join(traceback.format_exception_only(error)).strip()) from error


def make_pool(workers: int = 2) -> AsyncioPool:
    """The sound asyncio pool."""
    return AsyncioPool(workers)
