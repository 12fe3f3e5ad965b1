"""What a supervisor answers when it cannot do what it was asked: OTP's refusals, as exceptions."""

import asyncio
from typing import Literal, TypeVar

from poolproof.errors import PoolproofError
from poolproof.supervision.process import Process
from poolproof.supervision.reasons import ExitReason

T = TypeVar("T")

Refusal = Literal[
    "not_found",
    "running",
    "restarting",
    "already_present",
    "already_started",
    "max_children",
    "simple_one_for_one",
]

_HINTS = {
    "not_found": "there is no such child; see which_children()",
    "running": "the child runs; terminate_child() first",
    "restarting": "the child is about to be restarted; terminate_child() cancels that",
    "already_present": "the child is there but stopped; restart_child() or delete_child() it",
    "already_started": "a child with this id runs; its process is in `process`",
    "max_children": "the supervisor is full; raise max_children or end a child first",
    "simple_one_for_one": "dynamic children have no ids; use their process, and start_child()",
}


class RefusedError(PoolproofError):
    """The supervisor did not do it, and nothing has changed; `answer` is OTP's word for why."""

    def __init__(self, answer: Refusal, child: object, process: Process | None = None) -> None:
        super().__init__(f"{answer}: {child!r}: {_HINTS[answer]}")
        self.answer, self.child, self.process = answer, child, process


class StartError(PoolproofError):
    """A child or a supervisor did not come up.

    What had been started for it has been stopped again.
    """

    def __init__(self, child: object, reason: ExitReason) -> None:
        super().__init__(f"expected {child!r} to start, got {reason}")
        self.child, self.reason = child, reason


class GoneError(PoolproofError):
    """The process asked has ended, before or while it was asked.

    The request may have been carried out in part.
    """

    def __init__(self, process: Process, reason: ExitReason) -> None:
        super().__init__(f"expected {process!r} to answer, got its end: {reason}")
        self.process, self.reason = process, reason


async def answer_of(process: Process, answered: "asyncio.Future[T]", seconds: float | None) -> T:
    """Wait for an answer of `process`.

    Raises:
        NoAnswerError: there is none within `seconds`.
    """
    limit = asyncio.timeout(seconds)
    try:
        async with limit:
            return await answered
    except TimeoutError:
        if not limit.expired():
            raise
        raise NoAnswerError(process, seconds or 0.0) from None


class NoAnswerError(PoolproofError):
    """No answer within the limit; the request is queued and may still be carried out."""

    def __init__(self, process: Process, seconds: float) -> None:
        super().__init__(
            f"expected an answer of {process!r} within {seconds:g} s, got none; "
            "it is busy or suspended, and the request may still be carried out"
        )
        self.process, self.seconds = process, seconds
