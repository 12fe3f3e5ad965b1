"""A target, from its name to its pool behind an adapter; what goes wrong is a `TargetProblem`.

Standard library only.
"""

import asyncio
import functools
import inspect
import sys
import traceback
import typing
import warnings
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

from poolproof.adapters.asyncio import AsyncioPool, enters_on_loop
from poolproof.adapters.base import Adapter, TargetProblem
from poolproof.adapters.main_loop import MainLoop
from poolproof.adapters.registry import AdapterClass, by_name, looked_for, recognise
from poolproof.agent.building import NeedsLoopError, build, failed
from poolproof.agent.declarations import Declared, OwnJob, declared
from poolproof.agent.naming import Factory, resolve

__all__ = [
    "Declared",
    "Factory",
    "NeedsLoopError",
    "OwnJob",
    "Script",
    "TargetProblem",
    "build",
    "declared",
    "host",
    "looked_for",
    "resolve",
]

Script = Callable[[Adapter, object], None]
"""What is done with the adapter; the second argument is the pool itself."""


def host(factory: Factory, workers: int, script: Script, *, adapter: str | None = None) -> None:
    """Build the pool where it must live, and run `script` to its end; call it in the main thread.

    A pool of coroutines is built inside an event loop, which then keeps the main thread while the
    script has another one. An exception of the script passes.

    Args:
        factory: from `resolve`.
        workers: how many workers the factory is asked for.
        script: uses the adapter; `start` has not been called yet.
        adapter: a family's name, or `module:Class`; None recognises the pool by its shape.

    Raises:
        TargetProblem: the factory failed, or its pool was not recognised.
    """
    chosen = None if adapter is None else by_name(adapter, resolve)
    make: Callable[[], Any] = functools.partial(build, factory, workers)
    if not _lives_on_loop(factory.function):
        try:
            made = _made_without_loop(make)
        except NeedsLoopError:
            pass
        else:
            if not _is_promise_of_pool(made):
                adapted = (chosen or recognise(made, factory.name))(made)
                adapted.run_main(lambda: script(adapted, made))
                return
            make = functools.partial(_given, made)
    _host_on_loop(factory, workers, make, script, chosen)


def _given(thing: object) -> object:
    return thing


def _host_on_loop(
    factory: Factory,
    workers: int,
    make: Callable[[], Any],
    script: Script,
    chosen: AdapterClass | None,
) -> None:
    main = MainLoop()

    async def built() -> object:
        try:
            made = make()
            return await made if _is_promise_of_pool(made) else made
        except TargetProblem:
            raise
        except NeedsLoopError as error:
            raise failed(factory, workers, error.__cause__ or error) from error
        except (Exception, SystemExit) as error:
            raise failed(factory, workers, error) from error

    def follow() -> None:
        pool = main.in_root(built)
        kind = chosen or recognise(pool, factory.name)
        script(AsyncioPool(pool, main) if kind is AsyncioPool else kind(pool), pool)

    main.run(follow)


def _lives_on_loop(function: Any) -> bool:
    """Return whether a factory's definition says that it is to be called in an event loop."""
    if inspect.iscoroutinefunction(function) or enters_on_loop(function):
        return True
    if any(enters_on_loop(thing) for thing in _mentioned(function)):
        return True
    try:
        return enters_on_loop(typing.get_type_hints(function).get("return"))
    except Exception:  # noqa: BLE001 - an annotation may be any expression, of names that need not exist
        return False


def _mentioned(function: Any) -> Iterator[object]:
    """Yield what a function's code names: globals, and attributes of modules among them."""
    names = getattr(getattr(function, "__code__", None), "co_names", ())
    for name in names:
        thing = function.__globals__.get(name)
        yield thing
        if inspect.ismodule(thing):
            yield from (getattr(thing, attribute, None) for attribute in names)


def _is_promise_of_pool(made: object) -> bool:
    return inspect.isawaitable(made) and not hasattr(made, "__aenter__")


def _made_without_loop(make: Callable[[], Any]) -> object:
    """Make a pool; should it turn out to need a loop, clear away what it had begun."""
    born = _children()
    try:
        with _no_loop_by_itself():
            return make()
    except NeedsLoopError as error:
        _clear_away(error, _children() - born)
        raise


@contextmanager
def _no_loop_by_itself() -> Generator[None]:
    """Let `asyncio.get_event_loop` raise where it would make a new loop, as later Pythons do.

    A pool that was bound to such a loop would wait for ever: nobody runs it.
    """
    policy: Any = asyncio.get_event_loop_policy()  # pyright: ignore[reportDeprecated] - up to 3.13 it decides
    original: Callable[[], asyncio.AbstractEventLoop] = policy.get_event_loop

    def refuse() -> NoReturn:
        raise RuntimeError("There is no current event loop")

    def get_event_loop() -> asyncio.AbstractEventLoop:
        policy.new_event_loop = refuse
        try:
            return original()
        finally:
            del policy.new_event_loop

    policy.get_event_loop = get_event_loop
    try:
        yield
    finally:
        del policy.get_event_loop


def _clear_away(error: NeedsLoopError, begun: set[Any]) -> None:
    with warnings.catch_warnings():
        # The frames hold a coroutine that now will never be awaited, as is right.
        warnings.simplefilter("ignore", RuntimeWarning)
        if error.__cause__ is not None:
            traceback.clear_frames(error.__cause__.__traceback__)
            error.__cause__.__traceback__ = None
    for child in begun:
        # A manager may be kept by its library for as long as the program runs.
        if "Manager" not in child.name:
            child.kill()
            child.join()


def _children() -> set[Any]:
    if "multiprocessing" not in sys.modules:
        return set()
    import multiprocessing  # noqa: PLC0415 - only where the target has imported it

    return set(multiprocessing.active_children())
