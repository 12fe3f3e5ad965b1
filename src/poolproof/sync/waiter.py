"""Who waits and since when, and the error of a wait that ran out of time."""

import asyncio
import reprlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from poolproof.errors import PoolproofError

DEFAULT_TIMEOUT: Final = 5.0
_MAX_NAMED: Final = 10

_short = reprlib.Repr()
_short.maxstring = _short.maxother = 200


@dataclass(frozen=True, slots=True)
class Waiter:
    """Who waits, by the name of its task, and since when, in seconds of the loop's clock."""

    name: str
    since: float


class SyncTimeoutError(PoolproofError, TimeoutError):
    """A wait ran out of time; whether the other side has acted since cannot be told.

    Attributes:
        waiting: who waited, in the order of their coming.
        last: for `wait_for`, what the condition returned last.
    """

    def __init__(
        self, message: str, *, waiting: Iterable[Waiter] = (), last: object = None
    ) -> None:
        super().__init__(message)
        self.waiting = tuple(waiting)
        self.last = last


def clock() -> float:
    """Return the time of the running loop, in seconds."""
    return asyncio.get_running_loop().time()


def who() -> str:
    """Return the name of the current task."""
    task = asyncio.current_task()
    return task.get_name() if task else "no task"


def here() -> Waiter:
    """Return the current task as one that begins to wait."""
    return Waiter(who(), clock())


def listed(texts: Iterable[str]) -> str:
    """Return the texts in one line, only the first of very many."""
    every = list(texts)
    more = [f"and {len(every) - _MAX_NAMED} more"] if len(every) > _MAX_NAMED else []
    return ", ".join(every[:_MAX_NAMED] + more) or "nobody"


def in_words(waiters: Iterable[Waiter]) -> str:
    """Return who waits and since when, in one line."""
    return listed(f"{one.name} since {one.since:.3f} s" for one in waiters)


def shortly(value: object) -> str:
    """Return the value in a message: its repr, bounded."""
    return _short.repr(value)
