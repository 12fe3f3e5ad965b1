"""Runs that lead nowhere: the errors, and where every pending task stands."""

import asyncio
import gc
import types
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from poolproof.errors import PoolproofError

_SHOWN: Final = 100
_DEEP: Final = 1000
_ASYNCIO: Final = str(Path(asyncio.__file__).parent)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """A task that is not done.

    Attributes:
        task: its name.
        awaits: what it waits for, or "its turn".
        sites: where, innermost last: (file, line, function).
    """

    task: str
    awaits: str
    sites: tuple[tuple[str, int, str], ...]

    def __str__(self) -> str:
        own = [site for site in self.sites if not site[0].startswith(_ASYNCIO)]
        shown = (own or list(self.sites))[-1:]
        inner = [site for site in self.sites[-1:] if site not in shown]
        where = [f"{_short(file)}:{line} in {name}" for file, line, name in (*shown, *inner)]
        return f"{self.task} awaits {self.awaits} at {' -> '.join(where) or 'its beginning'}"


class SimulationStalledError(PoolproofError):
    """The simulation would never end.

    Attributes:
        pending: every task that is not done, by its number.
    """

    def __init__(self, message: str, pending: tuple[Pending, ...] = ()) -> None:
        hidden = len(pending) - _SHOWN
        more = [f"and {hidden} more"] if hidden > 0 else []
        super().__init__("\n  ".join([message, *map(str, pending[:_SHOWN]), *more]))
        self.pending = pending


class DeadlockError(SimulationStalledError):
    """Nothing is ready and no timer is set: in virtual time this wait would never end."""


class LivelockError(SimulationStalledError):
    """Step follows step, and time does not move."""


class TimeLimitError(SimulationStalledError):
    """Virtual time has passed its bound: somebody keeps setting timers while others wait."""


def pending_of(tasks: list[asyncio.Task[Any]]) -> tuple[Pending, ...]:
    """Return where each task stands that is not done."""
    return tuple(_pending(task) for task in tasks if not task.done())


def _pending(task: asyncio.Task[Any]) -> Pending:
    waits_for: asyncio.Future[Any] | None = getattr(task, "_fut_waiter", None)
    awaits = "its turn" if waits_for is None else _named(waits_for)
    return Pending(task=task.get_name(), awaits=awaits, sites=tuple(_sites(task.get_coro())))


def _named(future: asyncio.Future[Any]) -> str:
    return future.get_name() if isinstance(future, asyncio.Task) else "a future"


def _short(file: str) -> str:
    return f"asyncio{file.removeprefix(_ASYNCIO)}" if file.startswith(_ASYNCIO) else file


_WAITERS: Final[tuple[type[Any], ...]] = (
    types.CoroutineType,
    types.GeneratorType,
    types.AsyncGeneratorType,
)


def _sites(awaited: object) -> Iterator[tuple[str, int, str]]:
    """Follow the chain of awaits inwards, by the attributes of coroutines, generators, async generators."""
    for _ in range(_DEEP):
        awaited = _wrapped(awaited)
        frame = _first(awaited, "cr_frame", "gi_frame", "ag_frame")
        if not isinstance(frame, types.FrameType):
            return
        code = frame.f_code
        yield code.co_filename, frame.f_lineno or code.co_firstlineno, code.co_qualname
        awaited = _first(awaited, "cr_await", "gi_yieldfrom", "ag_await")


def _wrapped(awaitable: object) -> object:
    """Return what a step of an async generator, or a wrapped coroutine, stands for; neither has an attribute for it."""
    candidates = [awaitable, *gc.get_referents(awaitable)]
    return next((one for one in candidates if type(one) in _WAITERS), None)


def _first(thing: object, *names: str) -> object:
    return next(
        (value for name in names if (value := getattr(thing, name, None)) is not None), None
    )
