"""The layers in this process keep what every transport must keep, and the cases catch those that do not."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from poolproof import simulation
from poolproof.transport import actor, protocol, starting
from poolproof.transport.actor import Actor
from poolproof.transport.base import Each, Reply, Request, Transport, WorkerSpec
from poolproof.transport.bridge import BridgeTransport
from poolproof.transport.conformance import Case, conformance_cases
from poolproof.transport.link import Link
from poolproof.transport.mailbox import Mailbox
from poolproof.transport.mock import MockLink, MockTransport
from poolproof.transport.stage import Heard

pytestmark = pytest.mark.unit

LAYERS: list[Callable[[], Transport]] = [MockTransport, BridgeTransport]
CASES = {case.name: case for case in conformance_cases()}


@pytest.mark.parametrize("case", conformance_cases(), ids=lambda case: case.name)
@pytest.mark.parametrize("make", LAYERS, ids=lambda make: make.layer)
def test_a_layer_conforms(case: Case, make: Callable[[], Transport]) -> None:
    case.check(make)


def shared(value: Any, _most_bytes: int) -> Any:
    return value


def answers_twice(link: Link, replies: list[Reply]) -> None:
    for _ in range(2):
        link._events.replied(link, replies)


def answers_nothing(_link: Link, _replies: list[Reply]) -> None:
    pass


def ends_twice(link: Link, kind: Any, detail: str, status: int | None = None) -> None:
    original_finish(link, kind, detail, status)
    link._events.ended(link, link._end.result())


def ends_without_a_word(link: Link, kind: Any, detail: str, status: int | None = None) -> None:
    link._events = Heard()
    original_finish(link, kind, detail, status)


original_finish = Link._finish
original_answer = actor.answer
original_answer_each = actor.answer_each


def began_all(_link: MockLink) -> int:
    return 1 << 62


def began_nothing(_link: MockLink) -> int:
    return 0


def never_refuses(_request: Request, _epoch: int, _clock: Any) -> None:
    return None


def loses_errors(made: Actor, request: Request, epoch: int, clock: Any) -> Reply:
    reply = original_answer(made, request, epoch, clock)
    return reply if reply[1] else (reply[0], True, None)


def answers_the_first(made: Actor, request: Each, epoch: int, clock: Any) -> Reply:
    reply = original_answer_each(made, request, epoch, clock)
    return (reply[0], True, reply[2][:1]) if reply[1] else reply


def loses_errors_of_lists(made: Actor, request: Each, epoch: int, clock: Any) -> Reply:
    reply = original_answer_each(made, request, epoch, clock)
    return reply if reply[1] else (reply[0], True, [None])


def kills_within(link: MockLink) -> None:
    link._finish("killed", "too early")


def lets_live(_link: MockLink) -> None:
    pass


async def begins_without_init(spec: WorkerSpec, _hello: bytes | None = None) -> Actor:
    return actor.make(spec)


def last_first(box: Mailbox, requests: Sequence[Request]) -> None:
    box._queue.extendleft(requests)
    box._wake()


async def all_at_once(box: Mailbox) -> None:
    items = [box._queue.popleft() for _ in range(len(box._queue))]
    await asyncio.gather(*map(box._one_async, items))
    box._turning = False


def is_always_well(_method: Any) -> None:
    return None


def cancels_nothing(_link: MockLink, _request_id: int) -> None:
    pass


async def closes_nothing(_transport: MockTransport) -> None:
    pass


def leaves_at_once(link: MockLink) -> None:
    link._finish("terminated", "left in the middle")


ABLATIONS: dict[str, tuple[Any, str, Any, str]] = {
    "shares what it passes": (protocol, "carried", shared, "nothing_is_shared"),
    "answers twice": (
        Link,
        "_answered",
        answers_twice,
        "all_are_answered_once_and_in_order",
    ),
    "loses replies": (Link, "_answered", answers_nothing, "all_are_answered_once_and_in_order"),
    "tells the end twice": (Link, "_finish", ends_twice, "a_worker_leaves_when_told"),
    "tells no end": (Link, "_finish", ends_without_a_word, "a_kill_tells_what_was_begun"),
    "calls the untouched begun": (MockLink, "started", began_all, "a_kill_tells_what_was_begun"),
    "calls the begun untouched": (
        MockLink,
        "started",
        began_nothing,
        "a_handler_may_end_its_worker",
    ),
    "does stale requests": (actor, "refusal", never_refuses, "a_stale_request_is_not_done"),
    "does expired requests": (actor, "refusal", never_refuses, "an_expired_request_is_not_done"),
    "does more of a list than it answers": (
        actor,
        "answer_each",
        answers_the_first,
        "a_list_is_done_in_order_as_far_as_it_is_answered",
    ),
    "passes over the error in a list": (
        actor,
        "answer_each",
        loses_errors_of_lists,
        "the_first_error_of_a_list_is_its_answer",
    ),
    "loses errors": (
        actor,
        "answer",
        loses_errors,
        "an_error_has_its_type_message_and_traceback",
    ),
    "survives an exit": (
        actor,
        "RAISABLE",
        BaseException,
        "a_handler_may_end_its_worker",
    ),
    "tells an end from within": (MockLink, "kill", kills_within, "a_kill_tells_what_was_begun"),
    "survives a kill": (MockLink, "kill", lets_live, "who_does_not_leave_is_ended"),
    "forgets init": (
        starting,
        "begin",
        begins_without_init,
        "init_has_run_before_the_first_request",
    ),
    "serves the last first": (Mailbox, "put", last_first, "all_are_answered_once_and_in_order"),
    "does several at once": (Mailbox, "_run", all_at_once, "one_thing_is_done_at_a_time"),
    "is always well": (actor, "problem", is_always_well, "ping_tells_health"),
    "cancels nothing": (
        MockLink,
        "cancel",
        cancels_nothing,
        "what_awaits_and_what_waits_can_be_cancelled",
    ),
    "closes nothing": (MockTransport, "close", closes_nothing, "close_ends_what_hangs"),
    "leaves in the middle": (
        MockLink,
        "_ask_leave",
        leaves_at_once,
        "leaving_ends_after_the_current_request",
    ),
}


@pytest.mark.parametrize("name", ABLATIONS)
def test_a_broken_transport_is_caught(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    place, attribute, broken, case = ABLATIONS[name]
    monkeypatch.setattr(place, attribute, broken)

    with pytest.raises((AssertionError, TimeoutError)):
        simulation.run(CASES[case].play_on(MockTransport), start_ns=1_000_000_000)
