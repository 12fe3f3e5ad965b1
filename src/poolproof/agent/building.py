"""From a factory to a pool: what it is called with, and what is said when that goes wrong.

Standard library only.
"""

import inspect
import re
from collections.abc import Callable, Sequence
from typing import Any, Final

from poolproof.adapters.base import TargetProblem
from poolproof.agent.naming import Factory, last_own_frame

WORKER_NAMES: Final = (
    *("max_workers", "workers", "num_workers", "n_workers", "nworkers", "number_of_workers"),
    *("processes", "num_processes", "n_processes", "nprocs", "max_processes", "process_count"),
    *("threads", "num_threads", "max_threads", "n_jobs", "worker_count", "concurrency"),
    *("pool_size", "max_size", "size", "count", "n"),
)

Arguments = tuple[tuple[Any, ...], dict[str, Any]]


class NeedsLoopError(Exception):
    """The factory wants to be called where an event loop is running; its own error is the cause."""


def build(factory: Factory, workers: int) -> object:
    """Return what the factory makes for that number of workers; an awaitable as it is.

    Raises:
        TargetProblem: the factory needs other arguments, or raises.
        NeedsLoopError: it says that no event loop is running.
    """
    positional, named = arguments(factory, workers)
    try:
        return factory.function(*positional, **named)
    except RuntimeError as error:
        if _misses_loop(error):
            raise NeedsLoopError(str(error)) from error
        raise failed(factory, workers, error) from error
    except (Exception, SystemExit) as error:
        raise failed(factory, workers, error) from error


def failed(factory: Factory, workers: int, error: BaseException) -> TargetProblem:
    """Return the problem of a factory that raised."""
    positional, named = arguments(factory, workers)
    given = [*map(repr, positional), *(f"{name}={value!r}" for name, value in named.items())]
    return TargetProblem(
        f"expected {factory.name} to return a pool, got {type(error).__name__}: {error}"
        f"{last_own_frame(error)}; it was called as "
        f"{_name(factory.function)}({', '.join(given)})"
    )


def arguments(factory: Factory, workers: int) -> Arguments:
    """Return how a factory is told the number of workers.

    By a parameter whose name means it, else by its first one, if that may be a number.

    Raises:
        TargetProblem: the factory needs arguments that poolproof does not know.
    """
    try:
        parameters = list(inspect.signature(factory.function).parameters.values())
    except (TypeError, ValueError):
        return (workers,), {}
    taker = _taker(parameters)
    missing = [one.name for one in parameters if one is not taker and _is_required(one)]
    if missing:
        raise _needs(missing, factory)
    if taker is None:
        return (), {}
    if taker is parameters[0] and taker.kind is not taker.KEYWORD_ONLY:
        return (workers,), {}
    return (), {taker.name: workers}


def _taker(parameters: Sequence[inspect.Parameter]) -> inspect.Parameter | None:
    """Return the parameter that takes the number of workers, if one does."""
    by_name = {
        one.name.lower(): one
        for one in parameters
        if one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY)
    }
    named = next((by_name[name] for name in WORKER_NAMES if name in by_name), None)
    if named is not None or not parameters:
        return named
    first = parameters[0]
    placed = first.kind not in (first.KEYWORD_ONLY, first.VAR_KEYWORD)
    return first if placed and _may_be_number(first) else None


def _may_be_number(first: inspect.Parameter) -> bool:
    if first.annotation not in (first.empty, Any, object, "Any", "object"):
        return re.search(r"\bint\b", str(first.annotation)) is not None
    if first.default is first.empty:
        return True
    return isinstance(first.default, int) and not isinstance(first.default, bool)


def _is_required(one: inspect.Parameter) -> bool:
    return one.default is one.empty and one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)


def _needs(missing: Sequence[str], factory: Factory) -> TargetProblem:
    call = _name(factory.function)
    given = ", ".join(f"{one}=..." for one in missing)
    return TargetProblem(
        f"expected a factory that takes the number of workers, or nothing, got {factory.name}, "
        f"which also needs {', '.join(missing)}; write one into a file, and name it as "
        f"file.py:make:\n\n    def make(workers):\n        return {call}({given})\n"
    )


def _name(function: Callable[..., Any]) -> str:
    return getattr(function, "__name__", type(function).__name__)


def _misses_loop(error: RuntimeError) -> bool:
    words = ("running event loop", "current event loop", "async context")
    return any(part in str(error) for part in words)
