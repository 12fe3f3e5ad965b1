"""What OTP's `sys` does: look into a running actor or supervisor, hold it, change it, watch it work."""

import asyncio
from collections.abc import Callable
from typing import Any

from poolproof.supervision.answers import NoAnswerError
from poolproof.supervision.process import Process, SystemRequest

CONTROL_SECONDS = 5.0


async def _asked(process: Process, request: SystemRequest, timeout: float) -> Any:  # noqa: ASYNC109
    answered = process.system(request)
    try:
        async with asyncio.timeout(timeout) as limit:
            return await answered
    except TimeoutError:
        if not limit.expired():
            raise
        raise NoAnswerError(process, timeout) from None


async def state(process: Process, *, timeout: float = CONTROL_SECONDS) -> Any:  # noqa: ASYNC109
    """Return the state of an actor, or the status and process of each child of a supervisor.

    Raises:
        TypeError: the process serves no system messages (coroutines and operating-system processes do not).
        GoneError: it has ended.
        NoAnswerError: it did not answer within `timeout` seconds.
    """
    return await _asked(process, SystemRequest("state"), timeout)


async def suspend(process: Process, *, timeout: float = CONTROL_SECONDS) -> None:  # noqa: ASYNC109
    """Hold a process: messages queue, a supervisor restarts nothing; system messages are still served."""
    await _asked(process, SystemRequest("suspend"), timeout)


async def resume(process: Process, *, timeout: float = CONTROL_SECONDS) -> None:  # noqa: ASYNC109
    """Let a suspended process go on with what has queued."""
    await _asked(process, SystemRequest("resume"), timeout)


async def replace_state(
    process: Process,
    change: Callable[[Any], Any],
    *,
    timeout: float = CONTROL_SECONDS,  # noqa: ASYNC109
) -> Any:
    """Replace an actor's state by `change(state)` and return the new one; if `change` raises, nothing changes."""
    return await _asked(process, SystemRequest("replace_state", change), timeout)


async def trace(
    process: Process,
    tracer: Callable[[Any], None] | None,
    *,
    timeout: float = CONTROL_SECONDS,  # noqa: ASYNC109
) -> None:
    """Have `tracer` called with each `Traced` event of an actor, or nobody if it is None."""
    await _asked(process, SystemRequest("trace", tracer), timeout)
