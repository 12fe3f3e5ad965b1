"""How pools are started and shut down by those who use them."""

import inspect
from typing import Any, Final

from poolproof.adapters.shapes import accepts, first_present, has, method, needs_arguments

STOPS: Final = (
    ("shutdown",),
    ("close", "join"),
    ("stop_and_join",),
    ("stop", "join"),
    ("close",),
    ("join",),
    ("stop",),
    ("terminate",),
    ("__exit__",),
)
ASYNCHRONOUS_STARTS: Final = ("start", "open", "setup")
ASYNCHRONOUS_STOPS: Final = (
    ("shutdown",),
    ("close", "join"),
    ("close", "wait_closed"),
    ("aclose",),
    ("stop", "join"),
    ("close",),
    ("stop",),
    ("terminate",),
)


def can_be_stopped(pool: object) -> bool:
    """Return whether there is a known way to shut the pool down from a thread."""
    return bool(first_present(pool, STOPS))


def start_pool(pool: object) -> None:
    """Start a pool: its `start()` if it has one, else as a `with` statement does."""
    for name in ("start", "__enter__"):
        start = method(pool, name)
        if start is not None and not needs_arguments(start):
            start()
            return


def stop_pool(pool: object) -> None:
    """Shut a pool down, and wait for it."""
    for name in first_present(pool, STOPS):
        _end(pool, name)


async def enter_pool(pool: Any) -> Any:
    """Start an asyncio pool as its users would; return the object that takes the jobs."""
    if has(pool, "__aenter__"):
        inside = await pool.__aenter__()
        return pool if inside is None else inside
    for name in ASYNCHRONOUS_STARTS:
        start = method(pool, name)
        if start is not None and not needs_arguments(start):
            await settled(start())
            break
    return pool


async def leave_pool(pool: Any) -> None:
    """Shut an asyncio pool down as its users would, and wait for it."""
    if has(pool, "__aexit__"):
        await pool.__aexit__(None, None, None)
        return
    for name in first_present(pool, ASYNCHRONOUS_STOPS):
        await settled(_end(pool, name))


async def settled(thing: Any) -> Any:
    """Return `thing`, or what it gives if it is to be awaited."""
    return await thing if inspect.isawaitable(thing) else thing


def _end(pool: object, name: str) -> Any:
    end = method(pool, name)
    assert end is not None
    if name == "__exit__":
        return end(None, None, None)
    return end(wait=True) if accepts(end, "wait") else end()
