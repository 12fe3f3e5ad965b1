"""Pools are started and shut down in the way of their users."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from poolproof.adapters.lifecycle import enter_pool, leave_pool, start_pool, stop_pool

pytestmark = pytest.mark.unit


class Recorder:
    """Has just the named methods, and records their calls."""

    def __init__(self, *names: str, asynchronous: bool = False) -> None:
        self.calls: list[tuple[Any, ...]] = []
        for name in names:
            setattr(self, name, self._coroutine(name) if asynchronous else self._plain(name))

    def _plain(self, name: str) -> Callable[..., None]:
        def call(*args: Any) -> None:
            self.calls.append((name, *args))

        return call

    def _coroutine(self, name: str) -> Callable[..., Any]:
        async def call(*args: Any) -> None:
            self.calls.append((name, *args))

        return call


@pytest.mark.parametrize(
    ("methods", "calls"),
    [
        (("shutdown", "close", "join"), ["shutdown"]),
        (("terminate", "join", "close"), ["close", "join"]),
        (("stop_and_join", "join", "terminate"), ["stop_and_join"]),
        (("stop", "join"), ["stop", "join"]),
        (("join", "kill"), ["join"]),
        (("terminate",), ["terminate"]),
    ],
)
def test_the_usual_end_is_chosen(methods: tuple[str, ...], calls: list[str]) -> None:
    pool = Recorder(*methods)
    stop_pool(pool)

    assert pool.calls == [(name,) for name in calls]


def test_shutdown_is_told_to_wait() -> None:
    class Pool:
        def shutdown(self, wait: bool = False) -> None:  # noqa: FBT001, FBT002
            self.waited = wait

    pool = Pool()
    stop_pool(pool)

    assert pool.waited


def test_leaving_is_the_end_of_last_resort() -> None:
    pool = Recorder("__exit__")
    stop_pool(pool)

    assert pool.calls == [("__exit__", None, None, None)]


def test_start_stands_over_entering() -> None:
    pool = Recorder("start", "__enter__")
    start_pool(pool)

    assert pool.calls == [("start",)]


def test_a_start_that_needs_arguments_is_not_the_pools() -> None:
    class Pool(Recorder):
        def start(self, job: object) -> None:
            self.calls.append(("start", job))

    pool = Pool("__enter__")
    start_pool(pool)

    assert pool.calls == [("__enter__",)]


def test_a_pool_that_needs_no_start_is_left_alone() -> None:
    start_pool(object())


@pytest.mark.parametrize(
    ("methods", "calls"),
    [
        (("start", "stop"), [("start",), ("stop",)]),
        (("open", "close", "wait_closed"), [("open",), ("close",), ("wait_closed",)]),
        (("aclose", "stop"), [("aclose",)]),
        (
            ("__aenter__", "__aexit__", "start", "close"),
            [("__aenter__",), ("__aexit__", None, None, None)],
        ),
    ],
)
@pytest.mark.parametrize("asynchronous", [True, False])
def test_asyncio_pools_are_entered_and_left(
    methods: tuple[str, ...],
    calls: list[tuple[Any, ...]],
    asynchronous: bool,  # noqa: FBT001
) -> None:
    pool = Recorder(*methods, asynchronous=asynchronous or "__aenter__" in methods)

    async def use() -> object:
        inside = await enter_pool(pool)
        await leave_pool(pool)
        return inside

    assert asyncio.run(use()) is pool
    assert pool.calls == calls
