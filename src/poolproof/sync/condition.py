"""Wait until something holds, or until every other task is blocked."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, TypeVar, overload
from weakref import WeakSet

from poolproof.sync.waiter import (
    DEFAULT_TIMEOUT,
    SyncTimeoutError,
    clock,
    here,
    in_words,
    listed,
    shortly,
)

T = TypeVar("T")

_MAX_TURNS: Final = 100_000
_EAGER_CHECKS: Final = 3  # of a condition, one loop turn apart, before its checks become rarer
_FIRST_PAUSE_S: Final = 0.001


@overload
async def wait_for(
    condition: Callable[[], Awaitable[T]],
    *,
    timeout: float = ...,  # noqa: ASYNC109
    interval: float = ...,
    what: str = ...,
) -> T: ...


@overload
async def wait_for(
    condition: Callable[[], T],
    *,
    timeout: float = ...,  # noqa: ASYNC109
    interval: float = ...,
    what: str = ...,
) -> T: ...


async def wait_for(
    condition: Callable[[], Any],
    *,
    timeout: float = DEFAULT_TIMEOUT,  # noqa: ASYNC109 - the diagnosis needs to know of it
    interval: float = 0.05,
    what: str = "",
) -> Any:
    """Return what `condition` returns as soon as that is true; it may be a coroutine function.

    It is checked at once, then at the next turns of the loop, then at growing intervals, and once
    more when the time is up.

    Args:
        condition: takes nothing; an exception that it raises is not caught.
        timeout: seconds.
        interval: the longest time between two checks, in seconds.
        what: what is waited for, in words, for the diagnosis; else the condition's own name.

    Raises:
        SyncTimeoutError: it was not true in time.

    Example:
        >>> await wait_for(lambda: pool.idle == 2, what="both workers idle")
    """
    waiter, last, checks = here(), None, 0
    until = waiter.since + timeout
    answered = True
    while answered:
        final = clock() >= until
        answered, got = await _ask(condition, until)
        if answered and got:
            return got
        last, checks = (got, checks + 1) if answered else (last, checks)
        if final:
            break
        await asyncio.sleep(min(_pause(checks, interval), max(until - clock(), 0.0)))
    raise SyncTimeoutError(
        f"expected {what or _name_of(condition)} to hold within {timeout:g} s, last got "
        f"{shortly(last)} in {checks} check(s){'' if answered else ', the next unanswered'}; "
        f"waited: {in_words([waiter])}, now {clock():.3f} s",
        waiting=[waiter],
        last=last,
    )


async def _ask(condition: Callable[[], Any], until: float) -> tuple[bool, Any]:
    """Return whether the condition answered in time, and what."""
    answer = condition()
    if not inspect.isawaitable(answer):
        return True, answer
    limit = asyncio.timeout_at(until)
    try:
        async with limit:
            return True, await answer
    except TimeoutError:
        if limit.expired():
            return False, None
        raise


def _pause(checks: int, interval: float) -> float:
    if checks < _EAGER_CHECKS:
        return 0.0
    return min(_FIRST_PAUSE_S * 2.0 ** min(checks - _EAGER_CHECKS, 32), interval)


def _name_of(condition: Callable[[], Any]) -> str:
    code = getattr(condition, "__code__", None)
    if code is None:
        return shortly(condition)
    return f"{condition.__qualname__} ({code.co_filename}:{code.co_firstlineno})"


_watching: "WeakSet[asyncio.Task[Any]]" = WeakSet()


async def wait_all_tasks_blocked(
    cushion: float = 0.0,
    *,
    timeout: float = DEFAULT_TIMEOUT,  # noqa: ASYNC109 - the diagnosis needs to know of it
) -> None:
    """Wait until every other task of the loop waits for something that has not happened yet.

    Two turns of the loop in a row must find nothing to run. A task that waits for a timer, a
    socket or a thread counts as blocked; so does another call of this function. The name and the
    meaning are trio's.

    Args:
        cushion: seconds for which nobody may have moved, for what comes from outside the loop.
        timeout: seconds.

    Raises:
        SyncTimeoutError: somebody is always able to run; it says who.
    """
    me, waiter = asyncio.current_task(), here()
    assert me
    _watching.add(me)
    try:
        for _ in range(_MAX_TURNS):
            await asyncio.sleep(0)
            before = _blocked()
            await asyncio.sleep(cushion)
            if before is not None and before == _blocked():
                return
            if clock() - waiter.since > timeout:
                break
        raise SyncTimeoutError(
            f"expected every task to be blocked within {timeout:g} s, got able to run: "
            f"{listed(sorted(task.get_name() for task in _runnable()))}; "
            f"waited: {in_words([waiter])}, now {clock():.3f} s",
            waiting=[waiter],
        )
    finally:
        _watching.discard(me)


def _idle(ready: Any) -> bool:
    """Return whether what is ready is a cancelled callback, or the step of a call of ours.

    The stock loop keeps handles; the simulation keeps calls, and its steps as tuples.
    """
    if hasattr(ready, "cancelled"):
        callback = getattr(ready, "callback", getattr(ready, "_callback", None))
        return ready.cancelled() or getattr(callback, "__self__", None) in _watching
    return getattr(ready[0], "__self__", None) in _watching


def _runnable() -> list[asyncio.Task[Any]]:
    return [task for task in asyncio.all_tasks() if task not in _watching and not _waits_of(task)]


def _waits_of(task: "asyncio.Task[Any]") -> "asyncio.Future[Any] | None":
    waits: asyncio.Future[Any] | None = getattr(task, "_fut_waiter", None)
    return None if waits is None or waits.done() else waits


def _blocked() -> "dict[asyncio.Task[Any], asyncio.Future[Any] | None] | None":
    """Return what each other task waits for, or None if something can run."""
    ready: Sequence[Any] = vars(asyncio.get_running_loop()).get("_ready", ())
    if not all(map(_idle, ready)) or _runnable():
        return None
    return {task: _waits_of(task) for task in asyncio.all_tasks() if task not in _watching}
