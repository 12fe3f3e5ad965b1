"""What OTP's `sys` does.

Look into a running actor or supervisor, hold it, change it, watch it work.
"""

# ruff: noqa: ASYNC109 -- a limit is part of the question here: its error says what may have happened

from collections.abc import Callable
from typing import Any

from poolproof.supervision.answers import answer_of
from poolproof.supervision.process import Process, SystemRequest

CONTROL_SECONDS = 5.0


async def _asked(process: Process, request: SystemRequest, timeout: float) -> Any:
    return await answer_of(process, process.system(request), timeout)


async def state(process: Process, *, timeout: float = CONTROL_SECONDS) -> Any:
    """Return the state of an actor, or the status and process of each child of a supervisor.

    Raises:
        TypeError: the process serves no system messages (coroutines and operating-system processes
            do not).
        GoneError: it has ended.
        NoAnswerError: it did not answer within `timeout` seconds.
    """
    return await _asked(process, SystemRequest("state"), timeout)


async def suspend(process: Process, *, timeout: float = CONTROL_SECONDS) -> None:
    """Hold a process: messages queue, a supervisor restarts nothing.

    System messages are still served.
    """
    await _asked(process, SystemRequest("suspend"), timeout)


async def resume(process: Process, *, timeout: float = CONTROL_SECONDS) -> None:
    """Let a suspended process go on with what has queued."""
    await _asked(process, SystemRequest("resume"), timeout)


async def replace_state(
    process: Process,
    change: Callable[[Any], Any],
    *,
    timeout: float = CONTROL_SECONDS,
) -> Any:
    """Replace an actor's state by `change(state)` and return the new one.

    If `change` raises, nothing changes.
    """
    return await _asked(process, SystemRequest("replace_state", change), timeout)


async def trace(
    process: Process,
    tracer: Callable[[Any], None] | None,
    *,
    timeout: float = CONTROL_SECONDS,
) -> None:
    """Have `tracer` called with each `Traced` event of an actor, or nobody if it is None."""
    await _asked(process, SystemRequest("trace", tracer), timeout)
