"""A coordinator holds who waits for an event, and keeps who signalled and who waited."""

import asyncio
import logging

import pytest

from poolproof import simulation
from poolproof.errors import UsageError
from poolproof.history import KINDS, Event
from poolproof.sync import EventCoordinator, wait_all_tasks_blocked

pytestmark = pytest.mark.unit


def test_who_waits_is_let_go_by_the_signal_before_or_after() -> None:
    async def main() -> list[object]:
        events = EventCoordinator()
        events.create_barrier("up")
        early = asyncio.create_task(events.wait_for_event("up"))
        await wait_all_tasks_blocked()
        held = not early.done()
        events.signal_event("up", {"workers": 2})
        return [held, await early, await events.wait_for_event("up"), events.data("up")]

    assert simulation.run(main()) == [True, True, True, {"workers": 2}]


def test_a_time_out_is_false_and_leaves_a_note_of_who_signalled_and_who_waited(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def signal(events: EventCoordinator) -> None:
        events.signal_event("upp")

    async def main() -> bool:
        events = EventCoordinator()
        events.create_barrier("up", timeout=2.0)
        await asyncio.create_task(signal(events), name="a worker")
        return await asyncio.create_task(events.wait_for_event("up"), name="the test")

    with caplog.at_level(logging.WARNING, "poolproof.sync"):
        assert not simulation.run(main())

    (note,) = caplog.messages
    assert "0.000 s the test: waits 'up', 2.000 s the test: timed out 'up'" in note
    assert note.endswith("signalled in all: 0.000 s a worker: signalled 'upp'")


def test_the_time_out_of_the_wait_stands_over_that_of_the_barrier() -> None:
    async def main() -> float:
        events = EventCoordinator()
        events.create_barrier("up", timeout=2.0)
        await events.wait_for_event("up", timeout=1.0)
        return asyncio.get_running_loop().time()

    assert simulation.run(main()) == 1.0


def test_every_mark_goes_to_the_history() -> None:
    async def main() -> list[Event]:
        kept: list[Event] = []
        events = EventCoordinator(kept.append)
        events.create_barrier("up")
        waiter = asyncio.create_task(events.wait_for_event("up"), name="waiter")
        await simulation.advance(1.5)
        events.signal_event("up", 7)
        await waiter
        return kept

    kept = simulation.run(main())

    assert {event.kind for event in kept} <= KINDS
    assert [(event.t, event.data["did"]) for event in kept] == [
        (0, "created"),
        (0, "waits"),
        (1_500_000_000, "signalled"),
        (1_500_000_000, "passed"),
    ]
    assert kept[1].data == {"event": "up", "who": "waiter", "did": "waits"}


def test_one_that_is_cancelled_leaves_a_mark_and_holds_nothing_up() -> None:
    async def main() -> list[str]:
        events = EventCoordinator()
        waiter = asyncio.create_task(events.wait_for_event("up"))
        await wait_all_tasks_blocked()
        waiter.cancel()
        await asyncio.wait([waiter])
        events.signal_event("up")
        return [mark.did for mark in events.marks]

    assert simulation.run(main()) == ["waits", "left", "signalled"]


def test_a_name_is_given_once() -> None:
    async def main() -> None:
        events = EventCoordinator()
        events.create_barrier("up")
        with pytest.raises(UsageError, match="expected a new name of an event, got 'up' again"):
            events.create_barrier("up")

    simulation.run(main())
