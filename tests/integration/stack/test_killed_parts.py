"""Whichever part of a stack is killed under load, its supervisor too: every job ends, and nothing is left."""

import asyncio
from typing import Any

import pytest

from poolproof.errors import PoolError
from poolproof.stack import Stack, build_test_env, start_stack
from poolproof.stack.proof import descendants
from poolproof.supervision import KILL
from poolproof.sync import wait_for
from tests.integration.stack.actors import Account

pytestmark = [pytest.mark.integration, pytest.mark.asyncio]
PARTS = ("registry", "error_orchestrator", "circuit_breaker", "pool")


async def loaded(stack: Stack) -> list[Any]:
    """Submit more than the workers can do at once; return the jobs when one has begun."""
    jobs = [stack.submit(["wait", 0.01], deadline=20) for _ in range(30)]
    await wait_for(lambda: any(slot.link.started() for slot in stack.pool.slots()), timeout=10)
    return jobs


async def outcomes(jobs: list[Any]) -> list[Any]:
    async with asyncio.timeout(20):
        return await asyncio.gather(*jobs, return_exceptions=True)


def environment(layer: str) -> Any:
    return build_test_env(Account, layer=layer, pool={"size": 2, "overflow": 0})


@pytest.mark.parametrize("part", PARTS)
async def test_a_killed_part_is_started_anew_and_every_job_ends(part: str) -> None:
    async with await start_stack(environment("mock")) as stack:
        before, jobs = stack.pool, await loaded(stack)
        process = stack.env.registry.lookup(stack.env.scope.name(part))
        assert process is not None
        process.exit(KILL)
        ended = await outcomes(jobs)
        await wait_for(
            lambda: stack.tree.supervisor.alive and pool_of(stack) not in {None, before}, timeout=10
        )

        assert all(one == 0.01 or isinstance(one, PoolError) for one in ended)
        assert any(isinstance(one, PoolError) for one in ended)
        assert await stack.submit("again") == "again"


def pool_of(stack: Stack) -> Any:
    try:
        return stack.pool
    except PoolError:
        return None


@pytest.mark.parametrize("layer", ["mock", "full"])
async def test_a_killed_supervisor_takes_all_with_it_and_every_job_ends(layer: str) -> None:
    before = descendants()
    async with await start_stack(environment(layer)) as stack:
        jobs = await loaded(stack)
        stack.tree.supervisor.exit(KILL)
        ended = await outcomes(jobs)
        happened = [one.may_have_happened for one in ended if isinstance(one, PoolError)]

        assert all(one == 0.01 or isinstance(one, PoolError) for one in ended)
        assert {True, False} <= set(happened)
        await wait_for(lambda: pool_of(stack) is None, timeout=10)
    await wait_for(lambda: descendants() <= before, timeout=10)
