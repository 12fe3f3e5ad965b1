"""Pools that are used from coroutines: `submit`, `apply`, ... returns something to await."""

import asyncio
import inspect
import threading
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, ClassVar, Final, TypeVar, cast

from poolproof.adapters.base import JobStyle, Offer, TargetProblem, Workers
from poolproof.adapters.handing import Handing, handing
from poolproof.adapters.lifecycle import enter_pool, leave_pool, settled
from poolproof.adapters.main_loop import MainLoop, answer
from poolproof.adapters.registry import adapter
from poolproof.adapters.shapes import (
    FOUR_CALLS,
    accepts,
    has,
    is_asynchronous,
    is_asyncio_like,
    method,
)

T = TypeVar("T")

MOST_STALL_SECONDS: Final = 10.0
ENTRIES: Final = (
    *("submit", "apply", "run", "spawn"),
    *("execute", "schedule", "enqueue", "call", "create_task"),
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Job:
    """The handle of a job: the task that awaits the pool's answer, and its outcome for threads."""

    task: asyncio.Task[Any]
    outcome: Future[Any]


@adapter(
    "asyncio",
    looks_for=f"{', '.join(ENTRIES[:4])} -> an awaitable, and `async with`, or close or shutdown",
    rank=40,
)
class AsyncioPool:
    """The adapter of asyncio pools: the loop has the main thread, the calls come from others.

    Each job is one task that awaits what the pool returned; to cancel the job is to cancel this
    task, as the pool's users would. What can be done on the loop besides: `on_loop`, `stall`,
    `cancel_after_turns`, `submit_cancelled_after`.

    Attributes:
        job_style: "coroutine" where the pool's annotations say so, else "unknown".
    """

    name: ClassVar[str] = "asyncio"
    offers: frozenset[Offer] = frozenset({"cancel", "callback", "loop"})

    def __init__(self, pool: Any, main: MainLoop | None = None) -> None:
        self._pool = pool
        self._main = main or MainLoop()
        self._entry, self._handing = _entry_of(pool)

    @staticmethod
    def fits(pool: object) -> bool:
        """Return whether one of the pool's methods takes a job and returns something to await."""
        return any(_takes_jobs(pool, name) for name in ENTRIES)

    @property
    def job_style(self) -> JobStyle:
        """What the pool takes as a job."""
        return self._handing.job_style

    def run_main(self, script: Callable[[], None]) -> None:
        """Run the event loop in this thread, and `script` in another, until it is over."""
        self._main.run(script)

    def start(self) -> None:
        """Enter the pool: `async with`, or its start, open or setup."""
        self._main.in_root(self._enter)

    def submit(self, function: Any, /, *args: Any) -> Job:
        """Call the pool's entry on the loop; return once a task awaits its answer."""
        return self._on_loop(lambda: self._begin(function, args))

    def submit_with_callback(
        self, callback: Callable[..., Any], function: Any, /, *args: Any
    ) -> Job:
        """Submit one job; its future, else its task, calls `callback` with itself."""
        return self._on_loop(lambda: self._begin(function, args, callback))

    def wait(self, handle: Job, /) -> Any:
        """Return the job's result, or raise its error: a cancelled one `asyncio.CancelledError`."""
        return handle.outcome.result()

    def cancel(self, handle: Job, /) -> bool:
        """Request the cancellation of the job's task; False if it is over."""
        return bool(self._main.soon(handle.task.cancel).result())

    def workers(self) -> Workers | None:
        """Return None: asyncio pools with processes do not say which they are."""
        return None

    def stop(self) -> None:
        """Leave the pool as its users would: `__aexit__`, else shutdown, or close and join."""
        self._main.in_root(self._leave)

    def on_loop(self, function: Callable[[], Any]) -> Future[Any]:
        """Call a plain function on the loop soon; return the future of its result."""
        return self._main.soon(function)

    def stall(self, seconds: float, meanwhile: Callable[[], T]) -> T:
        """Block the loop once, for `seconds` and until `meanwhile` has returned; return what that did.

        What `meanwhile` asks of the loop comes in one turn after it, however slow this thread is.
        """
        begun, enough = threading.Event(), threading.Event()

        def block() -> None:
            begun.set()
            time.sleep(seconds)
            enough.wait(MOST_STALL_SECONDS)

        over = self._main.soon(block)
        over.add_done_callback(lambda _over: begun.set())
        begun.wait()
        try:
            return meanwhile()
        finally:
            enough.set()

    def cancel_after_turns(
        self, handle: Job, turns: int, trigger: Callable[[], Any] | None = None
    ) -> bool:
        """Call `trigger` on the loop, and exactly `turns` loop turns later cancel the job.

        Args:
            handle: the job to cancel.
            turns: 0 cancels in the same turn, right after the trigger.
            trigger: what hands something over, for instance the end of another job.

        Returns:
            What the task's `cancel()` returned: False if the job was over by then.
        """
        asked = self._main.promise()

        def begin() -> None:
            if trigger is not None:
                trigger()
            _after_turns(turns, lambda: answer(asked, result=handle.task.cancel()))

        self._main.soon(begin).result()
        return bool(asked.result())

    def submit_cancelled_after(self, turns: int, function: Any, /, *args: Any) -> Job:
        """Submit one job, and exactly `turns` loop turns after this hand-over cancel it."""

        def begin() -> Job:
            job = self._begin(function, args)
            _after_turns(turns, job.task.cancel)
            return job

        return self._on_loop(begin)

    def begin_on_loop(
        self, function: Any, args: tuple[Any, ...], **named: Any
    ) -> "asyncio.Future[Any]":
        """Call the pool's entry and return the future of its answer; for who is on the loop already.

        Raises:
            TargetProblem: the entry returned nothing to await.
        """
        awaited: Any = self._handing.call(self._entry, function, args, **named)
        if asyncio.isfuture(awaited):
            return awaited
        return asyncio.get_running_loop().create_task(self._finish(self._awaitable(awaited)))

    def takes(self, name: str) -> bool:
        """Return whether a job can be given something of that name, such as its session."""
        return accepts(self._entry, name)

    def _on_loop(self, begin: Callable[[], Job]) -> Job:
        return cast("Job", self._main.soon(begin).result())

    def _begin(
        self,
        function: Any,
        args: tuple[Any, ...],
        callback: Callable[..., Any] | None = None,
    ) -> Job:
        awaited = self._awaitable(self._handing.call(self._entry, function, args))
        task = asyncio.get_running_loop().create_task(self._finish(awaited))
        job = Job(task=task, outcome=self._main.promise())
        task.add_done_callback(lambda done: _pass_on(done, job.outcome))
        if inspect.iscoroutine(awaited):
            # A task that is cancelled before its first step never comes to await it.
            task.add_done_callback(lambda _done: awaited.close())
        if callback is not None:
            (awaited if asyncio.isfuture(awaited) else task).add_done_callback(callback)
        return job

    def _awaitable(self, answer: object) -> Awaitable[Any]:
        if not inspect.isawaitable(answer):
            raise TargetProblem(
                f"expected {self._entry.__name__} to return an awaitable, "
                f"got {type(answer).__name__}; choose with --adapter, "
                "or return an adapter from the factory"
            )
        return answer

    async def _finish(self, awaited: Awaitable[Any]) -> Any:
        """Await the answer; and if the answer is in turn the handle of a job, that one too."""
        outcome = await awaited
        if _is_of_threads(outcome):
            return await asyncio.wrap_future(outcome)
        if inspect.isawaitable(outcome):
            return await outcome
        if has(self._pool, *FOUR_CALLS):
            return await settled(self._pool.wait(outcome))
        return outcome

    async def _enter(self) -> None:
        inside = await enter_pool(self._pool)
        # What `as` gives may be another object than what is entered: it takes the jobs.
        self._entry, self._handing = _entry_of(inside)
        self._main.on_cancelled = self._leave_cancelled

    async def _leave(self) -> None:
        self._main.on_cancelled = None
        await leave_pool(self._pool)

    async def _leave_cancelled(self, cancelled: BaseException) -> None:
        if has(self._pool, "__aexit__"):
            await self._pool.__aexit__(type(cancelled), cancelled, cancelled.__traceback__)


def enters_on_loop(kind: object) -> bool:
    """Return whether a class is one of asyncio pools: its constructor may need a running loop."""
    if not inspect.isclass(kind) or has(kind, "__enter__"):
        return False
    if has(kind, "__aenter__"):
        return True
    return any(is_asynchronous(method(kind, name)) for name in ENTRIES)


def _is_of_threads(outcome: object) -> bool:
    return isinstance(outcome, Future)


def _takes_jobs(pool: object, name: str) -> bool:
    entry = method(pool, name)
    awaited = is_asynchronous(entry) or is_asyncio_like(pool)
    return awaited and _way_to(entry, name) is not None


def _way_to(entry: Callable[..., Any] | None, name: str) -> Handing | None:
    if entry is None:
        return None
    try:
        return handing(entry, name)
    except TargetProblem:
        return None


def _entry_of(pool: object) -> tuple[Callable[..., Any], Handing]:
    """Return the method to hand jobs to."""
    entries = [(method(pool, name), name) for name in ENTRIES]
    # Coroutine functions first: a plain function beside one may be fire-and-forget.
    for entry, name in sorted(entries, key=lambda found: not is_asynchronous(found[0])):
        if entry is not None and (way := _way_to(entry, name)) is not None:
            return entry, way
    raise TargetProblem(
        f"expected one of {', '.join(ENTRIES)}, taking a function and returning an awaitable, "
        f"got {type(pool).__name__} without; return an adapter from the factory"
    )


def _after_turns(turns: int, act: Callable[[], Any]) -> None:
    if turns <= 0:
        act()
    else:
        asyncio.get_running_loop().call_soon(_after_turns, turns - 1, act)


def _pass_on(task: asyncio.Task[Any], outcome: Future[Any]) -> None:
    if task.cancelled():
        answer(outcome, error=asyncio.CancelledError())
    elif (error := task.exception()) is not None:
        answer(outcome, error=error)
    else:
        answer(outcome, result=task.result())
