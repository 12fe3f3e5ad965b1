"""How a job, a function with its arguments, is handed to one particular method of a pool."""

import functools
import inspect
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from poolproof.adapters.base import JobStyle, TargetProblem
from poolproof.adapters.shapes import speaks_of_awaitables

ARGUMENTS: Final = ("args", "arguments", "arg", "params", "parameters", "fnargs", "fn_args")
COROUTINES: Final = ("coro", "coroutine", "awaitable", "aw")
TIME_LIMITS: Final = ("timeout", "time_out", "deadline", "time_limit", "task_timeout")

Way = Literal["spread", "packed", "single", "coroutine"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Handing:
    """How `submit(function, *args)` is said to one particular method.

    Attributes:
        way: spread `m(f, *args)`; packed `m(f, args)`; single `m(f)`, with the arguments bound to f
            beforehand; coroutine `m(f(*args))`.
        padding: what comes after the function, and before arguments that are spread.
        named: keyword arguments that must be there.
        job_style: what the method takes as a job.
    """

    way: Way
    padding: tuple[Any, ...] = ()
    named: tuple[tuple[str, Any], ...] = ()
    job_style: JobStyle = "unknown"

    def call(
        self, target: Callable[..., Any], function: Any, args: Sequence[Any], **more: Any
    ) -> Any:
        """Call `target` with the job, in this way."""
        named = dict(self.named) | more
        match self.way:
            case "spread":
                return target(function, *self.padding, *args, **named)
            case "packed":
                return target(function, tuple(args), *self.padding, **named)
            case "single":
                job = functools.partial(function, *args) if args else function
                return target(job, *self.padding, **named)
            case "coroutine":
                return target(function(*args), *self.padding, **named)


def handing(call: Callable[..., Any], name: str) -> Handing:
    """Return how a job is handed to `call`.

    Args:
        call: the pool's method.
        name: the method's name, for the message.

    Raises:
        TargetProblem: it takes no job, or needs what poolproof cannot give.
    """
    try:
        parameters = list(inspect.signature(call).parameters.values())
    except (TypeError, ValueError):
        return Handing(way="spread")
    spread = any(one.kind is one.VAR_POSITIONAL for one in parameters)
    by_place = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    placed = [one for one in parameters if one.kind in by_place]
    named = _required(one for one in parameters if one.kind is one.KEYWORD_ONLY)
    if not placed and not spread:
        raise TargetProblem(f"expected {name}(function, *args), got {name}() that takes no job")
    first, rest = placed[:1], placed[1:]
    way = "spread" if spread else _way(first[0], rest)
    # The place of the packed arguments is filled by the job itself.
    rest = rest[1:] if way == "packed" else rest
    return Handing(
        way=way,
        padding=_fill(rest if spread else _required(rest), name),
        named=tuple(zip((one.name for one in named), _fill(named, name), strict=True)),
        job_style=_job_style(first, way),
    )


def _way(first: inspect.Parameter, rest: Sequence[inspect.Parameter]) -> Way:
    if first.name in COROUTINES:
        return "coroutine"
    return "packed" if rest and _bare(rest[0]) in ARGUMENTS else "single"


def _required(parameters: Iterable[inspect.Parameter]) -> list[inspect.Parameter]:
    return [one for one in parameters if one.default is one.empty]


def _bare(parameter: inspect.Parameter) -> str:
    return parameter.name.strip("_").lower()


def _fill(parameters: Iterable[inspect.Parameter], name: str) -> tuple[Any, ...]:
    """Return a value for each parameter: its default, or None for a time limit."""
    values: list[Any] = []
    for one in parameters:
        if one.default is one.empty and _bare(one) not in TIME_LIMITS:
            raise TargetProblem(
                f"expected {name}(function, *args), got one that also needs {one.name!r}; "
                "return an adapter from the factory that gives it"
            )
        values.append(None if one.default is one.empty else one.default)
    return tuple(values)


def _job_style(first: Sequence[inspect.Parameter], way: Way) -> JobStyle:
    if way == "coroutine":
        return "coroutine"
    # Without such a word nothing is known: a type variable may stand for an awaitable, too.
    awaits = any(speaks_of_awaitables(one.annotation) for one in first)
    return "coroutine" if awaits else "unknown"
