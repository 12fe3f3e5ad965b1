"""Asyncio pools: used from threads, entered and left in one task, cancelled at an exact turn."""

import asyncio
import inspect
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Self

import pytest

from poolproof.adapters.asyncio import AsyncioPool, Job
from poolproof.adapters.base import TargetProblem
from poolproof.adapters.main_loop import SCRIPT_THREAD, LoopEndedError, MainLoop

pytestmark = pytest.mark.unit


class Pool:
    """The least of an asyncio pool: each job is a coroutine function, run at once."""

    def __init__(self) -> None:
        self.tasks: list[asyncio.Task[Any] | None] = []

    async def __aenter__(self) -> Self:
        self.tasks.append(asyncio.current_task())
        return self

    async def __aexit__(self, *error: object) -> None:
        self.tasks.append(asyncio.current_task())
        self.left_with = error[0]

    async def submit(self, function: Callable[..., Any], *args: Any) -> Any:
        return await function(*args)


async def _echo(value: object) -> object:
    return value


async def _for_ever() -> None:
    await asyncio.get_running_loop().create_future()


def _use(pool: Any, script: Callable[[AsyncioPool], Any]) -> Any:
    """Return what the script returns, run on a started pool; the pool is not stopped."""
    adapter, returned = AsyncioPool(pool), list[Any]()

    def run() -> None:
        adapter.start()
        returned.append(script(adapter))

    adapter.run_main(run)
    return returned[0]


def _error_of(adapter: AsyncioPool, job: Job) -> BaseException:
    with pytest.raises(BaseException) as raised:  # noqa: PT011
        adapter.wait(job)
    return raised.value


def test_the_loop_has_the_main_thread_and_the_script_another() -> None:
    def script(adapter: AsyncioPool) -> tuple[threading.Thread, threading.Thread]:
        return threading.current_thread(), adapter.on_loop(threading.current_thread).result()

    mine, loops = _use(Pool(), script)

    assert loops is threading.main_thread()
    assert mine.name == SCRIPT_THREAD
    assert not mine.is_alive()


def test_a_pool_is_entered_and_left_by_the_same_task() -> None:
    pool = Pool()
    _use(pool, lambda adapter: adapter.stop())

    assert pool.tasks[0] is pool.tasks[1]
    assert pool.left_with is None


def test_a_task_group_is_a_pool() -> None:
    def script(adapter: AsyncioPool) -> Any:
        answer = adapter.wait(adapter.submit(_echo, 5))
        adapter.stop()
        return adapter.job_style, answer

    assert _use(asyncio.TaskGroup(), script) == ("coroutine", 5)


def test_a_pool_that_gives_handles_is_awaited_to_the_end() -> None:
    class Handles(Pool):
        async def submit(self, function: Callable[..., Any], *args: Any) -> Any:
            return asyncio.ensure_future(function(*args))

    assert _use(Handles(), lambda adapter: adapter.wait(adapter.submit(_echo, 6))) == 6


def test_a_pool_that_gives_futures_of_threads_is_awaited_to_the_end() -> None:
    class ThreadFutures(Pool):
        async def submit(self, function: Callable[..., Any], *args: Any) -> Any:
            future: Future[Any] = Future()
            future.set_result(await function(*args))
            return future

    assert _use(ThreadFutures(), lambda adapter: adapter.wait(adapter.submit(_echo, 7))) == 7


def test_a_worker_pool_of_coroutines_is_waited_for_in_its_own_way() -> None:
    class FourCoroutines:
        async def start(self) -> None:
            self.answers: dict[int, Any] = {}

        async def submit(self, function: Callable[..., Any], *args: Any) -> int:
            self.answers[0] = await function(*args)
            return 0

        async def wait(self, handle: int) -> Any:
            return self.answers[handle]

        async def stop(self) -> None: ...

    assert _use(FourCoroutines(), lambda adapter: adapter.wait(adapter.submit(_echo, 8))) == 8


def test_what_entering_gives_takes_the_jobs() -> None:
    inner = Pool()

    class Outer(Pool):
        async def __aenter__(self) -> Any:
            return inner

        async def submit(self, *_job: Any) -> Any:
            raise AssertionError("not entered")

    assert _use(Outer(), lambda adapter: adapter.wait(adapter.submit(_echo, 9))) == 9


def test_an_error_when_entering_is_an_error_of_start() -> None:
    class Shy(Pool):
        async def __aenter__(self) -> Self:
            raise ConnectionError("nobody there")

    with pytest.raises(ConnectionError, match=r"^nobody there$"):
        _use(Shy(), lambda _adapter: None)


def test_a_plain_submit_that_raises_makes_submit_raise() -> None:
    class Full(Pool):
        def submit(self, *_job: Any) -> Any:
            raise RuntimeError("full")

    with pytest.raises(RuntimeError, match=r"^full$"):
        _use(Full(), lambda adapter: adapter.submit(_echo, 1))


def test_a_submit_without_an_awaitable_is_refused_by_name() -> None:
    class FireAndForget(Pool):
        def submit(self, *_job: Any) -> Any:
            return 3

    with pytest.raises(
        TargetProblem, match=r"^expected submit to return an awaitable, got int; choose with --ad"
    ):
        _use(FireAndForget(), lambda adapter: adapter.submit(_echo, 1))


def test_a_plain_submit_gets_the_callback_on_its_own_future() -> None:
    class Futures(Pool):
        def submit(self, function: Callable[..., Any], *args: Any) -> Any:
            self.future = asyncio.ensure_future(function(*args))
            return self.future

    pool, called = Futures(), list[Any]()

    def script(adapter: AsyncioPool) -> None:
        adapter.wait(adapter.submit_with_callback(called.append, _echo, 1))

    _use(pool, script)

    assert called == [pool.future]


def test_a_cancelled_job_raises_cancelled_error() -> None:
    def script(adapter: AsyncioPool) -> tuple[bool, BaseException, bool]:
        job = adapter.submit(_for_ever)
        return adapter.cancel(job), _error_of(adapter, job), adapter.cancel(job)

    asked, error, asked_again = _use(Pool(), script)

    assert (asked, asked_again) == (True, False)
    assert isinstance(error, asyncio.CancelledError)


@pytest.mark.parametrize("turns", [0, 1, 2, 5, 12])
def test_a_job_is_cancelled_exactly_so_many_turns_after_the_trigger(turns: int) -> None:
    seen = list[int]()

    async def count_turns(go: asyncio.Event) -> None:
        await go.wait()  # the trigger; this job's next turn is the first after it
        try:
            while True:
                seen.append(len(seen) + 1)
                await asyncio.sleep(0)
        except asyncio.CancelledError:
            seen.append(-1)
            raise

    def script(adapter: AsyncioPool) -> bool:
        go = adapter.on_loop(asyncio.Event).result()
        job = adapter.submit(count_turns, go)
        adapter.on_loop(lambda: None).result()
        asked = adapter.cancel_after_turns(job, turns, go.set)
        _error_of(adapter, job)
        return asked

    asked = _use(Pool(), script)

    assert asked
    assert seen == ([*range(1, turns + 1), -1] if turns else [])


@pytest.mark.parametrize("turns", [0, 1, 2, 3, 6])
def test_a_job_is_cancelled_exactly_so_many_turns_after_its_hand_over(turns: int) -> None:
    seen = list[int]()

    async def count_turns() -> None:
        while True:
            seen.append(1)
            await asyncio.sleep(0)

    def script(adapter: AsyncioPool) -> BaseException:
        return _error_of(adapter, adapter.submit_cancelled_after(turns, count_turns))

    assert isinstance(_use(Pool(), script), asyncio.CancelledError)
    assert len(seen) == turns


def test_cancelling_after_the_job_is_over_says_false() -> None:
    def script(adapter: AsyncioPool) -> bool:
        job = adapter.submit(_echo, 1)
        adapter.wait(job)
        return adapter.cancel_after_turns(job, 3)

    assert _use(Pool(), script) is False


def test_a_trigger_that_raises_is_the_callers_error() -> None:
    def script(adapter: AsyncioPool) -> Any:
        job = adapter.submit(_echo, 1)
        with pytest.raises(ZeroDivisionError):
            adapter.cancel_after_turns(job, 0, lambda: 1 // 0)
        return adapter.wait(job)

    assert _use(Pool(), script) == 1


def test_what_happens_during_a_stall_comes_in_one_turn_after_it() -> None:
    """Both calls are made while the loop is blocked, so neither can have run before it ended."""
    order = list[str]()

    def script(adapter: AsyncioPool) -> None:
        def meanwhile() -> tuple[Future[None], Future[None]]:
            first = adapter.on_loop(lambda: adapter_turn("first"))
            until = time.monotonic() + 0.02
            while time.monotonic() < until:  # longer than the stall is asked to be
                pass
            return first, adapter.on_loop(lambda: adapter_turn("second"))

        for turn in adapter.stall(0.001, meanwhile):
            turn.result()

    def adapter_turn(name: str) -> None:
        order.append(name)
        asyncio.get_running_loop().call_soon(order.append, f"turn after {name}")

    _use(Pool(), script)

    assert order[:2] == ["first", "second"]


@pytest.mark.parametrize("fatal", [KeyboardInterrupt, SystemExit])
def test_a_job_that_ends_the_program_leaves_nobody_waiting(fatal: type[BaseException]) -> None:
    async def end() -> None:
        raise fatal("enough")

    def script(adapter: AsyncioPool) -> tuple[BaseException, ...]:
        bystander, job = adapter.submit(_for_ever), adapter.submit(end)
        outcomes = (_error_of(adapter, job), _error_of(adapter, bystander))
        with pytest.raises(LoopEndedError) as later:
            adapter.submit(_echo, 1)
        return (*outcomes, later.value)

    pool = Pool()
    own, bystanders, later = _use(pool, script)

    assert isinstance(own, fatal)
    assert isinstance(bystanders, asyncio.CancelledError)
    assert str(later) == f"the event loop has ended ({fatal.__name__}: enough)"
    # As `async with` would have seen it.
    assert pool.left_with is asyncio.CancelledError


def test_a_task_group_that_breaks_is_loud() -> None:
    async def fail() -> None:
        raise ValueError("one of them")

    def script(adapter: AsyncioPool) -> tuple[BaseException, BaseException]:
        error = _error_of(adapter, adapter.submit(fail))
        with pytest.raises(BaseException) as stopped:  # noqa: PT011
            adapter.stop()
        return error, stopped.value

    error, stopped = _use(asyncio.TaskGroup(), script)

    assert isinstance(error, ValueError)
    assert isinstance(stopped, LoopEndedError | BaseExceptionGroup)


def test_outside_of_its_main_an_adapter_says_so() -> None:
    with pytest.raises(RuntimeError, match=r"^expected a running event loop, got none: use the ad"):
        AsyncioPool(Pool()).start()


def test_after_its_script_a_loop_takes_no_more_calls() -> None:
    main = MainLoop()
    main.run(lambda: None)

    with pytest.raises(LoopEndedError, match=r"^the event loop has ended \(the script is over\)$"):
        main.soon(print).result()


def test_an_error_of_the_script_passes() -> None:
    def script() -> None:
        raise LookupError("mine")

    with pytest.raises(LookupError, match=r"^mine$"):
        AsyncioPool(Pool()).run_main(script)


def test_a_job_that_nobody_waits_for_ends_with_the_loop() -> None:
    job = _use(Pool(), lambda adapter: adapter.submit(_for_ever))

    assert isinstance(job.outcome.exception(), asyncio.CancelledError)


def test_a_coroutine_is_made_for_a_pool_that_takes_coroutines() -> None:
    class Spawner(Pool):
        submit = None  # type: ignore[assignment]

        async def spawn(self, coro: Any) -> Any:
            assert inspect.iscoroutine(coro)
            return await coro

    assert _use(Spawner(), lambda adapter: adapter.wait(adapter.submit(_echo, 3))) == 3
