"""The places that the trials of a run share: how many run at once, how many are parked, and until when."""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable
from typing import Final

MOST_PLACES: Final = 28
WIDEN_SECONDS: Final = 0.5
IDLE_ENOUGH: Final = 0.4


class _Places:
    """A semaphore at which those who have begun something, or confirm it, go before those who try something new."""

    def __init__(self, free: int) -> None:
        self._free = free
        self._urgent: deque[asyncio.Future[None]] = deque()
        self._others: deque[asyncio.Future[None]] = deque()

    async def acquire(self, *, urgent: bool) -> None:
        if self._free:
            self._free -= 1
            return
        queue = self._urgent if urgent else self._others
        ticket = asyncio.get_running_loop().create_future()
        queue.append(ticket)
        try:
            await ticket
        except asyncio.CancelledError:
            if ticket.cancelled():
                queue.remove(ticket)
            else:  # handed over in the same turn
                self.release()
            raise

    def release(self) -> None:
        for queue in (self._urgent, self._others):
            for ticket in queue:
                if not ticket.done():
                    queue.remove(ticket)
                    ticket.set_result(None)
                    return
        self._free += 1


class Slots:
    """A trial runs in a place; parked, it gives the place to another and needs one again to go on.

    Args:
        running: how many trials run at once.
        parked: how many are open in all; what they hold of memory is bounded by it.
        end: when the run is over, in seconds of CLOCK_MONOTONIC.
        reserve: seconds before the end in which nothing new is tried, so that what was found can be confirmed.
    """

    def __init__(self, *, running: int, parked: int, end: float, reserve: float = 0.0) -> None:
        self.end = end
        self.places = parked
        self._reserve = reserve
        self._open = asyncio.Semaphore(parked)
        self._running = _Places(running)
        self._busy = 0
        self._idle = asyncio.Event()
        self._idle.set()

    def remaining(self) -> float:
        """Return the seconds that are left of the whole run."""
        return self.end - time.monotonic()

    def may_begin(self) -> bool:
        """Tell whether there is still time to try something new."""
        return self.remaining() > self._reserve

    @contextlib.asynccontextmanager
    async def opened(self) -> AsyncGenerator[None]:
        """Hold one of the places for open trials, running or parked."""
        async with self._open:
            yield

    @contextlib.asynccontextmanager
    async def running(self, *, urgent: bool = False) -> AsyncGenerator[None]:
        """Hold one of the places for running trials; an urgent one is let in before those that are not."""
        await self._take(urgent=urgent)
        try:
            yield
        finally:
            self._give()

    @contextlib.asynccontextmanager
    async def parked(self) -> AsyncGenerator[None]:
        """Give the place away meanwhile, and wait for one again at the end, before those that have not begun."""
        self._give()
        try:
            yield
        finally:
            await self._take(urgent=True)

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

    @contextlib.asynccontextmanager
    async def wider(self, places: int) -> AsyncGenerator[None]:
        """Have so many more trials run at once meanwhile; at the end, wait until that many have ended."""
        for _ in range(places):
            self._running.release()
        try:
            yield
        finally:
            for _ in range(places):
                await self._running.acquire(urgent=True)

    async def _take(self, *, urgent: bool) -> None:
        self._busy += 1
        self._idle.clear()
        try:
            await self._running.acquire(urgent=urgent)
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
