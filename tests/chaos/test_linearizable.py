"""Leases of pools, lent to many at once: those of sound pools are linearizable, a double grant is not."""

import asyncio
import itertools
from collections.abc import Callable, Coroutine
from types import ModuleType
from typing import Any, Final

import pytest

from poolproof import simulation
from poolproof.checkers.linearizability import Linearization, Operation, linearize
from poolproof.checkers.sequential import LeaseModel, reads
from poolproof.simulation import POLICIES, Schedule
from poolproof.stack import build_test_env, start_stack
from tests.chaos.races.corpus import BROKEN, SEARCHED, module_of

pytestmark = pytest.mark.chaos

SEEDS: Final = 30
MOST_SEEDS: Final = 1000


class Clients:
    """Asks a pool, and keeps who asked what, when, and what came back; time is the order of notes."""

    def __init__(self) -> None:
        self.operations: list[Operation] = []
        self._now: Callable[[], int] = itertools.count().__next__

    def checkin(self, client: str, worker: Any, act: Callable[[], object]) -> None:
        call = self._now()
        act()
        self._note("checkin", client, call, argument=worker, answer=True)

    async def checkout(self, client: str, lease: Coroutine[Any, Any, Any], name: Any) -> Any:
        call = self._now()
        got = await lease
        self._note("checkout", client, call, answer=name(got))
        return got

    def _note(self, name: str, client: str, call: int, **said: Any) -> None:
        self.operations.append(
            Operation(name=name, client=client, call=call, returned=self._now(), **said)
        )


async def hold_the_shard(module: ModuleType) -> list[Operation]:
    """Four holders of one thing, of whom two wait at the same time."""
    clients = Clients()
    shard = module.Shard(lambda _: None, 60.0)

    async def hold(client: str, pause: int) -> None:
        for _ in range(pause):
            await asyncio.sleep(0)
        lease = await clients.checkout(client, shard.acquire(client), lambda _: "shard")
        for _ in range(9):
            await asyncio.sleep(0)
        clients.checkin(client, "shard", lambda: shard.release(lease))

    await asyncio.gather(*(hold(*one) for one in zip("abcd", (0, 8, 18, 40), strict=True)))
    return clients.operations


async def borrow_from_the_stack() -> list[Operation]:
    """Five clients, two workers of our own pool, three leases each."""
    clients = Clients()

    async def borrow(client: str) -> None:
        for _ in range(3):
            checkout = stack.checkout()

            async def lease(checkout: Any = checkout) -> Any:
                return await checkout

            held = await clients.checkout(client, lease(), lambda got: got.number)
            await asyncio.sleep(0)
            clients.checkin(client, held.number, held.checkin)

    env = build_test_env(Echo, layer="mock", test="leases", pool={"size": 2, "overflow": 0})
    async with await start_stack(env) as stack:
        await asyncio.gather(*(borrow(f"client {number}") for number in range(5)))
    return clients.operations


class Echo:
    """Answers with the request."""

    def handle(self, request: Any) -> Any:
        return request


def judged(main: Coroutine[Any, Any, list[Operation]], schedule: Schedule) -> Linearization:
    operations = simulation.run(main, schedule=schedule)
    names = {one.answer for one in operations if one.name == "checkout"}
    return linearize(operations, LeaseModel(workers=tuple(names)), reads=reads)


@pytest.mark.parametrize("policy", POLICIES)
def test_the_leases_of_our_own_pool_are_linearizable(policy: Any) -> None:
    for seed in range(SEEDS if policy in SEARCHED else 1):
        found = judged(borrow_from_the_stack(), Schedule(policy=policy, seed=seed, length=100))

        assert found.verdict == "valid", found.reason
        assert len(found.order) == 30


@pytest.mark.parametrize("policy", POLICIES)
def test_the_leases_of_a_sound_shard_are_linearizable(policy: Any) -> None:
    module = module_of("fence")

    for seed in range(SEEDS if policy in SEARCHED else 1):
        found = judged(hold_the_shard(module), Schedule(policy=policy, seed=seed, length=100))

        assert found.verdict == "valid", found.reason
        assert len(found.order) == 8


def test_a_double_grant_is_not() -> None:
    (race,) = (race for race in BROKEN if race.name == "wakes-one-that-looks-only-once")
    schedules = (
        Schedule(policy=SEARCHED[seed % 3], seed=seed, length=120) for seed in range(MOST_SEEDS)
    )

    verdicts = (judged(hold_the_shard(race.module), schedule) for schedule in schedules)
    found = next(one for one in verdicts if one.verdict == "invalid")

    assert [one.name for one in found.stuck] == ["checkout"] * len(found.stuck)
    assert found.stuck
