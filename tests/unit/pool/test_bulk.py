"""Requests in lists: each is answered once, at its place, and what a worker has not done is done by somebody."""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poolproof import simulation
from poolproof.errors import (
    DeadlineExceededError,
    NotCarriedError,
    PoolExhaustedError,
    RemoteError,
    WorkerDiedError,
)
from poolproof.history import Packed
from poolproof.ledger import FAIL, INFO, INVOKES, OKS
from poolproof.pool import pool as pools
from poolproof.pool.bulk import Bulk
from poolproof.pool.dispatch import Dispatch
from poolproof.pool.job import Job
from poolproof.pool.pool import Pool
from poolproof.pool.settings import PoolSettings
from poolproof.sync import wait_for
from poolproof.transport import actor
from poolproof.transport.base import WorkerSpec
from poolproof.transport.bridge import BridgeTransport
from poolproof.transport.mock import MockTransport

pytestmark = pytest.mark.unit

MOST = 1 << 21
LONG = MOST - 50
"""Of a value that may come alone, but not after fifty others in one list."""


class Counted:
    """Returns what it is given, and notes it; waits at a gate, raises and ends on request."""

    begun: ClassVar[list[Any]] = []
    gate: ClassVar[asyncio.Event]

    async def handle(self, request: Any) -> Any:
        self.begun.append(request)
        match request:
            case "gate":
                await self.gate.wait()
            case "raise":
                raise ValueError("no")
            case "long":
                return "x" * LONG
            case _:
                pass
        return request


@pytest.fixture(autouse=True)
def fresh() -> None:
    Counted.begun.clear()


def pool(transport: Any = None, **settings: Any) -> Pool:
    Counted.gate = asyncio.Event()
    spec = WorkerSpec(target=Counted, most_payload_bytes=MOST)
    chosen = PoolSettings(**{"size": 2, "grace": 0.05, **settings})
    return Pool(spec, transport or MockTransport(), chosen)


def followed(one: Pool) -> list[Packed]:
    events: list[Packed] = []
    one.ledger.follow(events.extend)
    return events


def outcomes(events: Sequence[Any]) -> Counter[int]:
    """Count the outcomes of each job by its number."""
    found: Counter[int] = Counter()
    for event in events:
        if event[1] == OKS:
            found.update(event[4])
        elif event[1] in {FAIL, INFO} and event[3] is not None:
            found[event[3]] += 1
    return found


async def play(count: int, *, longest: int, patience_ns: int, monkeypatch: Any) -> None:
    """Map so many, with lists so long, of which a worker does what takes so long."""
    monkeypatch.setattr(actor, "EACH_NS", patience_ns)
    Counted.begun.clear()
    async with pool(most_ahead=longest) as one:
        events = followed(one)
        assert await one.map(range(count)) == list(range(count))
    submitted = sum(event[4] for event in events if event[1] == INVOKES)

    assert sorted(Counted.begun) == list(range(count))
    assert submitted == count
    assert outcomes(events) == dict.fromkeys(range(1, count + 1), 1)


@given(st.integers(0, 300), st.sampled_from([1, 2, 7, 256]), st.sampled_from([-1, 1 << 40]))
def test_each_is_done_once_and_answered_at_its_place(
    count: int, longest: int, patience_ns: int
) -> None:
    with pytest.MonkeyPatch.context() as patched:
        simulation.run(play(count, longest=longest, patience_ns=patience_ns, monkeypatch=patched))


class ForgetsTheRest(Bulk):
    def _take(self, places: range, job: Job) -> None:
        super()._take(places, job)
        while self._again:
            self._left -= len(self._again.popleft()[0])


class DoesAllAgain(Bulk):
    def _take(self, places: range, job: Job) -> None:
        done = len(job.result())
        super()._take(places, job)
        if done < len(places):
            self._again.pop()
            self._left += done
            self._again.append((places, job.number))


class PutsThemAtTheEnd(Bulk):
    def _take(self, places: range, job: Job) -> None:
        done = len(job.result())
        super()._take(range(places.stop - done, places.stop), job)
        self._again.extend([(places[done:], job.number + done)] if done < len(places) else [])


class NumbersAnew(Bulk):
    def _next(self) -> tuple[range, int | None]:
        return super()._next()[0], None


class NumbersTheRestAlike(Bulk):
    def _take(self, places: range, job: Job) -> None:
        super()._take(places, job)
        if self._again:
            rest, number = self._again.pop()
            self._again.append((rest, None if number is None else number - 1))


@pytest.mark.parametrize(
    "ablation",
    [ForgetsTheRest, DoesAllAgain, PutsThemAtTheEnd, NumbersAnew, NumbersTheRestAlike],
)
def test_lists_that_are_handled_otherwise_are_found_out(
    ablation: type[Bulk], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pools, "Bulk", ablation)

    async def bounded() -> None:
        async with asyncio.timeout(30):
            await play(40, longest=7, patience_ns=-1, monkeypatch=monkeypatch)

    with pytest.raises((AssertionError, TimeoutError, simulation.SimulationStalledError)):
        simulation.run(bounded())


@pytest.mark.asyncio
@pytest.mark.parametrize("make", [MockTransport, BridgeTransport])
async def test_the_first_error_is_raised_and_nothing_is_left(make: Callable[[], Any]) -> None:
    async with pool(make()) as one:
        with pytest.raises(RemoteError, match="ValueError: no"):
            await one.map([*range(30), "raise", *range(30)])

        assert one.waiting == 0
        assert await one.submit("after", deadline=5) == "after"


@pytest.mark.asyncio
async def test_a_death_fails_what_was_begun_and_every_number_has_one_outcome() -> None:
    async with pool() as one:
        events = followed(one)
        mapping = asyncio.ensure_future(one.map([*range(100), "gate", *range(100)]))
        await wait_for(lambda: "gate" in Counted.begun, timeout=5)
        slot = next(slot for slot in one.slots() if slot.jobs)
        slot.link.kill()
        with pytest.raises(WorkerDiedError) as caught:
            await mapping
        assert caught.value.may_have_happened
        assert await one.submit("after", deadline=5) == "after"

    submitted = sum(event[4] for event in events if event[1] == INVOKES)
    assert outcomes(events) == dict.fromkeys(range(1, submitted + 1), 1)


@pytest.mark.asyncio
async def test_all_must_be_done_by_the_deadline() -> None:
    async with pool() as one:
        with pytest.raises(DeadlineExceededError):
            await one.map([1, "gate", 2], deadline=0.05)

        assert await one.map(["after"], deadline=5) == ["after"]


@pytest.mark.asyncio
async def test_one_that_is_cancelled_leaves_nothing() -> None:
    async with pool() as one:
        mapping = asyncio.ensure_future(one.map(["gate"] * 10))
        await wait_for(lambda: len(Counted.begun) >= 2, timeout=5)
        mapping.cancel()
        with pytest.raises(asyncio.CancelledError):
            await mapping

        assert await one.map(range(10), deadline=5) == list(range(10))


@pytest.mark.asyncio
@pytest.mark.parametrize("make", [MockTransport, BridgeTransport])
async def test_what_no_wire_carries_is_refused_as_if_it_were_alone(make: Callable[[], Any]) -> None:
    async with pool(make()) as one:
        with pytest.raises(NotCarriedError) as caught:
            await one.map([*range(20), object(), *range(20)])

        assert not caught.value.may_have_happened
        assert await one.map([b"x" * 700_000] * 5) == [b"x" * 700_000] * 5


@pytest.mark.asyncio
@pytest.mark.parametrize("make", [MockTransport, BridgeTransport])
async def test_values_that_are_too_long_together_come_one_after_the_other(
    make: Callable[[], Any],
) -> None:
    async with pool(make()) as one:
        answers = await one.map([*range(50), *["long"] * 6, *range(50)])

        assert [len(str(answer)) for answer in answers[50:56]] == [LONG] * 6


@pytest.mark.asyncio
async def test_more_than_may_wait_can_be_mapped() -> None:
    async with pool(most_waiting=10) as one:
        assert await one.map(range(500)) == list(range(500))
        with pytest.raises(PoolExhaustedError):
            await asyncio.gather(*(one.submit(number) for number in range(500)))


async def lists_of_second_map(
    count: int, patience_ns: int, monkeypatch: pytest.MonkeyPatch
) -> list[int]:
    """Map many short requests, then so many with that patience; return how long the lists were then."""
    given: list[int] = []
    submit_list = Dispatch.submit_list

    def noting(dispatch: Dispatch, payloads: Sequence[Any], *others: Any) -> Job:
        given.append(len(payloads))
        return submit_list(dispatch, payloads, *others)

    monkeypatch.setattr(actor, "EACH_NS", 1 << 40)
    monkeypatch.setattr(Dispatch, "submit_list", noting)
    async with pool(most_ahead=64) as one:
        await one.map(range(2_000))
        given.clear()
        monkeypatch.setattr(actor, "EACH_NS", patience_ns)
        assert await one.map(range(count)) == list(range(count))
    return given


def test_the_next_map_begins_with_lists_as_long_as_the_last_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lists = simulation.run(lists_of_second_map(400, 1 << 40, monkeypatch))

    assert lists == [64] * 6 + [16]


def test_what_has_become_slow_is_handed_out_in_shorter_lists_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lists = simulation.run(lists_of_second_map(400, -1, monkeypatch))

    assert (lists[0], lists[-1]) == (64, 1)


def test_few_requests_are_shared_among_the_workers_though_longer_lists_are_known(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert simulation.run(lists_of_second_map(8, 1 << 40, monkeypatch)) == [2, 2, 2, 2]
