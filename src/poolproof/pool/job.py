"""A job: a request that was handed to a pool, and the future of its answer."""

import asyncio
from collections.abc import Hashable
from typing import TYPE_CHECKING, Any, Final, Protocol

from poolproof.pool.retrying import Tries
from poolproof.supervision.overriding import override

if TYPE_CHECKING:
    from poolproof.pool.affinity import Binding
    from poolproof.pool.slot import Slot

#: The payload of one that asks for a worker of its own instead of an answer.
CHECKOUT: Final = object()


class CancelledJobs(Protocol):
    """Who is told that a job was cancelled by its caller."""

    def cancelled(self, job: "Job") -> None:
        """Free what the job holds."""


class Job(asyncio.Future[Any]):
    """A request and the future of its answer: await it, or cancel it, from anywhere on the loop.

    A pool makes it and fills it in; it has no constructor of its own because this is the hot path.

    Attributes:
        pool: who is told of a cancellation.
        number: which job of the pool.
        payload: what the worker's `handle` gets.
        since_ns: when it was submitted.
        deadline_ns: when it is over in any case, on the pool's clock.
        session: whose request it is, for affinity.
        binding: the session's hold on its worker, from when the job is sent.
        count: of how many payloads it is a list, each to be answered by itself; 0 for one that is none.
        idempotent: it may be tried again although it may have happened.
        key: what it is quarantined by; None for itself alone.
        attempt: which attempt this is, from 1.
        resent: how often it was sent again without having begun.
        tries: what its retries were so far.
        slot: the worker that has it, or that it waits for.
        request: the id under which that worker has it; 0 while it waits.
    """

    __slots__ = (
        "attempt",
        "binding",
        "count",
        "deadline_ns",
        "idempotent",
        "key",
        "number",
        "payload",
        "pool",
        "request",
        "resent",
        "session",
        "since_ns",
        "slot",
        "tries",
    )
    pool: CancelledJobs
    number: int
    payload: Any
    since_ns: int
    deadline_ns: int
    session: str | None
    binding: "Binding"
    count: int
    idempotent: bool
    key: Hashable
    attempt: int
    tries: Tries
    resent: int
    slot: "Slot | None"
    request: int

    @override
    def cancel(self, msg: Any | None = None) -> bool:
        """Give the job up; what has not begun does not begin, and its slot is free."""
        if not super().cancel(msg):
            return False
        self.pool.cancelled(self)
        return True

    @override
    def __hash__(self) -> int:
        """Return its number, so that a set of jobs has the same order in every process."""
        return self.number

    @property
    def numbers(self) -> range:
        """The numbers that it stands for in the history."""
        return range(self.number, self.number + (self.count or 1))

    @property
    def is_checkout(self) -> bool:
        """Whether it asks for a worker rather than for an answer."""
        return self.payload is CHECKOUT
