"""Leaks on event loops, under pytest-asyncio, anyio, unittest and Hypothesis. `LEAKS` says what must be found."""

import asyncio
import threading
import unittest
from collections.abc import AsyncIterator, Coroutine
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

LEAKS = {
    "test_task": ("task", "of sleeper is pending"),
    "test_stubborn_task": ("task", "of stubborn is pending, and bears 3 cancellations"),
    "test_async_generator": ("async-generator", "numbers was begun and not closed"),
    "test_executor_job": ("executor-job", "a job in 'asyncio_0' still runs"),
    "test_never_awaited": ("coroutine", "coroutine 'sleeper' was never awaited"),
    "test_exception_held": ("task-exception", "ended by ValueError('planted'), which nobody took"),
    "test_exception_dropped": ("task-exception", "Task exception was never retrieved"),
    "test_unclosed_loop": ("event-loop", "is not closed"),
    "test_task_on_a_wider_loop": ("task", "of sleeper is pending"),
    "test_server": ("port", "127.0.0.1:"),
    "test_example": ("task", "of sleeper is pending"),
    "test_with_anyio": ("task", "of sleeper is pending"),
    "TestCase::test_of_unittest": ("task", "of sleeper is pending"),
}

KEPT: list[Any] = []
RELEASE = threading.Event()


async def sleeper() -> None:
    await asyncio.Event().wait()


async def stubborn() -> None:
    while True:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            continue


async def numbers() -> AsyncIterator[int]:
    yield 1
    yield 2


async def failing() -> None:
    raise ValueError("planted")


@pytest.mark.asyncio
async def test_task() -> None:
    KEPT.append(asyncio.create_task(sleeper()))
    await asyncio.sleep(0)


@pytest.mark.asyncio
async def test_task_next() -> None:
    assert asyncio.all_tasks() == {asyncio.current_task()}


@pytest.mark.asyncio
async def test_stubborn_task() -> None:
    KEPT.append(asyncio.create_task(stubborn()))
    await asyncio.sleep(0)


@pytest.mark.asyncio
async def test_stubborn_task_next() -> None:
    assert asyncio.all_tasks() == {asyncio.current_task()}


@pytest.mark.asyncio
async def test_async_generator() -> None:
    KEPT.append(numbers())
    await anext(KEPT[-1])


@pytest.mark.asyncio
async def test_async_generator_next() -> None:
    async for _ in numbers():
        pass


@pytest.mark.asyncio
async def test_executor_job() -> None:
    asyncio.get_running_loop().run_in_executor(None, RELEASE.wait)
    asyncio.get_running_loop().call_later(3600, print)
    threading.Timer(0.3, RELEASE.set).start()  # else the end of the loop would wait for ever


@pytest.mark.asyncio
async def test_executor_job_next() -> None:
    await asyncio.to_thread(int)


def forgetful() -> None:
    unawaited: Coroutine[Any, Any, None] = sleeper()
    del unawaited


@pytest.mark.asyncio
async def test_never_awaited() -> None:
    forgetful()


@pytest.mark.asyncio
async def test_never_awaited_next() -> None:
    with pytest.warns(RuntimeWarning, match="never awaited"):
        forgetful()


@pytest.mark.asyncio
async def test_exception_held() -> None:
    KEPT.append(asyncio.create_task(failing()))
    await asyncio.sleep(0)


@pytest.mark.asyncio
async def test_exception_held_next() -> None:
    with pytest.raises(ValueError, match="planted"):
        await asyncio.create_task(failing())


@pytest.mark.asyncio
async def test_exception_dropped() -> None:
    task = asyncio.create_task(failing())
    await asyncio.sleep(0)
    del task


@pytest.mark.asyncio
async def test_exception_dropped_next() -> None:
    pass


def test_unclosed_loop() -> None:
    KEPT.append(asyncio.new_event_loop())


def test_unclosed_loop_next() -> None:
    assert KEPT[-1].is_closed()


@pytest.mark.asyncio(loop_scope="session")
async def test_task_on_a_wider_loop() -> None:
    KEPT.append(asyncio.create_task(sleeper()))
    await asyncio.sleep(0)


@pytest.mark.asyncio(loop_scope="session")
async def test_task_on_a_wider_loop_next() -> None:
    assert asyncio.all_tasks() == {asyncio.current_task()}


@pytest.mark.asyncio
async def test_server() -> None:
    KEPT.append(await asyncio.start_server(print, "127.0.0.1", 0))


@pytest.mark.asyncio
async def test_server_next() -> None:
    async with await asyncio.start_server(print, "127.0.0.1", 0):
        pass


@pytest.mark.asyncio
@settings(max_examples=5, database=None)
@given(st.integers())
async def test_example(number: int) -> None:
    assert len(asyncio.all_tasks()) == 1, number
    KEPT.append(asyncio.create_task(sleeper()))
    await asyncio.sleep(0)


@pytest.mark.asyncio
@settings(max_examples=5, database=None)
@given(st.integers())
async def test_example_next(number: int) -> None:
    assert len(asyncio.all_tasks()) == 1, number
    await asyncio.gather(asyncio.sleep(0))


@pytest.mark.anyio
async def test_with_anyio(anyio_backend_name: str) -> None:
    assert anyio_backend_name == "asyncio"
    KEPT.append(asyncio.create_task(sleeper()))
    await asyncio.sleep(0)


@pytest.mark.anyio
async def test_with_anyio_next(anyio_backend_name: str) -> None:
    assert anyio_backend_name == "asyncio"
    await asyncio.gather(asyncio.sleep(0))


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


class TestCase(unittest.IsolatedAsyncioTestCase):
    async def test_of_unittest(self) -> None:
        KEPT.append(asyncio.create_task(sleeper()))
        await asyncio.sleep(0)

    async def test_of_unittest_next(self) -> None:
        assert len(asyncio.all_tasks()) == 1
