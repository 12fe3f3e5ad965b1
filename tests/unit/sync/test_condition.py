"""A wait for a condition ends when it holds, or says what it saw; so does the wait for rest."""

import asyncio
import re
from collections.abc import Callable
from typing import Any

import pytest

from poolproof import simulation
from poolproof.sync import SyncTimeoutError, condition, wait_all_tasks_blocked, wait_for

pytestmark = pytest.mark.unit

Run = Callable[..., object]
RUNS = pytest.mark.parametrize("run", [asyncio.run, simulation.run], ids=["real", "simulated"])


@RUNS
def test_it_returns_the_first_true_answer(run: Run) -> None:
    answers = iter([0, "", None, "up"])

    assert run(wait_for(lambda: next(answers))) == "up"


def test_a_condition_may_be_a_coroutine_function() -> None:
    async def ask() -> str:
        await asyncio.sleep(0)
        return "up"

    assert simulation.run(wait_for(ask)) == "up"


def test_it_says_what_it_saw_last_and_who_waited_since_when() -> None:
    async def main() -> None:
        await simulation.advance(3)
        await wait_for(list, timeout=2.0, what="a job in the queue")

    with pytest.raises(SyncTimeoutError) as caught:
        simulation.run(main())

    assert re.fullmatch(
        r"expected a job in the queue to hold within 2 s, last got \[\] in \d+ check\(s\); "
        r"waited: Task-\d+ since 3\.000 s, now 5\.000 s",
        str(caught.value),
    )
    assert caught.value.last == []
    assert caught.value.waiting[0].since == 3.0


def test_a_condition_without_words_is_named_by_its_place() -> None:
    with pytest.raises(SyncTimeoutError, match=r"<lambda> \(.*test_condition\.py:\d+\)"):
        simulation.run(wait_for(lambda: False, timeout=0.1))


def test_a_condition_that_never_answers_is_bounded_too() -> None:
    async def never() -> bool:
        return await asyncio.Event().wait()

    with pytest.raises(SyncTimeoutError, match=r"last got None in 0.*the next unanswered"):
        simulation.run(wait_for(never, timeout=1.0))


def test_a_time_out_of_the_condition_itself_is_not_taken_for_its_own() -> None:
    async def impatient() -> bool:
        raise TimeoutError("the condition's own")

    with pytest.raises(TimeoutError, match="the condition's own"):
        simulation.run(wait_for(impatient))


def test_it_checks_once_more_when_the_time_is_up() -> None:
    async def main() -> float:
        loop = asyncio.get_running_loop()
        await wait_for(lambda: loop.time() >= 1.0, timeout=1.0, interval=10.0)
        return loop.time()

    assert simulation.run(main()) == 1.0


def test_it_does_not_check_more_often_than_its_interval_for_long() -> None:
    checks = 0

    def count() -> bool:
        nonlocal checks
        checks += 1
        return False

    with pytest.raises(SyncTimeoutError):
        simulation.run(wait_for(count, timeout=100.0, interval=1.0))

    assert checks < 120


@RUNS
def test_rest_is_when_every_other_task_waits(run: Run) -> None:
    async def busy(steps: int, log: list[int]) -> None:
        for step in range(steps):
            await asyncio.sleep(0)
            log.append(step)
        await asyncio.Event().wait()

    async def main() -> list[int]:
        log: list[int] = []
        tasks = [asyncio.create_task(busy(steps, log)) for steps in (3, 50, 7)]
        await wait_all_tasks_blocked()
        seen = len(log)
        for task in tasks:
            task.cancel()
        return [seen, len(log)]

    assert run(main()) == [60, 60]


@RUNS
def test_a_chain_of_callbacks_is_not_rest(run: Run) -> None:
    async def main() -> int:
        done = 0
        loop = asyncio.get_running_loop()

        def step() -> None:
            nonlocal done
            done += 1
            if done < 40:
                loop.call_soon(step)

        loop.call_soon(step)
        await wait_all_tasks_blocked()
        return done

    assert run(main()) == 40


@pytest.mark.parametrize("policy", ["random", "pct", "delay"])
def test_rest_is_rest_in_any_order_of_steps(policy: Any) -> None:
    async def main() -> int:
        done = 0
        loop = asyncio.get_running_loop()

        def step() -> None:
            nonlocal done
            done += 1
            if done < 20:
                loop.call_soon(step)

        async def busy() -> None:
            for _ in range(5):
                await asyncio.sleep(0)
            loop.call_soon(step)

        tasks = [asyncio.create_task(busy()) for _ in range(3)]
        await wait_all_tasks_blocked()
        assert all(task.done() for task in tasks)
        return done

    for seed in range(50):
        schedule = simulation.Schedule(policy=policy, seed=seed, length=60)
        assert simulation.run(main(), schedule=schedule) == 22


@RUNS
def test_several_may_wait_for_rest_at_the_same_time(run: Run) -> None:
    async def main() -> int:
        sleeper = asyncio.create_task(asyncio.Event().wait())
        await asyncio.gather(*(wait_all_tasks_blocked() for _ in range(5)))
        sleeper.cancel()
        return 1

    assert run(main()) == 1


def test_with_a_cushion_what_comes_from_outside_is_waited_for() -> None:
    async def main() -> bool:
        loop = asyncio.get_running_loop()
        came = asyncio.Event()
        loop.call_later(0.5, came.set)
        waiter = asyncio.create_task(came.wait())
        await wait_all_tasks_blocked(cushion=1.0)
        return waiter.done()

    assert simulation.run(main())


@RUNS
def test_one_that_never_rests_is_named(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """In virtual time, which stands still meanwhile, by the number of turns."""
    monkeypatch.setattr(condition, "_MAX_TURNS", 2000)

    async def spin() -> None:
        while True:  # noqa: ASYNC110 - to be always able to run
            await asyncio.sleep(0)

    async def main() -> None:
        spinner = asyncio.create_task(spin(), name="the spinner")
        try:
            await wait_all_tasks_blocked(timeout=0.05)
        finally:
            spinner.cancel()

    with pytest.raises(SyncTimeoutError, match="able to run: the spinner"):
        run(main())
