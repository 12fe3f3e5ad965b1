"""Virtual time and the loop's own rules: it jumps, to the nanosecond, and callbacks keep their order."""

import asyncio
import contextvars
import gc
import socket
import time
from pathlib import Path
from typing import Any

import pytest

from poolproof import simulation
from poolproof.simulation import Schedule, SimulationLoop

pytestmark = pytest.mark.unit


def test_a_day_takes_no_time() -> None:
    async def main() -> float:
        await simulation.advance(86_400 * 3)
        return asyncio.get_running_loop().time()

    begun = time.monotonic()

    assert simulation.run(main()) == 86_400 * 3
    assert time.monotonic() - begun < 10


def test_timers_fire_in_order_and_to_the_nanosecond() -> None:
    async def main() -> list[int]:
        loop = simulation.current()
        seen: list[int] = []
        for delay in (3e-9, 1e-9, 2.5):
            loop.call_later(delay, lambda: seen.append(loop.now_ns))
        await simulation.advance(3)
        return seen

    assert simulation.run(main(), start_ns=7) == [8, 10, 2_500_000_007]


def test_timers_of_one_instant_fire_in_the_order_in_which_they_were_set() -> None:
    async def main() -> list[int]:
        seen: list[int] = []
        for number in range(50):
            simulation.current().call_later(1, seen.append, number)
        await simulation.advance(2)
        return seen

    assert simulation.run(main()) == list(range(50))


def test_clock_stands_still_while_something_is_ready() -> None:
    async def main() -> float:
        for _ in range(100):
            await asyncio.sleep(0)
        return asyncio.get_running_loop().time()

    assert simulation.run(main()) == 0


def test_a_cancelled_timer_moves_no_time() -> None:
    async def main() -> float:
        loop = simulation.current()
        call = loop.call_later(5, lambda: None)
        call.cancel()
        assert call.cancelled()
        await simulation.advance(1)
        return loop.time()

    assert simulation.run(main()) == 1


def test_many_cancelled_timers_are_dropped() -> None:
    async def main() -> int:
        loop = simulation.current()
        for _ in range(10_000):
            loop.call_later(1000, lambda: None).cancel()
        return len(loop._timers)

    assert simulation.run(main()) < 2_000


def test_what_is_due_now_or_was_due_earlier_runs_in_its_turn() -> None:
    async def main() -> list[str]:
        loop, seen = simulation.current(), list[str]()
        await simulation.advance(1)
        loop.call_soon(seen.append, "soon")
        loop.call_at(0.5, seen.append, "at")
        loop.call_later(-1, seen.append, "later")
        await asyncio.sleep(0)
        return seen

    assert simulation.run(main()) == ["soon", "at", "later"]


def test_timeouts_work() -> None:
    async def main() -> None:
        async with asyncio.timeout(5):
            await asyncio.Event().wait()

    with pytest.raises(TimeoutError):
        simulation.run(main())


def test_real_time_cannot_be_advanced() -> None:
    with pytest.raises(RuntimeError, match=r"^expected a loop in virtual time, got a real one"):
        asyncio.run(simulation.advance(1))


def test_a_callback_that_raises_is_reported_and_the_rest_goes_on() -> None:
    async def main() -> list[Any]:
        loop, seen = simulation.current(), list[Any]()
        loop.set_exception_handler(lambda _, context: seen.append(context["exception"]))
        loop.call_soon(int, "x")
        loop.call_soon(seen.append, "next")
        await asyncio.sleep(0)
        return seen

    error, after = simulation.run(main())

    assert isinstance(error, ValueError)
    assert after == "next"


def test_a_handle_says_when_and_in_which_context_it_runs() -> None:
    async def main() -> None:
        call = simulation.current().call_later(2, int)
        context = contextvars.copy_context()
        assert isinstance(call, asyncio.TimerHandle)
        assert call.when() == 2
        assert repr(call) == "<Call at 2.000000000 s: <class 'int'>>"
        assert simulation.current().call_soon(int, context=context).get_context() is context
        call.cancel()
        assert repr(call) == "<Call at 2.000000000 s: cancelled>"
        assert call == call  # noqa: PLR0124 - identity is its equality
        assert len({call, call}) == 1

    simulation.run(main())


def test_a_closed_loop_takes_no_task() -> None:
    loop = SimulationLoop()
    loop.close()
    coroutine = asyncio.sleep(0)

    with pytest.raises(RuntimeError, match=r"^Event loop is closed"):
        loop.create_task(coroutine)

    coroutine.close()


def test_a_task_factory_is_used_and_its_tasks_have_numbers_too() -> None:
    def factory(loop: Any, coro: Any, **options: Any) -> Any:
        return asyncio.Task(coro, loop=loop, **options)

    async def main() -> None:
        simulation.current().set_task_factory(factory)
        tasks = [asyncio.create_task(asyncio.sleep(0)) for _ in range(3)]
        await asyncio.gather(*tasks)
        assert [task.get_name() for task in tasks] == ["Task-2", "Task-3", "Task-4"]

    first, second = (simulation.play(main(), Schedule("random", seed=5)) for _ in range(2))

    assert first.error is None
    assert first.trace == second.trace


def test_tasks_are_named_by_their_loop_and_not_by_the_process() -> None:
    async def main() -> str:
        return asyncio.create_task(asyncio.sleep(0)).get_name()

    assert [simulation.run(main()) for _ in range(2)] == ["Task-2", "Task-2"]


def test_sets_of_tasks_and_futures_have_an_order_of_their_own() -> None:
    async def main() -> list[int]:
        loop = simulation.current()
        futures = [loop.create_future() for _ in range(40)]
        numbers = {future: number for number, future in enumerate(futures)}
        ballast = [object() for _ in range(len(_ballast))]
        _ballast.append(ballast)
        for future in futures:
            future.set_result(None)
        done, _ = await asyncio.wait(futures)
        return [numbers[future] for future in done]

    _ballast: list[list[object]] = []

    assert len({tuple(simulation.run(main())) for _ in range(5)}) == 1


def test_the_collector_runs_at_steps_and_is_as_it_was_afterwards() -> None:
    async def main() -> bool:
        return gc.isenabled()

    assert simulation.run(main()) is False
    assert gc.isenabled()


def test_generators_that_are_left_are_closed() -> None:
    closed: list[bool] = []

    async def numbers() -> Any:
        try:
            yield 1
            yield 2
        finally:
            closed.append(True)

    async def main() -> None:
        async for _ in numbers():
            break

    simulation.run(main())

    assert closed == [True]


def test_what_is_ready_can_be_looked_at_under_every_policy() -> None:
    async def main() -> int:
        tasks = [asyncio.create_task(asyncio.sleep(0)) for _ in range(3)]
        simulation.current().call_soon(int)
        await asyncio.sleep(0)
        ready = simulation.current().ready()
        await asyncio.gather(*tasks)
        return len(ready)

    assert simulation.run(main()) == 3
    assert simulation.run(main(), schedule=Schedule("delay", 3)) in range(2, 6)


def test_a_socket_pair_of_this_process_may_be_waited_for() -> None:
    async def main() -> list[bytes]:
        loop, seen = simulation.current(), list[bytes]()
        here, there = socket.socketpair()
        with here, there:
            loop.add_reader(here, lambda: seen.append(here.recv(100)))
            loop.add_writer(there, lambda: there.send(b"x") and loop.remove_writer(there))
            loop.call_later(5, there.send, b"y")
            await simulation.advance(10)
            assert loop.remove_reader(here)
            assert not loop.remove_reader(here)
        return seen

    assert simulation.run(main()) == [b"x", b"y"]


def test_a_connection_that_has_a_name_may_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # a socket's whole path may be too long

    async def main(sock: socket.socket) -> None:
        simulation.current().add_reader(sock, int)

    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("s")
        with pytest.raises(simulation.RealWorldError, match="add_reader"):
            simulation.run(main(listening))


def test_a_token_is_new_each_time_and_the_same_in_each_run() -> None:
    async def main() -> list[str]:
        return [simulation.token() for _ in range(3)]

    one, again = simulation.run(main()), simulation.run(main())

    assert one == again
    assert len({*one, *simulation.run(main(), schedule=Schedule(seed=1)), simulation.token()}) == 7
