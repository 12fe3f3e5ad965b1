"""The places that the trials of a run share: how many run at once, how many are parked, and until when."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from typing import Final

MOST_PLACES: Final = 28
WIDEN_SECONDS: Final = 0.5
IDLE_ENOUGH: Final = 0.4


class Slots:
    """A trial runs in a place; parked, it gives the place to another and needs one again to go on.

    Args:
        running: how many trials run at once.
        parked: how many are open in all; what they hold of memory is bounded by it.
        end: when the run is over, in seconds of CLOCK_MONOTONIC.
    """

    def __init__(self, *, running: int, parked: int, end: float) -> None:
        self.end = end
        self._open = asyncio.Semaphore(parked)
        self._running = asyncio.Semaphore(running)
        self._busy = 0
        self._idle = asyncio.Event()
        self._idle.set()

    def remaining(self) -> float:
        """Return the seconds that are left of the whole run."""
        return self.end - time.monotonic()

    @contextlib.asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """Hold one of the places for open trials, running or parked."""
        async with self._open:
            yield

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Hold one of the places for running trials."""
        await self._take()
        try:
            yield
        finally:
            self._give()

    @contextlib.asynccontextmanager
    async def parked(self) -> AsyncIterator[None]:
        """Give the place away meanwhile, and wait for one again at the end."""
        self._give()
        try:
            yield
        finally:
            await self._take()

    async def all_parked(self) -> None:
        """Wait until no trial runs, and none waits for a place to run in."""
        await self._idle.wait()

    async def widen(self, idle_share: Callable[[], float]) -> None:
        """Add places, until cancelled, while the machine is idle: trials of some pools do little but wait.

        Args:
            idle_share: how much of the machine, from 0 to 1, was idle since it was asked last.
        """
        idle_share()
        for _ in range(MOST_PLACES):
            await asyncio.sleep(WIDEN_SECONDS)
            while idle_share() < IDLE_ENOUGH:  # noqa: ASYNC110 - a measure to ask for, no event to wait for
                await asyncio.sleep(WIDEN_SECONDS)
            self._running.release()

    async def _take(self) -> None:
        self._busy += 1
        self._idle.clear()
        try:
            await self._running.acquire()
        except BaseException:
            self._left()
            raise

    def _give(self) -> None:
        self._running.release()
        self._left()

    def _left(self) -> None:
        self._busy -= 1
        if not self._busy:
            self._idle.set()
