"""Start many operations at one moment, and keep what came of each."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

from poolproof.sync.barrier import Barrier
from poolproof.sync.waiter import DEFAULT_TIMEOUT, SyncTimeoutError, Waiter, clock

T = TypeVar("T")
Operation = Callable[[], Awaitable[T]]
Status = Literal["returned", "raised", "cancelled", "timed out", "stuck"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome(Generic[T]):
    """What came of one operation of `synchronize`.

    Attributes:
        name: the operation's key, or its place in the sequence.
        status: `returned`; `raised`; `cancelled` (by itself); `timed out`: it was cancelled then,
            and has ended; `stuck`: it was cancelled, and still runs.
        value: what it returned.
        error: what it raised, or the time-out.
        seconds: from the release of all to its end, or to the time-out.
    """

    name: str
    status: Status
    value: T | None = None
    error: BaseException | None = None
    seconds: float = 0.0

    def result(self) -> T:
        """Return what the operation returned, or raise its error."""
        if self.error is not None:
            raise self.error
        return self.value  # type: ignore[return-value]


@dataclass(slots=True)
class _Run(Generic[T]):
    name: str
    operation: Operation[T]
    released: float = 0.0
    ended: float | None = None

    async def play(self, barrier: Barrier) -> T:
        await barrier.wait()
        self.released = clock()
        try:
            return await self.operation()
        finally:
            self.ended = clock()

    def outcome(self, task: asyncio.Task[T], *, late: bool, timeout: float) -> Outcome[T]:
        if late:
            status: Status = "timed out" if task.done() else "stuck"
            error: BaseException | None = SyncTimeoutError(
                f"expected {self.name} to end within {timeout:g} s of the release of all, got: "
                f"still running then, {'cancelled' if task.done() else 'and deaf to being cancelled'}",
                waiting=[Waiter(self.name, self.released)],
            )
            return Outcome(name=self.name, status=status, error=error, seconds=timeout)
        seconds = (self.ended or self.released) - self.released
        if task.cancelled():
            error = asyncio.CancelledError(f"{self.name} was cancelled")
            return Outcome(name=self.name, status="cancelled", error=error, seconds=seconds)
        if error := task.exception():
            return Outcome(name=self.name, status="raised", error=error, seconds=seconds)
        return Outcome(name=self.name, status="returned", value=task.result(), seconds=seconds)


async def synchronize(
    operations: Mapping[str, Operation[T]] | Sequence[Operation[T]],
    *,
    timeout: float = DEFAULT_TIMEOUT,  # noqa: ASYNC109 - the outcomes need to know of it
    grace: float = 1.0,
) -> tuple[Outcome[T], ...]:
    """Start all operations at one moment, each in a task; return their outcomes in their order.

    None begins before every one is at the barrier. Whatever still runs at the time-out is
    cancelled, awaited, and reported as such; so is everything if this call is cancelled itself.

    Args:
        operations: coroutine functions that take nothing, by name or in their order.
        timeout: seconds from the release to the end of the last, for all together.
        grace: seconds that those who are cancelled get to end.

    Raises:
        SyncTimeoutError: not even the barrier was reached in `timeout` seconds.
    """
    runs = [_Run(name, operation) for name, operation in _named(operations)]
    barrier = Barrier(len(runs) + 1, timeout=timeout, name="the start of synchronize")
    tasks = [asyncio.create_task(run.play(barrier), name=run.name) for run in runs]
    late: set[asyncio.Task[T]] = set()
    try:
        await barrier.wait()
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=timeout)
    finally:
        await _end(tasks, grace)
    return tuple(
        run.outcome(task, late=task in late, timeout=timeout)
        for run, task in zip(runs, tasks, strict=True)
    )


def _named(
    operations: Mapping[str, Operation[T]] | Sequence[Operation[T]],
) -> list[tuple[str, Operation[T]]]:
    if isinstance(operations, Mapping):
        return list(operations.items())
    return [(str(index), operation) for index, operation in enumerate(operations)]


async def _end(tasks: Iterable[asyncio.Task[Any]], grace: float) -> None:
    running = [task for task in tasks if not task.done()]
    for task in running:
        task.cancel()
    if running:
        await asyncio.wait(running, timeout=grace)
    for task in tasks:
        if task.done() and not task.cancelled():
            task.exception()  # seen: an outcome tells of it, or the caller is being cancelled
