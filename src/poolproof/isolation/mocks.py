"""Mock services: one for each test, connected or not, with a journal of what was asked of them."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final
from unittest.mock import AsyncMock, create_autospec

from poolproof.errors import UsageError

_CONNECTS: Final = ("connect", "start", "open")
_DISCONNECTS: Final = ("disconnect", "stop", "close", "aclose")


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a mock service's method, by name."""

    method: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]


def mock_service(
    name: str, spec: type | None = None, *, connected: bool = True, **answers: Any
) -> Any:
    """Return a mock of a service, whose methods are to be awaited.

    With `spec`, it has the methods of that class, asynchronous where the class's are, and refuses calls that the class
    would not take. `is_connected` follows `connect`, `start`, `open` and `disconnect`, `stop`, `close`, `aclose`.
    `journal` is the list of all calls.

    Args:
        name: what it is called; also its attribute `name`.
        spec: a class.
        connected: what `is_connected` says at first.
        answers: for each method, what it answers; an exception is raised.

    Raises:
        UsageError: the class has no such method.
    """
    made: Any = _made(name, spec)
    made.name = name
    made.is_connected = connected
    made.journal = []
    methods = _methods(spec) if spec else {*_CONNECTS, *_DISCONNECTS, *answers}
    if unknown := answers.keys() - methods:
        raise UsageError(
            f"expected answers for methods of {name}, got {', '.join(sorted(unknown))}"
        )
    for method in methods:
        child = getattr(made, method)
        child.side_effect = _effect(made, method, answers)
    return made


def _made(name: str, spec: type | None) -> Any:
    if spec is None:
        return AsyncMock(name=name)
    made = create_autospec(spec, instance=True, name=name)
    made.mock_add_spec([*dir(spec), "name", "is_connected", "journal"])
    return made


def _methods(spec: type) -> set[str]:
    return {
        name
        for name, value in inspect.getmembers(spec)
        if not name.startswith("_") and inspect.isroutine(value)
    }


def _is_error(answer: Any) -> bool:
    kind = answer if isinstance(answer, type) else type(answer)
    return issubclass(kind, BaseException)


def _effect(service: Any, method: str, answers: dict[str, Any]) -> Callable[..., Any]:
    def effect(*args: Any, **kwargs: Any) -> Any:
        service.journal.append(Call(method, args, kwargs))
        answer: Any = answers.get(method)
        if _is_error(answer):
            raise answer
        if method in (*_CONNECTS, *_DISCONNECTS):
            service.is_connected = method in _CONNECTS
        return answer

    return effect
