"""A barrier lets all go at one moment or none; a sequence keeps its order or breaks for all."""

import asyncio
from typing import Any

import pytest

from poolproof import simulation
from poolproof.errors import UsageError
from poolproof.sync import Barrier, Sequencer, SyncTimeoutError, wait_all_tasks_blocked

pytestmark = pytest.mark.unit


def test_none_passes_before_all_have_come_and_they_pass_in_the_order_of_their_coming() -> None:
    async def main() -> tuple[int, list[int]]:
        barrier, passed = Barrier(3), list[int]()

        async def party() -> None:
            passed.append(await barrier.wait())

        two = [asyncio.create_task(party()) for _ in range(2)]
        await wait_all_tasks_blocked()
        before = len(passed)
        await asyncio.gather(*two, party())
        return before, passed

    assert simulation.run(main()) == (0, [0, 1, 2])


def test_it_can_be_used_again_at_once() -> None:
    async def main() -> list[int]:
        barrier, rounds = Barrier(4), list[int]()

        async def party() -> None:
            for turn in range(5):
                await barrier.wait()
                rounds.append(turn)

        await asyncio.gather(*(party() for _ in range(4)))
        return rounds

    assert simulation.run(main()) == [turn for turn in range(5) for _ in range(4)]


def test_at_the_time_out_all_are_told_who_came() -> None:
    async def main() -> list[Any]:
        barrier = Barrier(3, timeout=2.0, name="the gate")

        async def late() -> int:
            await simulation.advance(1)
            return await barrier.wait()

        first = asyncio.create_task(barrier.wait(), name="first")
        second = asyncio.create_task(late(), name="second")
        return list(await asyncio.gather(first, second, return_exceptions=True))

    errors = simulation.run(main())

    assert [type(error) for error in errors] == [SyncTimeoutError] * 2
    assert str(errors[1]) == (
        "expected 3 parties at the gate within 2 s, got 2: "
        "first since 0.000 s, second since 1.000 s"
    )


def test_one_that_is_cancelled_while_it_waits_has_not_come() -> None:
    async def main() -> tuple[bool, list[int]]:
        barrier = Barrier(2)
        gone = asyncio.create_task(barrier.wait())
        await wait_all_tasks_blocked()
        gone.cancel()
        held = asyncio.create_task(barrier.wait())  # comes before the other has taken its step
        await wait_all_tasks_blocked()
        still_held = not held.done()
        return still_held, list(await asyncio.gather(held, barrier.wait()))

    assert simulation.run(main()) == (True, [0, 1])


def test_a_barrier_for_nobody_is_refused() -> None:
    with pytest.raises(UsageError, match="expected a number of parties >= 1, got 0"):
        Barrier(0)


async def _take(turn: Sequencer, position: int, log: list[int]) -> None:
    async with turn(position):
        await asyncio.sleep(0)
        log.append(position)


def test_blocks_run_in_the_order_of_their_numbers() -> None:
    async def main() -> list[int]:
        turn, log = Sequencer(), list[int]()
        await asyncio.gather(*(_take(turn, position, log) for position in (3, 1, 4, 0, 2)))
        return log

    assert simulation.run(main()) == [0, 1, 2, 3, 4]


def test_a_block_that_fails_passes_the_turn_on() -> None:
    async def main() -> list[int]:
        turn, log = Sequencer(), list[int]()
        with pytest.raises(ZeroDivisionError):
            async with turn(0):
                raise ZeroDivisionError
        await _take(turn, 1, log)
        return log

    assert simulation.run(main()) == [1]


def test_a_position_is_taken_once() -> None:
    async def main() -> None:
        turn = Sequencer()
        await _take(turn, 0, [])
        with pytest.raises(UsageError, match="not yet taken, got 0 again"):
            await _take(turn, 0, [])

    simulation.run(main())


def test_a_turn_that_does_not_come_breaks_the_sequence_for_all_who_wait() -> None:
    async def main() -> list[Any]:
        turn, log = Sequencer(timeout=2.0), list[int]()
        names = ["second", "third"]
        tasks = [
            asyncio.create_task(_take(turn, position, log), name=name)
            for position, name in enumerate(names, start=1)
        ]
        errors: list[Any] = await asyncio.gather(*tasks, return_exceptions=True)
        with pytest.raises(SyncTimeoutError):
            await _take(turn, 3, log)
        return [*errors, *log]

    errors = simulation.run(main())

    assert [type(error) for error in errors] == [SyncTimeoutError] * 2
    assert str(errors[1]) == (
        "expected number 1 of the sequence to have its turn within 2 s, but number 0 has not "
        "come; waiting: 1 (second since 0.000 s), 2 (third since 0.000 s)"
    )


def test_one_that_is_cancelled_while_it_waits_breaks_the_sequence() -> None:
    async def main() -> list[Any]:
        turn, log = Sequencer(), list[int]()
        tasks = [asyncio.create_task(_take(turn, position, log)) for position in (1, 2)]
        await wait_all_tasks_blocked()
        tasks[0].cancel()
        return await asyncio.gather(*tasks, return_exceptions=True)

    errors = simulation.run(main())

    assert isinstance(errors[0], asyncio.CancelledError)
    assert str(errors[1]) == "number 1 of the sequence was cancelled"
