"""A sound lease on one shard: one holder at a time, for a limited term, and fenced by its epoch."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass


class StaleLeaseError(Exception):
    """The lease is over: released, expired, or another's."""


@dataclass(frozen=True)
class Lease:
    """Who holds the shard, since which epoch, until which time of the loop's clock."""

    holder: str
    epoch: int
    until: float


class Shard:
    """Lends itself: `lease = await acquire(name)`, `await write(lease, ...)`, `release(lease)`."""

    def __init__(self, disk: Callable[[Lease], None], term: float) -> None:
        self._disk, self._term = disk, term
        self.epoch = 0
        self.lease: Lease | None = None
        self._free = asyncio.Event()
        self._io = asyncio.Lock()

    async def acquire(self, holder: str) -> Lease:
        """Wait until nobody holds the shard, and hold it."""
        await self._io_is_idle()
        while self.lease:
            self._free.clear()
            await self._free.wait()
        self.epoch += 1
        loop = asyncio.get_running_loop()
        self.lease = Lease(holder, self.epoch, loop.time() + self._term)
        loop.call_at(self.lease.until, self.release, self.lease)
        return self.lease

    def release(self, lease: Lease) -> None:
        """End the lease, if it is not over yet; also called when its term is over."""
        if self.lease == lease:
            self.lease = None
            self._free.set()

    async def write(self, lease: Lease) -> None:
        """Write under a lease; raise StaleLeaseError if it is over by then."""
        async with self._io:
            await asyncio.sleep(0)
            self._check(lease)
            self._disk(lease)

    def _check(self, lease: Lease) -> None:
        if self.lease != lease:
            raise StaleLeaseError

    async def _io_is_idle(self) -> None:
        async with self._io:
            pass
