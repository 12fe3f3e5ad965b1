"""A start that is cancelled, as by Ctrl-C: whoever has cancelled it hears of it when all that it began has ended."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from poolproof import simulation
from poolproof.supervision import ChildSpec, SupervisorSpec, coroutine, start_supervisor
from poolproof.supervision.spec import DEFAULT_SHUTDOWN_SECONDS

pytestmark = pytest.mark.unit

Simulated = Callable[..., Any]


async def forever() -> None:
    await asyncio.Event().wait()


def test_a_start_that_is_cancelled_leaves_nothing(simulated: Simulated) -> None:
    """What had come up before the one that was waited for is ended, too, by when the canceller hears of it."""

    async def never_up(_: Any) -> None:
        await asyncio.Event().wait()

    async def main() -> int:
        slow = ChildSpec(id="b", start=coroutine(never_up, announces=True))
        spec = SupervisorSpec(children=[ChildSpec(id="a", start=forever), slow])
        starting = asyncio.create_task(start_supervisor(spec))
        await simulation.advance(1)
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting
        return len(asyncio.all_tasks())

    assert simulated(main()) == 1


def test_what_comes_up_when_its_start_is_cancelled_may_give_back_what_it_has_taken(
    simulated: Simulated,
) -> None:
    given_back: list[str] = []

    async def coming_up(_: Any) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            given_back.append("all")

    simulated(_cancelled_while_starting(coming_up))

    assert given_back == ["all"]


def test_what_refuses_to_leave_when_its_start_is_cancelled_is_killed_when_its_patience_is_over(
    simulated: Simulated,
) -> None:
    async def never_leaves(_: Any) -> None:
        while True:
            with suppress(asyncio.CancelledError):
                await asyncio.Event().wait()

    assert simulated(_cancelled_while_starting(never_leaves)) == DEFAULT_SHUTDOWN_SECONDS


async def _cancelled_while_starting(body: Any) -> float:
    """Return how many seconds it takes; nothing is left then."""
    loop = asyncio.get_running_loop()
    spec = SupervisorSpec(children=[ChildSpec(id="slow", start=coroutine(body, announces=True))])
    starting = asyncio.create_task(start_supervisor(spec))
    await simulation.advance(1)
    cancelled_at = loop.time()
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert len(asyncio.all_tasks()) == 1
    return loop.time() - cancelled_at


def test_a_loop_that_ends_with_a_start_has_no_error_to_tell(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """As Ctrl-C ends it: `asyncio.run` logs each task that fails after its last turn."""

    async def never_up(_: Any) -> None:
        await asyncio.Event().wait()

    async def main() -> None:
        tree = SupervisorSpec(
            children=[ChildSpec(id="a", start=coroutine(never_up, announces=True))]
        )
        spec = SupervisorSpec(children=[ChildSpec(id="below", start=tree, type="supervisor")])
        async with asyncio.timeout(0):
            await start_supervisor(spec)

    with pytest.raises(TimeoutError):
        asyncio.run(main())

    assert caplog.messages == []
