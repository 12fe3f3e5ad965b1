"""One actor, one test file, three layers, and no question about which one it is."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import pytest

from poolproof.errors import (
    CheckoutTimeoutError,
    DeadlineExceededError,
    NotCarriedError,
    PoolClosedError,
    PoolExhaustedError,
    RemoteError,
    StartFailedError,
    WorkerDiedError,
)
from poolproof.stack import Stack
from poolproof.sync import wait_for
from tests.integration.stack.actors import Account, Broken

pytestmark = [pytest.mark.integration, pytest.mark.asyncio]

Start = Callable[..., AbstractAsyncContextManager[Stack]]


class Doubling:
    """An actor of the test file itself."""

    def handle(self, request: int) -> int:
        return 2 * request


async def test_an_actor_may_stand_in_the_test_file(stack: Start) -> None:
    async with stack(Doubling, size=1, overflow=0) as running:
        assert await running.submit(4) == 8


async def test_an_actor_keeps_its_state_between_requests(stack: Start) -> None:
    async with stack(Account, size=1, overflow=0) as running:
        assert await running.submit(["add", 4]) == 5
        assert await running.submit(["add", 5]) == 10


async def test_what_arrives_is_what_a_wire_carries(stack: Start) -> None:
    async with stack(Account) as running:
        assert await running.submit({"a": (1, 2.5, None, b"\x00")}) == {
            "a": [1, 2.5, None, b"\x00"]
        }


async def test_many_callers_get_each_their_own_answer(stack: Start) -> None:
    async with stack(Account, size=2) as running:
        answers = await asyncio.gather(*(running.submit(number) for number in range(500)))

    assert answers == list(range(500))


async def test_a_workers_error_reaches_its_own_caller_only(stack: Start) -> None:
    async with stack(Account, size=2) as running:
        good = [running.submit(number) for number in range(20)]
        with pytest.raises(RemoteError, match="ValueError: no") as caught:
            await running.submit(["raise", "no"])

        assert await asyncio.gather(*good) == list(range(20))
        assert caught.value.type_name == "ValueError"
        assert caught.value.may_have_happened
        assert "in handle" in caught.value.remote_traceback
        context = caught.value.context
        assert context is not None
        assert (context.category, context.layer) == ("python", running.layer)


async def test_a_job_that_ends_its_worker_is_reported_and_the_worker_replaced(stack: Start) -> None:
    async with stack(Account, size=1, overflow=0) as running:
        with pytest.raises(WorkerDiedError) as caught:
            await running.submit(["exit", 3])

        assert caught.value.may_have_happened
        assert await running.submit(["add", 1]) == 2
        assert running.pool.restarts == 1


async def test_a_killed_worker_costs_only_the_job_that_it_had_begun(stack: Start) -> None:
    async with stack(Account, size=1, overflow=0) as running:
        slow = running.submit(["wait", 5.0])
        waiting = [running.submit(number) for number in range(5)]
        await wait_for(running.pool.slots()[0].link.started, timeout=5)
        running.pool.slots()[0].link.kill()

        assert await asyncio.gather(*waiting) == list(range(5))
        with pytest.raises(WorkerDiedError):
            await slow


async def test_an_idempotent_job_is_tried_again_after_its_workers_death(stack: Start) -> None:
    async with stack(Account, size=1, overflow=0) as running:
        job = running.submit(["wait", 0.05], idempotent=True)
        await wait_for(running.pool.slots()[0].link.started, timeout=5)
        running.pool.slots()[0].link.kill()

        assert await job == 0.05


async def test_a_deadline_bounds_a_job_that_takes_too_long(stack: Start) -> None:
    async with stack(Account, size=1, overflow=0, grace=0.1) as running:
        with pytest.raises(DeadlineExceededError) as caught:
            await running.submit(["wait", 30.0], deadline=0.05)

        assert caught.value.may_have_happened
        assert await running.submit(7) == 7


async def test_a_deadline_bounds_the_wait_for_a_worker_too(stack: Start) -> None:
    async with stack(Account, size=1, overflow=0) as running, running.checkout():
        with pytest.raises(CheckoutTimeoutError) as caught:
            await running.submit(1, deadline=0.05)
        with pytest.raises(CheckoutTimeoutError):
            await running.checkout(deadline=0.05)

        assert not caught.value.may_have_happened


async def test_a_checked_out_worker_serves_its_holder_alone(stack: Start) -> None:
    async with stack(Account, size=1, overflow=0) as running:
        async with running.checkout() as worker:
            other = running.submit("other")
            assert await worker.call(["add", 1]) == 2
            assert not other.done()
        assert await other == "other"


async def test_a_transaction_is_a_checkout_with_an_end(stack: Start) -> None:
    async with stack(Account, size=1, overflow=0) as running:
        with pytest.raises(RemoteError):
            await running.pool.transaction(lambda worker: worker.call(["raise", "no"]))

        assert await running.pool.transaction(lambda worker: worker.call(["add", 1])) == 2


async def test_a_cancelled_job_frees_its_worker(stack: Start) -> None:
    async with stack(Account, size=1, overflow=0) as running:
        slow = running.submit(["wait", 30.0])
        await wait_for(running.pool.slots()[0].link.started, timeout=5)
        slow.cancel()

        assert await running.submit(1, deadline=5.0) == 1


async def test_who_finds_no_room_is_told_so_at_once(stack: Start) -> None:
    async with stack(Account, size=1, overflow=0, most_waiting=2) as running:
        async with running.checkout():
            jobs = [running.submit(number) for number in range(4)]
            with pytest.raises(PoolExhaustedError, match="at most 2 waiting jobs"):
                await jobs[3]
        assert await asyncio.gather(*jobs[:2]) == [0, 1]


async def test_a_session_stays_with_its_worker(stack: Start) -> None:
    async with stack(Account, size=2, overflow=0, affinity="strict") as running:
        for step in range(1, 6):
            answers = [await running.submit(["add", 1], session=name) for name in ("a", "b")]
            assert answers == [1 + step, 1 + step]
        assert running.pool.affinity.hit_rate == 1


async def test_what_no_wire_carries_is_refused_alike(stack: Start) -> None:
    async with stack(Account) as running:
        with pytest.raises(NotCarriedError) as request:
            await running.submit(object())
        with pytest.raises(NotCarriedError) as value:
            await running.submit(["unsendable"])

        assert not request.value.may_have_happened
        assert value.value.may_have_happened


async def test_a_pool_grows_and_shrinks_under_load(stack: Start) -> None:
    async with stack(Account, size=1, overflow=0) as running:
        jobs = [running.submit(["wait", 0.01]) for _ in range(20)]
        await running.pool.resize(3)
        jobs += [running.submit(["wait", 0.01]) for _ in range(20)]
        await running.pool.resize(1)

        assert await asyncio.gather(*jobs) == [0.01] * 40
        assert len(running.pool.workers()) == 1


async def test_all_workers_are_replaced_under_load(stack: Start) -> None:
    async with stack(Account, size=2, overflow=0) as running:
        jobs = [running.submit(["wait", 0.01]) for _ in range(40)]
        await running.pool.replace_all()

        assert await asyncio.gather(*jobs) == [0.01] * 40
        assert [worker.epoch for worker in running.pool.workers()] == [2, 2]


async def test_a_worker_that_cannot_start_is_an_error_that_says_why(stack: Start) -> None:
    with pytest.raises(StartFailedError, match="expected Broken to start") as caught:
        async with stack(Broken, start_retries=0):
            pass

    assert isinstance(caught.value.__cause__, RemoteError)
    assert "no such device" in str(caught.value.__cause__)


async def test_a_stopped_stack_takes_nothing_more(stack: Start) -> None:
    async with stack(Account) as running:
        pool = running.pool
    with pytest.raises(PoolClosedError):
        await pool.submit(1)
