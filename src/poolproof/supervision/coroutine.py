"""Children that are coroutines: a task with exit signals, which can also be killed."""

# ruff: noqa: ASYNC109 -- a limit is part of the question here: its error says what may have happened

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Hashable
from contextlib import suppress
from typing import Any, Final

from poolproof.supervision.overriding import override
from poolproof.supervision.process import Parent, Process, reason_into
from poolproof.supervision.reasons import (
    KILL,
    KILLED,
    NORMAL,
    SHUTDOWN,
    ExitReason,
    ExitWith,
    error,
    reason_of,
)
from poolproof.supervision.spec import DEFAULT_SHUTDOWN_SECONDS

_CLOSE_ATTEMPTS: Final = 100
_LIVING: Final[set["CoroutineProcess"]] = set()
"""A loop holds its tasks weakly: one that waits for what nobody else holds would vanish without an end."""

Body = Callable[..., Coroutine[Any, Any, object]]


class CoroutineProcess(Process):
    """A coroutine that runs as a task of its own.

    `shutdown` and other signals arrive in it as `asyncio.CancelledError`: one that lets it pass
    ends with the signal's reason, one that swallows it goes on (OTP's process that traps exits and
    ignores them). A kill closes it where it
    stands: `finally` blocks run up to their first `await`.
    """

    __slots__ = ("_requested", "loop", "task")

    def __init__(
        self, coroutine: Coroutine[Any, Any, object], loop: asyncio.AbstractEventLoop
    ) -> None:
        super().__init__()
        self.loop = loop
        self._requested: ExitReason | None = None
        self.task = loop.create_task(coroutine)
        self.task.add_done_callback(self._ended)
        _LIVING.add(self)

    def _ended(self, task: "asyncio.Task[object]") -> None:
        _LIVING.discard(self)
        exception = None if task.cancelled() else task.exception()
        if self.reason is not None:
            return
        if task.cancelled():
            self.finish(self._requested or error("cancelled by somebody else"))
        else:
            self.finish(NORMAL if exception is None else reason_of(exception))

    @override
    def settle(self) -> None:
        """Note the end of a task whose callbacks have not run yet."""
        if self.reason is None and self.task.done():
            self._ended(self.task)

    @override
    def signal(self, reason: ExitReason, _sender: Process | None, /) -> None:
        """Cancel the task; `normal` is ignored."""
        if reason != NORMAL:
            self._requested = reason
            self.task.cancel()

    @override
    def kill(self) -> None:
        """Close the coroutine where it stands."""
        if asyncio.current_task(self.loop) is self.task:
            # A coroutine that runs cannot be closed: the next turn of the loop finds it waiting, or
            # over.
            self.loop.call_soon(self._kill_now)
            return
        self._kill_now()

    def _kill_now(self) -> None:
        if not self.alive:
            return
        closed = _close(self.task)
        # A closed coroutine cannot be resumed: the task ends with an error that nobody is told of.
        self.task.cancel()
        self.finish(KILLED if closed else ExitReason("killed", "unkillable"))

    async def gone(self) -> None:
        """Wait until a killed one's task is over, too; one that refuses to end is not waited for."""
        for _ in range(_CLOSE_ATTEMPTS):
            if self.task.done():
                return
            await asyncio.sleep(0)


def _close(task: "asyncio.Task[object]") -> bool:
    """Close the task's coroutine; a coroutine may refuse, so often, by awaiting again."""
    coroutine: Any = task.get_coro()
    for _ in range(_CLOSE_ATTEMPTS):
        try:
            coroutine.close()
        except RuntimeError:
            continue
        except Exception:  # noqa: BLE001 (whatever a dying child raises, it is dead)
            return True
        return True
    return False


class Announcement:
    """What a coroutine with an initialisation calls when it is up; see `coroutine`."""

    __slots__ = ("_up",)

    def __init__(self, up: "asyncio.Future[None]") -> None:
        self._up = up

    def __call__(self) -> None:
        """Say that the child is up; only the first time counts."""
        if not self._up.done():
            self._up.set_result(None)


class CoroutineStarter:
    """Starts a coroutine function with fixed arguments; made by `coroutine`."""

    __slots__ = ("_announces", "_args", "_body", "_start_timeout")

    def __init__(
        self, body: Body, args: tuple[Any, ...], *, announces: bool, start_timeout: float
    ) -> None:
        self._body, self._args = body, args
        self._announces, self._start_timeout = announces, start_timeout

    @property
    def name(self) -> str:
        """What is started, for people."""
        return getattr(self._body, "__qualname__", repr(self._body))

    def start(self, parent: Parent, _id: Hashable, /) -> Process | Awaitable[Process]:
        """Start the coroutine; it is up at once, or when it says so."""
        if not self._announces:
            return CoroutineProcess(self._body(*self._args), parent.loop)
        return self._start_and_wait(parent.loop)

    async def _start_and_wait(self, loop: asyncio.AbstractEventLoop) -> Process:
        up: asyncio.Future[None] = loop.create_future()
        process = CoroutineProcess(self._body(Announcement(up), *self._args), loop)
        await wait_until_up(process, up, self._start_timeout)
        return process


async def wait_until_up(process: Process, up: "asyncio.Future[Any]", timeout: float) -> None:
    """Wait for `up`; raise the reason of an end before it.

    Kill the process if it takes too long. On cancellation shut it down first, so that it can give back what it has
    begun to take, and kill it when its patience is over; it has ended when this is left.
    """

    def ended(_: Process, reason: ExitReason) -> None:
        if not up.done():
            up.set_exception(ExitedEarlyError(reason))

    process.watch(ended)
    try:
        async with asyncio.timeout(timeout):
            await up
    except BaseException as why:
        process.unwatch(ended)
        try:
            if isinstance(why, asyncio.CancelledError):
                await _shut_down(process)
        finally:
            process.exit(KILL)
            if isinstance(process, CoroutineProcess):
                # Else its task's end is an error to the loop, where that ends before it: asyncio.run would log it.
                await process.gone()
        raise
    process.unwatch(ended)


async def _shut_down(process: Process) -> None:
    ended: asyncio.Future[ExitReason] = asyncio.get_running_loop().create_future()
    process.watch(reason_into(ended))
    process.exit(SHUTDOWN)
    with suppress(TimeoutError):
        async with asyncio.timeout(DEFAULT_SHUTDOWN_SECONDS):
            await ended


class ExitedEarlyError(ExitWith):
    """A child ended before it was up, for `reason`."""


def coroutine(
    body: Body, *args: Any, announces: bool = False, start_timeout: float = 60.0
) -> CoroutineStarter:
    """Return a starter for `body(*args)`.

    Args:
        body: a coroutine function.
        *args: its arguments, the same at every restart.
        announces: the body gets a function as first argument and is up only when it has called it;
            a body that ends before is a failed start.
        start_timeout: seconds within which it must announce itself.
    """
    return CoroutineStarter(body, args, announces=announces, start_timeout=start_timeout)


def spawn(body: Coroutine[Any, Any, object]) -> CoroutineProcess:
    """Run `body` as a process that nobody supervises: for links, monitors and tests."""
    return CoroutineProcess(body, asyncio.get_running_loop())
