"""Jobs, checkouts and answers in one pool on the mock layer: who gets what, and when."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import pytest

from poolproof.errors import (
    CircuitOpenError,
    PoolClosedError,
    PoolExhaustedError,
    QuarantinedError,
    RemoteError,
    SessionLostError,
    WorkerDiedError,
)
from poolproof.pool.circuit_breaker import CircuitBreaker, Limits
from poolproof.pool.pool import Pool
from poolproof.pool.settings import PoolSettings
from poolproof.sync import wait_for
from poolproof.transport import mailbox
from poolproof.transport.base import Request, WorkerSpec
from poolproof.transport.mock import MockTransport

pytestmark = [pytest.mark.unit, pytest.mark.asyncio]


class Actor:
    """Waits at gates of its own class, so that a test decides when a job is done."""

    gates: ClassVar[dict[str, asyncio.Event]] = {}
    begun: ClassVar[list[Any]] = []

    async def handle(self, request: Any) -> Any:
        type(self).begun.append(request)
        match request:
            case ["gate", name]:
                await self.gates.setdefault(name, asyncio.Event()).wait()
            case "raise":
                raise ValueError("no")
            case "exit":
                raise SystemExit(1)
            case _:
                pass
        return request


@pytest.fixture(autouse=True)
def fresh_actor() -> None:
    Actor.gates, Actor.begun = {}, []


def pool(breaker: CircuitBreaker | None = None, **settings: Any) -> Pool:
    chosen = PoolSettings(**{"size": 1, "grace": 0.05, **settings})
    return Pool(WorkerSpec(target=Actor), MockTransport(), chosen, breaker=breaker)


def open_gate(name: str) -> None:
    Actor.gates.setdefault(name, asyncio.Event()).set()


async def begun(count: int) -> None:
    """Wait until so many requests have begun."""
    await until(lambda: len(Actor.begun) >= count)


async def until(fact: Callable[[], bool]) -> None:
    """Wait until something is so."""
    await wait_for(fact, timeout=5, interval=0.005)


async def test_a_slow_job_has_no_other_behind_it_while_a_worker_is_idle() -> None:
    async with pool(size=2) as one:
        slow = one.submit(["gate", "a"])
        await begun(1)
        quick = [one.submit(number) for number in range(10)]

        assert await asyncio.gather(*quick) == list(range(10))
        assert not slow.done()
        open_gate("a")
        await slow


@pytest.mark.parametrize(("line", "expected"), [("fifo", [0, 1, 2]), ("lifo", [2, 1, 0])])
async def test_who_waits_is_served_in_the_order_of_the_line(line: str, expected: list[int]) -> None:
    async with pool(line=line) as one:
        gate = one.submit(["gate", "a"])
        await begun(1)
        jobs = [one.submit(number) for number in range(3)]
        await asyncio.sleep(0)
        open_gate("a")
        await asyncio.gather(gate, *jobs)

        assert Actor.begun[1:] == expected


@pytest.mark.parametrize(("order", "number"), [("lifo", 1), ("fifo", 0)])
async def test_a_checkout_gets_the_idle_worker_of_its_order(order: str, number: int) -> None:
    async with pool(size=2, order=order) as one:
        leases = [await one.checkout(), await one.checkout()]
        for lease in sorted(leases, key=lambda lease: lease.number):
            lease.checkin()
            await asyncio.sleep(0)

        async with one.checkout() as lease:
            assert lease.number == number


async def test_a_checkout_waits_for_no_more_than_the_jobs_before_it() -> None:
    async with pool() as one:
        gate = one.submit(["gate", "a"])
        await begun(1)
        waiting = asyncio.ensure_future(_checked_out(one))
        await asyncio.sleep(0)
        later = [one.submit(number) for number in range(5)]
        await asyncio.sleep(0)
        open_gate("a")
        await gate

        assert await waiting == "held"
        assert await asyncio.gather(*later) == list(range(5))
        assert Actor.begun[1] == "held"


async def _checked_out(one: Pool) -> Any:
    async with one.checkout() as lease:
        return await lease.call("held")


@pytest.mark.parametrize("turns", range(8))
async def test_a_caller_cancelled_at_any_turn_of_the_hand_over_leaves_the_worker_free(
    turns: int,
) -> None:
    async with pool() as one:
        first = await one.checkout()
        waiting = asyncio.ensure_future(_checked_out(one))
        await asyncio.sleep(0)
        first.checkin()
        for _ in range(turns):
            await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)

        assert await one.submit("after", deadline=5) == "after"


async def test_a_worker_goes_back_when_the_task_that_has_it_is_over() -> None:
    async with pool() as one:

        async def forgetful() -> None:
            await one.checkout()

        await asyncio.ensure_future(forgetful())

        assert await one.submit(1, deadline=5) == 1


async def test_a_lease_that_was_checked_in_calls_nobody() -> None:
    async with pool() as one:
        async with one.checkout() as lease:
            pass
        with pytest.raises(WorkerDiedError) as caught:
            await lease.call(1)

        assert not caught.value.may_have_happened


async def test_only_the_job_that_was_begun_fails_with_its_worker() -> None:
    async with pool() as one:
        jobs = [one.submit(["gate", "a"]), *(one.submit(number) for number in range(3))]
        await begun(1)
        one.slots()[0].link.kill()
        answers = await asyncio.gather(*jobs, return_exceptions=True)

        assert isinstance(answers[0], WorkerDiedError)
        assert answers[0].may_have_happened
        assert answers[1:] == [0, 1, 2]


async def test_a_poison_job_is_quarantined_after_so_many_deaths() -> None:
    async with pool(most_deaths=2, retry_base=0.0) as one:
        with pytest.raises(QuarantinedError, match="2 deaths under it"):
            await one.submit("exit", idempotent=True, key="poison")
        with pytest.raises(QuarantinedError):
            await one.submit("exit", key="poison")

        assert Actor.begun == ["exit", "exit"]
        assert await one.submit(1, key="another") == 1


async def test_a_strict_session_whose_worker_died_is_told_so_once() -> None:
    async with pool(size=2, affinity="strict") as one:
        await one.submit(1, session="a")
        one.slots()[0].link.kill()
        await until(lambda: one.restarts == 1)
        with pytest.raises(SessionLostError, match="begins anew"):
            await one.submit(2, session="a")

        assert await one.submit(3, session="a") == 3


async def test_a_strict_session_waits_for_its_busy_worker_and_holds_up_nobody() -> None:
    async with pool(size=2, affinity="strict") as one:
        await one.submit(0, session="a")
        gate = one.submit(["gate", "a"], session="a")
        await begun(2)
        bound = one.submit("bound", session="a")
        free = one.submit("free")

        assert await free == "free"
        assert not bound.done()
        open_gate("a")
        assert [await gate, await bound] == [["gate", "a"], "bound"]


async def test_an_open_circuit_refuses_and_a_returned_error_counts() -> None:
    breaker = CircuitBreaker(Limits(failures_to_open=2))
    async with pool(breaker=breaker) as one:
        for _ in range(2):
            with pytest.raises(RemoteError):
                await one.submit("raise")
        with pytest.raises(CircuitOpenError, match="try again in"):
            await one.submit(1)

        assert Actor.begun == ["raise", "raise"]


async def test_a_hundred_errors_at_once_keep_their_own_contexts() -> None:
    async with pool(size=4) as one:
        jobs = [one.submit("raise", session=f"s{number}") for number in range(100)]
        errors = await asyncio.gather(*jobs, return_exceptions=True)

    contexts = [error.context for error in errors if isinstance(error, RemoteError)]
    assert [context.session for context in contexts if context] == [f"s{n}" for n in range(100)]
    assert len({id(context) for context in contexts}) == 100
    assert all(context.attempt == 1 for context in contexts if context)


async def test_a_worker_is_recycled_after_its_jobs_and_nobody_waits() -> None:
    async with pool(max_jobs=5) as one:
        for number in range(12):
            assert await one.submit(number) == number
        await until(lambda: one.restarts >= 2)

        assert one.workers()[0].epoch >= 3


async def test_a_lazy_pool_starts_its_workers_when_there_is_work() -> None:
    async with pool(size=2, lazy=True) as one:
        assert one.workers() == []
        assert await one.submit(1) == 1
        assert len(one.workers()) >= 1


async def test_overflow_comes_while_all_are_busy_and_goes_when_idle() -> None:
    async with pool(size=1, overflow=1, overflow_idle=0.01) as one:
        gate = one.submit(["gate", "a"])
        await begun(1)
        assert await one.submit(1, deadline=5) == 1
        assert len(one.workers()) == 2
        open_gate("a")
        await gate
        await until(lambda: len(one.workers()) == 1)

        assert [worker.number for worker in one.workers()] == [0]


class Unwell:
    """Says that it is not well until it is told otherwise."""

    well = False

    def handle(self, request: Any) -> Any:
        return request

    def ping(self) -> bool:
        return type(self).well


async def test_a_worker_that_fails_its_heartbeats_is_degraded_and_then_replaced() -> None:
    Unwell.well = False
    settings = PoolSettings(size=1, ping_interval=0.01, ping_timeout=0.01)
    async with Pool(WorkerSpec(target=Unwell), MockTransport(), settings) as one:
        first = one.workers()[0]
        await until(lambda: first.state == "terminated")
        Unwell.well = True
        told = [(change.target, change.reason) for change in reversed(first.history())]

        assert ("degraded", "health_check_failed") in told
        assert await one.submit(1, deadline=5) == 1


async def test_a_degraded_worker_that_is_well_again_is_ready_again() -> None:
    Unwell.well = False
    settings = PoolSettings(size=1, ping_interval=0.01, ping_timeout=0.05)
    async with Pool(WorkerSpec(target=Unwell), MockTransport(), settings) as one:
        worker = one.workers()[0]
        await until(lambda: worker.state == "degraded")
        Unwell.well = True
        await until(lambda: worker.state == "ready")

        assert worker.health == "healthy"


async def test_closing_finishes_what_was_submitted() -> None:
    one = await pool().open()
    jobs = [one.submit(number) for number in range(20)]
    await one.close()

    assert [job.result() for job in jobs] == list(range(20))
    with pytest.raises(PoolClosedError):
        await one.submit(1)


async def test_killing_fails_what_was_submitted_and_says_what_may_have_happened() -> None:
    one = await pool().open()
    held = one.submit(["gate", "a"])
    await begun(1)
    waiting = one.submit(1)
    one.kill()

    assert held.exception().may_have_happened  # type: ignore[union-attr]
    assert not waiting.exception().may_have_happened  # type: ignore[union-attr]
    await until(lambda: len(asyncio.all_tasks()) == 1)


async def test_map_keeps_the_order_of_its_requests() -> None:
    async with pool(size=3) as one:
        assert await one.map(range(100)) == list(range(100))


async def test_those_who_wait_in_line_are_sent_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """One frame each costs eight times as much."""
    # As many are sent as were answered in one turn, which is 1 ms: on a slow machine 24.
    monkeypatch.setattr(mailbox, "TURN_NS", 10**10)
    async with pool(ahead=10.0, most_ahead=64) as one:
        await one.submit("the window is known")
        link, batches = one.slots()[0].link, list[int]()
        send = link.send

        def counted(requests: Sequence[Request]) -> None:
            batches.append(len(requests))
            send(requests)

        link.send = counted  # type: ignore[method-assign]
        await asyncio.gather(*(one.submit(number) for number in range(640)))

    assert sum(batches) == 640
    assert len(batches) <= 20


async def test_a_session_among_those_who_wait_keeps_its_worker_and_its_place() -> None:
    async with pool(size=2, affinity="strict", most_ahead=1) as one:
        await one.submit("first", session="a")
        home = one.workers()[0] if one.workers()[0].jobs else one.workers()[1]
        before = home.jobs
        mixed = [one.submit(n, session="a" if n % 10 == 0 else None) for n in range(50)]
        await asyncio.gather(*mixed)

        assert one.affinity.hit_rate == 1
        assert home.jobs - before >= 5
        assert [n for n in Actor.begun[1:] if n % 10 == 0] == [0, 10, 20, 30, 40]


async def test_what_stands_behind_a_job_that_turns_out_slow_goes_to_another_worker() -> None:
    async with pool(size=2) as one:
        await asyncio.gather(*(one.submit(number) for number in range(200)))
        slow = one.submit(["gate", "a"])
        behind = [one.submit(number) for number in range(100)]

        assert await asyncio.gather(*behind) == list(range(100))
        assert not slow.done()
        open_gate("a")
        await slow
    assert sorted(request for request in Actor.begun[201:] if request != ["gate", "a"]) == sorted(
        range(100)
    )


async def test_a_strict_session_is_served_when_its_degraded_worker_is_well_again() -> None:
    Unwell.well = True
    settings = PoolSettings(size=2, affinity="strict", ping_interval=0.01, ping_timeout=0.05)
    async with Pool(WorkerSpec(target=Unwell), MockTransport(), settings) as one:
        await one.submit(1, session="a")
        Unwell.well = False
        await until(lambda: all(worker.state == "degraded" for worker in one.workers()))
        waiting = one.submit(2, session="a", deadline=5)
        Unwell.well = True

        assert await waiting == 2


async def test_jobs_that_wait_for_one_worker_are_bounded_too() -> None:
    async with pool(size=2, affinity="strict", most_waiting=3) as one:
        gate = one.submit(["gate", "a"], session="a")
        await begun(1)
        jobs = [one.submit(number, session="a") for number in range(10)]
        await asyncio.sleep(0)
        shed = [job for job in jobs if job.done()]
        open_gate("a")
        await gate

        assert len(shed) == 7
        assert all(isinstance(job.exception(), PoolExhaustedError) for job in shed)


async def test_an_open_circuit_refuses_checkouts_and_bulk_too() -> None:
    breaker = CircuitBreaker(Limits(failures_to_open=1))
    async with pool(breaker=breaker) as one:
        with pytest.raises(RemoteError):
            await one.submit("raise")
        with pytest.raises(CircuitOpenError):
            await one.map([1, 2])
        with pytest.raises(CircuitOpenError):
            await one.checkout()


async def test_a_keyed_job_that_succeeds_is_no_suspect_any_more() -> None:
    async with pool(most_deaths=2) as one:
        for _ in range(3):
            with pytest.raises(WorkerDiedError):
                await one.submit("exit", key=0)
            assert await one.submit(1, key=0) == 1


async def test_sessions_that_are_over_are_forgotten() -> None:
    async with pool(session_ttl=0.01, session_sweep=0.01) as one:
        await one.submit(1, session="a")
        assert list(one.affinity) == ["a"]
        await until(lambda: list(one.affinity) == [])


@pytest.mark.parametrize("turns", range(6))
async def test_a_recalled_job_is_done_whether_its_worker_or_the_pool_is_faster(turns: int) -> None:
    async with pool(size=2) as one:
        await asyncio.gather(*(one.submit(number) for number in range(200)))
        slow = one.submit(["gate", "a"])
        behind = [one.submit(number) for number in range(20)]
        await begun(201)
        await wait_for(lambda: any(slot.stalled for slot in one.slots()), timeout=5)
        for _ in range(turns):
            await asyncio.sleep(0)
        open_gate("a")

        assert await asyncio.gather(*behind) == list(range(20))
        assert await slow == ["gate", "a"]
