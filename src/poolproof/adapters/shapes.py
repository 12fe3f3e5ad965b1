"""Reading a pool's shape without touching it: which methods it has, and of what kind they are."""

import inspect
import typing
from collections.abc import Callable, Iterable
from typing import Any, Final

FOUR_CALLS: Final = ("start", "submit", "wait", "stop")
AWAITABLES: Final = ("Awaitable", "Coroutine", "asyncio.Future", "asyncio.Task")
ENDS: Final = ("close", "aclose", "shutdown", "stop", "join", "wait_closed")


def method(thing: object, name: str) -> Callable[..., Any] | None:
    """Return the named method, or None if there is none; a property that raises counts as none."""
    try:
        found = getattr(thing, name, None)
    except Exception:  # noqa: BLE001 - a stranger's property may raise anything
        return None
    return found if callable(found) and not inspect.isclass(found) else None


def has(thing: object, *names: str) -> bool:
    """Return whether all the named methods are there."""
    return all(method(thing, name) is not None for name in names)


def first_present(pool: object, choices: Iterable[tuple[str, ...]]) -> tuple[str, ...]:
    """Return the first choice whose methods are all there; nothing if none is."""
    return next((names for names in choices if has(pool, *names)), ())


def is_asynchronous(call: object) -> bool:
    """Return whether calling it gives something to await, as far as its definition tells."""
    bare: Any = inspect.unwrap(call) if callable(call) else call
    own_call = getattr(bare.__class__, "__call__", None)  # noqa: B004 - asked whether it is async
    return (
        inspect.iscoroutinefunction(bare)
        or inspect.iscoroutinefunction(own_call)
        or speaks_of_awaitables(_returns(bare))
    )


def is_asyncio_like(pool: object) -> bool:
    """Return whether a pool is used from coroutines, whatever kind of function its `submit` is."""
    if has(pool, "__enter__"):
        return False
    if has(pool, "__aenter__"):
        return True
    return any(is_asynchronous(method(pool, name)) for name in ENDS)


def missing_calls(thing: object) -> list[str]:
    """Return which of `WorkerPool`'s four calls `thing` lacks, or has as coroutine functions."""
    found = {name: method(thing, name) for name in FOUR_CALLS}
    return [name for name, call in found.items() if call is None or is_asynchronous(call)]


def speaks_of_awaitables(annotation: object) -> bool:
    """Return whether an annotation, be it a type or its text, names something to await."""
    text = annotation if isinstance(annotation, str) else repr(annotation)
    return any(word in text for word in AWAITABLES)


def _returns(call: Any) -> object:
    try:
        return typing.get_type_hints(call).get("return", "")
    except Exception:  # noqa: BLE001 - an annotation may be any expression, of names that need not exist
        return getattr(call, "__annotations__", {}).get("return", "")


def accepts(call: Callable[..., Any], name: str) -> bool:
    """Return whether `call` has a parameter of that name."""
    try:
        return name in inspect.signature(call).parameters
    except (TypeError, ValueError):
        return False


def needs_arguments(call: Callable[..., Any]) -> bool:
    """Return whether `call` cannot be called without arguments."""
    try:
        inspect.signature(call).bind()
    except TypeError:
        return True
    except ValueError:
        return False
    return False
