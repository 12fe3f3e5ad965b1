"""From what a worker or its end said to the error that its caller gets."""

from poolproof.errors import (
    DeadlineExceededError,
    FrameError,
    NotCarriedError,
    PoolError,
    WorkerDiedError,
)
from poolproof.pool.slot import Slot
from poolproof.transport import describe
from poolproof.transport.base import End, WireError


def error_of(wire: WireError) -> PoolError:
    """Return the error that a worker's answer stands for."""
    if wire.kind in {"raised", "cancelled"}:
        error: PoolError = describe.remote(wire)
        error.may_have_happened = wire.may_have_happened
        return error
    if wire.kind == "expired":
        return DeadlineExceededError(wire.message, may_have_happened=wire.may_have_happened)
    kind = FrameError if wire.type.endswith("FrameError") else NotCarriedError
    return kind(wire.message, may_have_happened=wire.may_have_happened)


def died(slot: Slot, end: End, *, begun: bool) -> WorkerDiedError:
    """Return the error for a job whose worker has ended."""
    pid = f" (pid {slot.link.pid})" if slot.link.pid else ""
    done = "had begun it, so that it may have happened" if begun else "had not begun it"
    return WorkerDiedError(
        f"expected an answer from worker {slot.number}{pid}, but it ended: {end.detail}; it {done}",
        may_have_happened=begun,
    )
