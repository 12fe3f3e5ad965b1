"""The operations of a load, as they run in the workers; nothing is journalled, so that they cost what they are."""

import asyncio
import time
from collections.abc import Callable
from typing import Any, Final


class PlannedError(Exception):
    """What the operation `fail` raises: the error is the pool's to tell, and counts as one."""


def noop(_argument: Any) -> None:
    """Do nothing."""


def echo(payload: Any) -> Any:
    """Return the payload."""
    return payload


def sleep(seconds: float) -> None:
    """Sleep."""
    time.sleep(seconds)


def burn(seconds: float) -> None:
    """Compute for so much time of the processor's."""
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        pass


def fail(_argument: Any) -> None:
    """Raise."""
    raise PlannedError("an operation that fails, on purpose")


async def noop_on_loop(_argument: Any) -> None:
    """Do nothing, as a coroutine."""


async def echo_on_loop(payload: Any) -> Any:
    """Return the payload, as a coroutine."""
    return payload


async def sleep_on_loop(seconds: float) -> None:
    """Sleep, and let others run meanwhile."""
    await asyncio.sleep(seconds)


async def burn_on_loop(seconds: float) -> None:
    """Compute for so much time of the processor's, on the loop."""
    burn(seconds)


async def fail_on_loop(_argument: Any) -> None:
    """Raise, as a coroutine."""
    fail(None)


PLAIN: Final[dict[str, Callable[[Any], Any]]] = {
    one.__name__: one for one in (noop, echo, sleep, burn, fail)
}
COROUTINES: Final[dict[str, Callable[[Any], Any]]] = {
    "noop": noop_on_loop,
    "echo": echo_on_loop,
    "sleep": sleep_on_loop,
    "burn": burn_on_loop,
    "fail": fail_on_loop,
}
