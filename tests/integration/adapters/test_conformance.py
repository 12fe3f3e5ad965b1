"""Every adapter keeps every claim of the conformance suite, on a pool of its family."""

import asyncio
import multiprocessing
import multiprocessing.pool
import threading
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from typing import Any, Self

import pytest

from poolproof.adapters.asyncio import AsyncioPool
from poolproof.adapters.base import Adapter
from poolproof.adapters.conformance import COROUTINE, PLAIN, Case, Jobs, conformance_cases
from poolproof.adapters.executor import ExecutorPool
from poolproof.adapters.multiprocessing import MultiprocessingPool
from poolproof.adapters.protocol import ProtocolPool

pytestmark = pytest.mark.integration

CASES = conformance_cases()


class CoroutinePool:
    """A small asyncio pool: its jobs are coroutine functions, and it is used by `async with`."""

    async def __aenter__(self) -> Self:
        self._slots = asyncio.Semaphore(2)
        return self

    async def __aexit__(self, *_error: object) -> None:
        for _ in range(2):
            await self._slots.acquire()

    async def submit(self, function: Callable[..., Any], *args: Any) -> Any:
        async with self._slots:
            return await function(*args)


class PlainAsyncioPool:
    """A small asyncio pool whose jobs are plain functions and whose `submit` is one, too."""

    def submit(self, function: Callable[..., Any], *args: Any) -> "asyncio.Future[Any]":
        return asyncio.get_running_loop().run_in_executor(None, function, *args)

    async def close(self) -> None:
        await asyncio.get_running_loop().shutdown_default_executor()


class ThreadPerJob:
    """A `WorkerPool` of its own kind: each job is a thread."""

    def start(self) -> None:
        self._threads: list[threading.Thread] = []

    def submit(self, function: Any, /, *args: Any) -> "Future[Any]":
        future: Future[Any] = Future()
        thread = threading.Thread(target=self._run, args=(future, function, args))
        self._threads.append(thread)
        thread.start()
        return future

    def wait(self, handle: "Future[Any]") -> Any:
        return handle.result()

    def stop(self) -> None:
        for thread in self._threads:
            thread.join()

    def _run(self, future: "Future[Any]", function: Any, args: tuple[Any, ...]) -> None:
        try:
            future.set_result(function(*args))
        except ValueError as error:
            future.set_exception(error)


def _processes() -> Adapter:
    # Forked by a server without threads: what starts a process here has some.
    return ExecutorPool(ProcessPoolExecutor(2, multiprocessing.get_context("forkserver")))


def _multiprocessing() -> Adapter:
    return MultiprocessingPool(multiprocessing.get_context("forkserver").Pool(2))


MAKERS: dict[str, Callable[[], Adapter]] = {
    "ThreadPoolExecutor": lambda: ExecutorPool(ThreadPoolExecutor(2)),
    "ProcessPoolExecutor": _processes,
    "multiprocessing.Pool": _multiprocessing,
    "multiprocessing.pool.ThreadPool": lambda: MultiprocessingPool(
        multiprocessing.pool.ThreadPool(2)
    ),
    "asyncio, coroutines": lambda: AsyncioPool(CoroutinePool()),
    "asyncio, plain": lambda: AsyncioPool(PlainAsyncioPool()),
    "WorkerPool": lambda: ProtocolPool(ThreadPerJob()),
}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_adapter_conforms(make: Callable[[], Adapter], case: Case) -> None:
    case.check(make)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_target_conforms_by_its_name(case: Case) -> None:
    case.check_target("concurrent.futures.ThreadPoolExecutor")


def _case(name: str) -> Case:
    return next(case for case in CASES if case.name == name)


class Broken(ExecutorPool):
    """A sound adapter, of which the tests below break one thing each."""

    def __init__(self) -> None:
        super().__init__(ThreadPoolExecutor(2))


class Mixes(Broken):
    handles: list[Any]

    def submit(self, function: Any, /, *args: Any) -> Any:
        self.__dict__.setdefault("handles", []).append(super().submit(function, *args))
        return self.handles[0]


class ReturnsErrors(Broken):
    def wait(self, handle: Any, /) -> Any:
        return handle.exception() or handle.result()


class Forgets(Broken):
    def wait(self, handle: Any, /) -> Any:
        try:
            return handle.__dict__.pop("_poolproof_first", None) or handle.result()
        finally:
            handle._result = None


class Reverses(Broken):
    def submit(self, function: Any, /, *args: Any) -> Any:
        return super().submit(function, *reversed(args))


class Waits(Broken):
    def submit(self, function: Any, /, *args: Any) -> Any:
        future = super().submit(function, *args)
        future.exception(timeout=0.2)
        return future


class CancelsTheDead(Broken):
    def cancel(self, _handle: Any, /) -> bool:
        return True


class CallsBackTwice(Broken):
    def submit_with_callback(
        self, callback: Callable[..., Any], function: Any, /, *args: Any
    ) -> Any:
        future = super().submit_with_callback(callback, function, *args)
        future.add_done_callback(callback)
        return future


class NamesTheDead(Broken):
    offers = frozenset({"workers"})

    def workers(self) -> list[int]:
        return [2**22 + 1]


class OffersTooMuch(Broken):
    offers = frozenset({"wonders"})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("broken", "caught_by"),
    [
        (Mixes, "keeps_jobs_apart"),
        (ReturnsErrors, "raises_the_error"),
        (Forgets, "answers_twice_alike"),
        (Reverses, "keeps_arguments_in_order"),
        (CancelsTheDead, "cancels_nothing_that_is_over"),
        (CallsBackTwice, "calls_back_once"),
        (OffersTooMuch, "offers_what_it_says"),
    ],
)
def test_conformance_catches_a_broken_adapter(
    broken: Callable[[], Adapter], caught_by: str
) -> None:
    with pytest.raises(AssertionError, match=r"^expected"):
        _case(caught_by).check(broken)


def test_conformance_catches_a_submit_that_waits() -> None:
    with pytest.raises(TimeoutError):
        _case("submits_without_waiting").check(Waits)


def test_conformance_catches_workers_that_do_not_live() -> None:
    with pytest.raises(ProcessLookupError):
        _case("names_live_workers").check(NamesTheDead)


def test_jobs_of_both_styles_answer_alike() -> None:
    for name in Jobs.__slots__:
        assert asyncio.iscoroutinefunction(getattr(COROUTINE, name))
        assert not asyncio.iscoroutinefunction(getattr(PLAIN, name))
