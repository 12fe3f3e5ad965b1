"""Supervised tasks: temporary children that compute something and end."""

# ruff: noqa: ASYNC109 -- a limit is part of the question here: its error says what may have happened

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Coroutine, Generator, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

from poolproof.errors import PoolproofError, UsageError
from poolproof.supervision.coroutine import CoroutineProcess, coroutine
from poolproof.supervision.dynamic import DynamicSupervisor
from poolproof.supervision.links import link as link_processes
from poolproof.supervision.process import Parent, Process
from poolproof.supervision.reasons import KILL, ExitReason, error
from poolproof.supervision.spec import ChildSpec, Restart, Shutdown

OnTimeout = Literal["exit", "kill_task"]

T = TypeVar("T")
I = TypeVar("I")  # noqa: E741 (an item of a stream)


class TaskEndedError(PoolproofError):
    """A task ended without a result.

    Whether its work was done is unknown unless `reason` says so.
    """

    def __init__(self, reason: ExitReason) -> None:
        super().__init__(f"expected a result of the task, got its end: {reason}")
        self.reason = reason


class TaskHandle(Generic[T]):
    """A task that runs; await it for its result, or its own exception, or `TaskEndedError`."""

    __slots__ = ("future", "process")

    def __init__(self, process: Process, result: "asyncio.Future[T]") -> None:
        self.process, self.future = process, result
        process.watch(self._ended)
        # A result that nobody asks for is nobody's error: the exit has been reported by the
        # supervisor.
        result.add_done_callback(lambda done: done.cancelled() or done.exception())

    def _ended(self, _: Process, reason: ExitReason) -> None:
        if not self.future.done():
            cause = reason.detail
            self.future.set_exception(
                cause if isinstance(cause, Exception) else TaskEndedError(reason)
            )

    def __await__(self) -> Generator[Any, None, T]:
        return asyncio.shield(self.future).__await__()

    @property
    def done(self) -> bool:
        """Whether there is a result or an end."""
        return self.future.done()

    def reason(self) -> ExitReason | None:
        """Return why the task ended without a result, or None if it has one or still runs."""
        if not self.future.done() or (failure := self.future.exception()) is None:
            return None
        return failure.reason if isinstance(failure, TaskEndedError) else error(failure)

    def result(self) -> T:
        """Return the result of a task that is done, or raise why there is none."""
        return self.future.result()


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskOutcome(Generic[I, T]):
    """What a stream says of one item: its value, or, if `reason` is set, why there is none."""

    item: I
    value: T | None = None
    reason: ExitReason | None = None


class _TaskStarter(Generic[T]):
    name = "task"

    def __init__(self, body: Callable[..., Coroutine[Any, Any, T]], args: tuple[Any, ...]) -> None:
        self._body, self._args = body, args
        self.result: asyncio.Future[T] = asyncio.get_running_loop().create_future()

    def start(self, parent: Parent, _id: object, /) -> Process:
        return CoroutineProcess(self._run(), parent.loop)

    async def _run(self) -> None:
        value = await self._body(*self._args)
        if not self.result.done():
            self.result.set_result(value)


class TaskSupervisor:
    """Starts tasks as temporary children of a dynamic supervisor.

    Args:
        supervisor: where they live; it can be a child of any tree.

    Example:
        >>> tasks = TaskSupervisor(await start_dynamic_supervisor())
        >>> await (await tasks.run(fetch, "a"))
    """

    def __init__(self, supervisor: DynamicSupervisor) -> None:
        self.supervisor = supervisor

    async def run(
        self,
        body: Callable[..., Coroutine[Any, Any, T]],
        *args: Any,
        link: Process | None = None,
        shutdown: float | Shutdown | None = None,
    ) -> TaskHandle[T]:
        """Start `body(*args)` as a task, and return its handle.

        Args:
            body: a coroutine function.
            *args: its arguments.
            link: a process that shares the task's fate, and it that one's; None for no link.
            shutdown: as in `ChildSpec`.

        Raises:
            RefusedError: `max_children`.
        """
        starter = _TaskStarter(body, args)
        spec = ChildSpec(id="task", start=starter, restart="temporary", shutdown=shutdown)
        process = await self.supervisor.start_child(spec)
        assert process is not None, "a task does not say ignore"
        handle = TaskHandle(process, starter.result)
        if link is not None:
            link_processes(process, link)
        return handle

    async def start(
        self,
        body: Callable[..., Coroutine[Any, Any, object]],
        *args: Any,
        restart: Restart = "temporary",
    ) -> Process:
        """Start `body(*args)` for its effects only; here the other restart types make sense too.

        Raises:
            RefusedError: `max_children`.
        """
        spec = ChildSpec(id="task", start=coroutine(body, *args), restart=restart)
        process = await self.supervisor.start_child(spec)
        assert process is not None, "a coroutine does not say ignore"
        return process

    async def stream(
        self,
        body: Callable[[I], Coroutine[Any, Any, T]],
        items: Iterable[I],
        *,
        max_concurrency: int,
        ordered: bool = True,
        timeout: float = 5.0,
        on_timeout: OnTimeout = "exit",
    ) -> AsyncIterator[TaskOutcome[I, T]]:
        """Yield one outcome for each item, at most `max_concurrency` tasks at a time.

        Leaving it ends its tasks.

        Args:
            body: what is done with each item.
            items: the items; taken one by one, as tasks become free.
            max_concurrency: how many run at once, and how many outcomes may wait for an earlier
                one.
            ordered: whether outcomes come in the order of the items, or as they are there.
            timeout: seconds for each task.
            on_timeout: `exit` raises `TimeoutError` here, `kill_task` ends only that task, with
                reason `timeout`.

        Raises:
            UsageError: `max_concurrency` is no positive number.
            TimeoutError: a task was too slow, with `on_timeout="exit"`.
        """
        if max_concurrency < 1:
            raise UsageError(f"expected max_concurrency >= 1, got {max_concurrency}")
        waiting = iter(items)
        open_tasks: list[_Open[I, T]] = []
        try:
            while True:
                for item in itertools.islice(waiting, max_concurrency - len(open_tasks)):
                    open_tasks.append(  # noqa: PERF401 (each start waits for the one before)
                        await self._open(body, item, timeout)
                    )
                if not open_tasks:
                    return
                first = await _first(open_tasks, ordered=ordered)
                open_tasks.remove(first)
                if first.overdue and on_timeout == "exit":
                    raise TimeoutError(
                        f"expected a result for {first.item!r} within {timeout:g} s, got none"
                    )
                yield first.outcome()
        finally:
            for one in open_tasks:
                one.close()

    async def _open(
        self, body: Callable[[I], Coroutine[Any, Any, T]], item: I, timeout: float
    ) -> "_Open[I, T]":
        return _Open(item, await self.run(body, item), timeout)


class _Open(Generic[I, T]):
    """One task of a stream, and its timer."""

    def __init__(self, item: I, handle: TaskHandle[T], timeout: float) -> None:
        self.item, self.handle, self.overdue = item, handle, False
        self._timer = asyncio.get_running_loop().call_later(timeout, self._too_late)

    def _too_late(self) -> None:
        self.overdue = True
        self.handle.process.exit(KILL)

    def outcome(self) -> TaskOutcome[I, T]:
        self._timer.cancel()
        if self.overdue:
            return TaskOutcome(item=self.item, reason=error("timeout"))
        reason = self.handle.reason()
        if reason is not None:
            return TaskOutcome(item=self.item, reason=reason)
        return TaskOutcome(item=self.item, value=self.handle.result())

    def close(self) -> None:
        self._timer.cancel()
        self.handle.process.exit(KILL)


async def _first(open_tasks: "Sequence[_Open[I, T]]", *, ordered: bool) -> "_Open[I, T]":
    candidates = open_tasks[:1] if ordered else open_tasks
    while True:
        for one in candidates:
            if one.handle.done:
                return one
        await asyncio.wait(
            [one.handle.future for one in candidates], return_when=asyncio.FIRST_COMPLETED
        )
