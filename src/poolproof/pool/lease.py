"""A worker that somebody has checked out: theirs alone until it is checked in."""

import asyncio
from collections.abc import Generator
from types import TracebackType
from typing import TYPE_CHECKING, Any

from poolproof.errors import WorkerDiedError
from poolproof.pool.job import Job

if TYPE_CHECKING:
    from poolproof.pool.dispatch import Dispatch
    from poolproof.pool.slot import Slot


class Lease:
    """A checked-out worker.

    It is checked in by its block, by `checkin`, or when the task that checked it out is over,
    whatever comes first.

    Attributes:
        number: which of the pool's workers.
        epoch: which incarnation of it.
        pid: its process, None where it has none of its own.
    """

    __slots__ = ("_dispatch", "_holder", "_slot", "epoch", "number", "pid")

    def __init__(self, dispatch: "Dispatch", slot: "Slot") -> None:
        self._dispatch, self._slot = dispatch, slot
        self._holder: asyncio.Task[Any] | None = None
        self.number, self.epoch, self.pid = slot.number, slot.worker.epoch, slot.link.pid

    def call(self, request: Any, *, deadline: float | None = None) -> Job:
        """Send one request to this very worker; return the future of its answer."""
        if self._slot.lease is self:
            return self._dispatch.call(self._slot, request, deadline)
        error = WorkerDiedError(
            f"expected worker {self.number} to be checked out, "
            "got one that has ended or was checked in; check another one out",
            may_have_happened=False,
        )
        return self._dispatch.refused(request, error)

    def hold(self, task: "asyncio.Task[Any] | None") -> None:
        """Check the worker in when `task` is over, if nobody has before."""
        self._holder = task
        if task is not None:
            task.add_done_callback(self._holder_ended)

    def _holder_ended(self, _task: "asyncio.Task[Any]") -> None:
        self.checkin()

    def checkin(self) -> None:
        """Give the worker back; harmless if it has ended or was given back."""
        if self._holder is not None:
            self._holder.remove_done_callback(self._holder_ended)
            self._holder = None
        if self._slot.lease is self:
            self._dispatch.checkin(self._slot)


class Checkout:
    """A worker to be: `async with` it, or await it and check it in yourself."""

    __slots__ = ("_job", "_lease")

    def __init__(self, job: Job) -> None:
        self._job = job
        self._lease: Lease | None = None

    def __await__(self) -> Generator[Any, None, Lease]:
        """Wait for a worker; one that was handed over to a cancelled caller goes back at once."""
        try:
            lease: Lease = yield from self._job.__await__()
        except asyncio.CancelledError:
            if self._job.done() and not self._job.cancelled() and not self._job.exception():
                self._job.result().checkin()
            raise
        lease.hold(asyncio.current_task())
        return lease

    async def __aenter__(self) -> Lease:
        self._lease = await self
        return self._lease

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._lease is not None:
            self._lease.checkin()
