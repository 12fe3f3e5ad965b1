"""Many operations begin at one moment, and what comes of each is kept in its place."""

import asyncio
from typing import Any

import pytest

from poolproof import simulation
from poolproof.sync import Outcome, SyncTimeoutError, synchronize, wait_all_tasks_blocked

pytestmark = pytest.mark.unit


async def _answer() -> str:
    return "done"


async def _fail() -> str:
    raise ZeroDivisionError("on purpose")


async def _hang() -> str:
    await asyncio.Event().wait()
    return "never"


async def _give_up() -> str:
    raise asyncio.CancelledError


def test_each_outcome_is_kept_in_the_order_of_the_operations() -> None:
    operations = {"hangs": _hang, "answers": _answer, "fails": _fail, "gives up": _give_up}

    outcomes = simulation.run(synchronize(operations, timeout=2.0))

    assert [(one.name, one.status, one.value) for one in outcomes] == [
        ("hangs", "timed out", None),
        ("answers", "returned", "done"),
        ("fails", "raised", None),
        ("gives up", "cancelled", None),
    ]
    assert outcomes[1].result() == "done"
    with pytest.raises(ZeroDivisionError, match="on purpose"):
        outcomes[2].result()
    with pytest.raises(SyncTimeoutError, match=r"hangs to end within 2 s .* still running then"):
        outcomes[0].result()


def test_they_wait_together_and_not_one_after_the_other() -> None:
    async def main() -> tuple[float, tuple[Outcome[str], ...]]:
        outcomes = await synchronize([_hang] * 20, timeout=2.0)
        return asyncio.get_running_loop().time(), outcomes

    ended, outcomes = simulation.run(main())

    assert ended == 2.0
    assert [one.name for one in outcomes] == [str(index) for index in range(20)]


def test_nothing_to_do_is_done() -> None:
    assert simulation.run(synchronize([])) == ()


def test_the_time_of_each_is_taken_from_the_release_to_its_end() -> None:
    async def work(seconds: float) -> None:
        await simulation.advance(seconds)

    outcomes = simulation.run(synchronize([lambda: work(1.5), lambda: work(0.5)]))

    assert [one.seconds for one in outcomes] == [1.5, 0.5]


def test_a_straggler_has_ended_when_its_outcome_is_told() -> None:
    ended = False

    async def hang_and_tidy() -> None:
        nonlocal ended
        try:
            await asyncio.Event().wait()
        finally:
            await simulation.advance(0.5)
            ended = True

    simulation.run(synchronize([hang_and_tidy], timeout=1.0))

    assert ended


def test_one_that_is_deaf_to_being_cancelled_is_called_stuck_after_the_grace() -> None:
    async def main() -> tuple[float, list[str]]:
        release = asyncio.Event()

        async def deaf() -> None:
            while not release.is_set():
                try:
                    await release.wait()
                except asyncio.CancelledError:
                    continue

        (outcome,) = await synchronize([deaf], timeout=1.0, grace=3.0)
        ended = asyncio.get_running_loop().time()
        release.set()
        await wait_all_tasks_blocked()
        return ended, [outcome.status]

    assert simulation.run(main()) == (4.0, ["stuck"])


def test_who_cancels_the_whole_leaves_no_participant_behind() -> None:
    async def main() -> set[Any]:
        whole = asyncio.create_task(synchronize([_hang] * 5, timeout=60.0))
        await wait_all_tasks_blocked()
        whole.cancel()
        await asyncio.wait([whole])
        return asyncio.all_tasks() - {asyncio.current_task()}

    assert simulation.run(main()) == set()
