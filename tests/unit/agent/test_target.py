"""A pool is built where it must live, recognised, and given to a script behind its adapter."""

import asyncio
import math
import multiprocessing
import multiprocessing.process
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.pool import ThreadPool
from typing import Any, Self

import pytest

from poolproof.adapters.base import Adapter
from poolproof.agent.target import Factory, TargetProblem, host

pytestmark = pytest.mark.unit


class LoopBound:
    """Its constructor needs the running loop."""

    made = 0

    def __init__(self, processes: int = 1) -> None:
        type(self).made += 1
        self.processes = processes
        self.loop = asyncio.get_event_loop()  # noqa: TID251 - as strangers do

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_error: object) -> None: ...

    async def apply(self, func: Callable[..., Any], args: Any = ()) -> Any:
        assert asyncio.get_running_loop() is self.loop
        return func(*args)


class Anywhere:
    """An asyncio pool that can be made without a loop."""

    async def run(self, function: Callable[..., Any], *args: Any) -> Any:
        return function(*args)

    async def close(self) -> None: ...


class Awaited:
    """Must be awaited to become a pool, and is one already: as pools of connections are."""

    def __await__(self) -> Any:
        raise AssertionError("entered instead")

    async def __aenter__(self) -> Anywhere:
        return Anywhere()

    async def __aexit__(self, *_error: object) -> None: ...

    async def submit(self, function: Callable[..., Any], *args: Any) -> Any: ...


def _plain(workers: int) -> Any:
    return LoopBound(workers)


def _hidden(workers: int) -> Any:
    """Does not name the class in its own code: found out by calling it."""
    return _plain(workers)


def _annotated(workers: int) -> "LoopBound":
    return _hidden(workers)  # type: ignore[no-any-return]


def _annotated_with_nonsense(workers: int) -> "NoSuchPool":  # type: ignore[name-defined]  # noqa: F821
    return _hidden(workers)


async def _coroutine(workers: int) -> LoopBound:
    return LoopBound(workers)


def _returns_coroutine(workers: int) -> Any:
    return _coroutine(workers)


def _host(function: Callable[..., Any], **named: Any) -> tuple[Adapter, Any, threading.Thread]:
    """Return what a script got that ran one job on the pool, and the thread it ran in."""
    got: list[tuple[Adapter, Any, threading.Thread]] = []

    def script(adapter: Adapter, pool: Any) -> None:
        adapter.start()
        assert adapter.wait(adapter.submit(math.hypot, 3, 4)) == 5
        adapter.stop()
        got.append((adapter, pool, threading.current_thread()))

    host(Factory(name="pools:make", function=function), 2, script, **named)
    return got[0]


def _problem(function: Callable[..., Any], **named: Any) -> str:
    def script(*_unused: object) -> None:
        raise AssertionError("expected no script")

    with pytest.raises(TargetProblem) as raised:
        host(Factory(name="pools:make", function=function), 2, script, **named)
    return str(raised.value)


def test_a_plain_pool_is_used_in_the_main_thread() -> None:
    adapter, pool, thread = _host(ThreadPoolExecutor)

    assert (adapter.name, pool._max_workers) == ("executor", 2)
    assert thread is threading.main_thread()


@pytest.mark.parametrize(
    "factory",
    [
        LoopBound,
        _plain,
        _hidden,
        _annotated,
        _annotated_with_nonsense,
        _coroutine,
        _returns_coroutine,
    ],
    ids=lambda factory: factory.__name__,
)
def test_a_pool_that_needs_a_loop_is_built_in_it(factory: Callable[..., Any]) -> None:
    adapter, pool, thread = _host(factory)

    assert (adapter.name, pool.processes) == ("asyncio", 2)
    assert thread is not threading.main_thread()


def test_a_factory_that_names_its_class_is_called_once() -> None:
    before = LoopBound.made
    _host(_plain)

    assert LoopBound.made == before + 1


def test_an_asyncio_pool_that_needs_no_loop_gets_one_to_live_on() -> None:
    adapter, _pool, thread = _host(Anywhere)

    assert adapter.name == "asyncio"
    assert thread is not threading.main_thread()


def test_a_pool_to_enter_is_not_awaited_as_well() -> None:
    assert isinstance(_host(Awaited)[1], Awaited)


def test_a_coroutine_may_return_a_plain_pool() -> None:
    async def make(workers: int) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(workers)

    assert _host(make)[0].name == "executor"


def test_the_event_loop_policy_is_as_it_was() -> None:
    policy = asyncio.get_event_loop_policy()
    names = set(vars(policy))
    _host(ThreadPoolExecutor)
    _host(_hidden)

    assert asyncio.get_event_loop_policy() is policy
    assert set(vars(policy)) == names


def test_a_loop_that_the_factory_sets_is_its_own() -> None:
    def make() -> ThreadPoolExecutor:
        loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
        assert asyncio.get_event_loop() is loop  # noqa: TID251 - as strangers do
        asyncio.set_event_loop(None)
        loop.close()
        return ThreadPoolExecutor()

    assert _host(make)[0].name == "executor"


def test_processes_of_a_first_attempt_are_cleared_away() -> None:
    begun: list[multiprocessing.process.BaseProcess] = []

    def make(workers: int) -> Any:
        if not begun:
            child = multiprocessing.get_context("forkserver").Process(target=signal.pause)
            child.start()
            begun.append(child)
        return _hidden(workers)

    _host(make)

    assert not begun[0].is_alive()


def test_an_adapter_can_be_chosen() -> None:
    assert _host(ThreadPool, adapter="multiprocessing")[0].name == "multiprocessing"


def test_an_adapter_of_the_users_own_can_be_chosen() -> None:
    assert _problem(ThreadPoolExecutor, adapter="math:sqrt").startswith(
        "expected math:sqrt(pool) to return an adapter, got TypeError: "
    )


def test_an_unknown_adapter_is_refused_before_the_pool_is_built() -> None:
    def make() -> None:
        raise AssertionError("built")

    assert "got 'sqrt'" in _problem(make, adapter="sqrt")


@pytest.mark.parametrize("nonsense", [None, 5, math, LoopBound], ids=str)
def test_nonsense_is_refused_with_an_adapter_to_write(nonsense: object) -> None:
    text = _problem(lambda: nonsense)

    assert text.startswith("expected pools:make to return a pool, got ")
    assert "class Adapted:" in text


def test_nonsense_from_a_coroutine_is_refused_too() -> None:
    async def make() -> None: ...

    assert _problem(make).startswith("expected pools:make to return a pool, got None")


def test_a_coroutine_that_raises_is_a_problem() -> None:
    async def make(workers: int) -> None:
        raise ConnectionError(f"no room for {workers}")

    text = _problem(make)

    assert text.startswith(
        "expected pools:make to return a pool, got ConnectionError: no room for 2"
    )
    assert text.endswith("; it was called as make(2)")


def test_what_misses_a_loop_even_inside_of_one_is_a_problem() -> None:
    def make() -> None:
        raise RuntimeError("no running event loop of my kind")

    assert _problem(make).startswith(
        "expected pools:make to return a pool, got RuntimeError: no running event loop of my kind"
    )


@pytest.mark.parametrize("factory", [ThreadPoolExecutor, LoopBound])
def test_an_error_of_the_script_passes(factory: Callable[..., Any]) -> None:
    def script(*_unused: object) -> None:
        raise LookupError("mine")

    with pytest.raises(LookupError, match=r"^mine$"):
        host(Factory(name="pools:make", function=factory), 2, script)
