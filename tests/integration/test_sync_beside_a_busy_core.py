"""A thousand participants beside a busy core: none starts early, and what came of each is kept.

The same judges look at versions that are broken on purpose, each in one way: every one is caught.
"""

import asyncio
import inspect
import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final

import pytest

from poolproof.sync import Barrier, Outcome, SyncTimeoutError, synchronize, wait_for

pytestmark = pytest.mark.integration

# ruff: noqa: ASYNC109 - the broken versions take what the sound ones take

PARTIES: Final = 1000
RUNS: Final = int(os.environ.get("POOLPROOF_RUNS", "3"))  # scripts/campaign_sync.sh: 50
TIMEOUT_S: Final = 0.1
PATIENCE_S: Final = 2.0
BROKEN_RUNS: Final = 3  # within which a broken version must be caught


@pytest.fixture(scope="module", autouse=True)
def _busy_core() -> Iterator[None]:
    program = "import os\nparent = os.getppid()\nwhile os.getppid() == parent: pass"
    with subprocess.Popen([sys.executable, "-c", program]) as busy:
        yield
        busy.kill()


def early(names: frozenset[str]) -> int:
    """Count the participants whose tasks have not even begun."""
    coroutines = (task.get_coro() for task in asyncio.all_tasks() if task.get_name() in names)
    return sum(
        inspect.getcoroutinestate(one) == inspect.CORO_CREATED
        for one in coroutines
        if inspect.iscoroutine(one)
    )


class Work:
    """One run's operations: every 10th hangs, every 7th fails, the others take some turns.

    Each keeps its own fate, so that one that was late on a busy machine is expected to be told so.
    """

    def __init__(self, seed: int) -> None:
        self.turns = random.Random(seed).choices(range(6), k=PARTIES)
        self.names = [f"party {index}" for index in range(PARTIES)]
        self.fates: dict[str, tuple[str, int | None]] = {}
        self.behind_at_the_start = -1

    def operations(self) -> dict[str, Callable[[], Any]]:
        return {name: partial(self.act, index) for index, name in enumerate(self.names)}

    async def act(self, index: int) -> int:
        if not self.fates:
            self.behind_at_the_start = early(frozenset(self.names))
        self.fates[self.names[index]] = "timed out", None
        for _ in range(self.turns[index]):
            await asyncio.sleep(0)
        if index % 10 == 0:
            await asyncio.Event().wait()
        self.fates[self.names[index]] = ("returned", index) if index % 7 else ("raised", None)
        if index % 7 == 0:
            raise LookupError(index)
        return index


async def judge_synchronize(version: Callable[..., Any], seed: int) -> None:
    work = Work(seed)
    outcomes = await version(work.operations(), timeout=TIMEOUT_S)
    left = [task for task in asyncio.all_tasks() if task.get_name() in work.names]
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)

    assert work.behind_at_the_start == 0
    assert [one.name for one in outcomes] == work.names
    assert {one.name: (one.status, one.value) for one in outcomes} == work.fates
    assert {one.status for one in outcomes} == {"returned", "raised", "timed out"}
    for one in outcomes:
        if one.status == "raised":
            assert one.name == f"party {one.error.args[0]}"
        if one.status == "timed out":
            assert one.error.waiting[0].name == one.name
    assert left == []


async def judge_barrier(version: Callable[..., Any], seed: int) -> None:
    """The parties come at different turns; some leave while they wait, and others take their place.

    Those come before the ones that leave have taken the step in which they do.
    """
    draw = random.Random(seed)
    barrier, passed = version(PARTIES, timeout=PATIENCE_S), list[int]()
    come = 0

    async def party() -> None:
        nonlocal come
        for _ in range(draw.randrange(4)):
            await asyncio.sleep(0)
        come += 1
        await barrier.wait()
        passed.append(come)

    leavers = [asyncio.create_task(party()) for _ in range(20)]
    stayers = [asyncio.create_task(party()) for _ in range(PARTIES - 30)]
    await wait_for(lambda: come == PARTIES - 10)
    stayers += [asyncio.create_task(party()) for _ in range(29)]
    for leaver in leavers:
        leaver.cancel()
    await wait_for(lambda: come == PARTIES + 19)
    assert passed == []
    await asyncio.gather(party(), *stayers)

    assert passed == [PARTIES + 20] * PARTIES
    assert all(leaver.cancelled() for leaver in leavers)


async def judge_wait_for(version: Callable[..., Any], seed: int) -> None:
    """A counter climbs to the half: those who wait for more are told so, each for itself."""
    draw = random.Random(seed)
    level = 0

    async def climb() -> None:
        nonlocal level
        while level < PARTIES // 2:
            await asyncio.sleep(0)
            level = min(level + draw.randrange(250), PARTIES // 2)

    def reached(mark: int) -> Callable[[], int]:
        return lambda: level if level >= mark else 0

    def bound(mark: int) -> float:
        return 30.0 if mark <= PARTIES // 2 else TIMEOUT_S * (2 if mark % 2 else 1)

    waits = [
        asyncio.create_task(
            version(reached(mark), timeout=bound(mark), what=f"mark {mark}"), name=f"party {mark}"
        )
        for mark in range(1, PARTIES + 1)
    ]
    got = (await asyncio.gather(climb(), *waits, return_exceptions=True))[1:]

    for mark, one in enumerate(got, start=1):
        if mark <= PARTIES // 2:
            assert isinstance(one, int)
            assert one >= mark
        else:
            assert isinstance(one, SyncTimeoutError)
            assert f"mark {mark} to hold within {bound(mark):g} s" in str(one)
            assert [who.name for who in one.waiting] == [f"party {mark}"]
            assert one.last == 0


def run(judge: Callable[..., Any], version: Callable[..., Any], runs: int) -> None:
    async def main() -> None:
        for seed in range(runs):
            await judge(version, seed)

    asyncio.run(main())


JUDGES: Final[dict[str, tuple[Callable[..., Any], Callable[..., Any]]]] = {
    "synchronize": (judge_synchronize, synchronize),
    "barrier": (judge_barrier, Barrier),
    "wait_for": (judge_wait_for, wait_for),
}


@pytest.mark.parametrize("name", JUDGES)
def test_it_keeps_its_promises_with_a_thousand_participants(name: str) -> None:
    judge, version = JUDGES[name]

    run(judge, version, RUNS)


async def without_a_barrier(operations: dict[str, Any], *, timeout: float) -> tuple[Any, ...]:
    tasks = [asyncio.create_task(act(), name=name) for name, act in operations.items()]
    for task in tasks:  # those that end late, too
        task.add_done_callback(lambda done: done.cancelled() or done.exception())
    await asyncio.wait(tasks, timeout=timeout)
    return await synchronize(operations, timeout=timeout)


async def in_the_order_of_their_ends(operations: Any, *, timeout: float) -> tuple[Any, ...]:
    outcomes = await synchronize(operations, timeout=timeout)
    return tuple(sorted(outcomes, key=lambda one: one.seconds))


async def time_outs_under_one_key(operations: Any, *, timeout: float) -> tuple[Any, ...]:
    outcomes = await synchronize(operations, timeout=timeout)
    merged = {one.name if one.status != "timed out" else "time-out": one for one in outcomes}
    return tuple(merged.values())


async def stragglers_left_running(operations: Any, *, timeout: float) -> tuple[Any, ...]:
    outcomes: tuple[Outcome[Any], ...] = await synchronize(operations, timeout=timeout)
    for one in outcomes:
        if one.status == "timed out":
            asyncio.create_task(asyncio.Event().wait(), name=one.name)  # noqa: RUF006 - the bug
    return outcomes


class SleepingBarrier(Barrier):
    """Waits some time instead of for the others."""

    async def wait(self) -> int:
        await asyncio.wait([asyncio.get_running_loop().create_future()], timeout=0.01)
        return 0


class ForgetfulBarrier(Barrier):
    """Counts those who left while they waited."""

    def _leave(self, place: asyncio.Future[int]) -> None:
        if not place.cancelled():
            place.exception()

    def _release(self) -> None:
        for index, place in enumerate(self._end_round()):
            if not place.done():
                place.set_result(index)


class HastyBarrier(Barrier):
    """Lets go when all but one have come."""

    def __init__(self, parties: int, *, timeout: float) -> None:
        super().__init__(parties - 1, timeout=timeout)


async def one_bound_for_all(condition: Any, *, timeout: float, what: str) -> Any:
    return await wait_for(condition, timeout=min(timeout, TIMEOUT_S), what=what)


async def last_value_lost(condition: Any, *, timeout: float, what: str) -> Any:
    try:
        return await wait_for(condition, timeout=timeout, what=what)
    except SyncTimeoutError as error:
        raise SyncTimeoutError(str(error), waiting=error.waiting) from None


async def returns_at_the_time_out(condition: Any, *, timeout: float, what: str) -> Any:
    try:
        return await wait_for(condition, timeout=timeout, what=what)
    except SyncTimeoutError:
        return condition()


@pytest.mark.parametrize(
    ("name", "broken"),
    [
        ("synchronize", without_a_barrier),
        ("synchronize", in_the_order_of_their_ends),
        ("synchronize", time_outs_under_one_key),
        ("synchronize", stragglers_left_running),
        ("barrier", SleepingBarrier),
        ("barrier", ForgetfulBarrier),
        ("barrier", HastyBarrier),
        ("wait_for", one_bound_for_all),
        ("wait_for", last_value_lost),
        ("wait_for", returns_at_the_time_out),
    ],
)
def test_a_version_that_is_broken_on_purpose_is_caught(
    name: str, broken: Callable[..., Any]
) -> None:
    judge, _ = JUDGES[name]

    with pytest.raises((AssertionError, SyncTimeoutError)):
        run(judge, broken, BROKEN_RUNS)
