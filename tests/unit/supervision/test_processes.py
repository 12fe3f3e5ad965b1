"""Exit signals, links, monitors, and the ways in which a coroutine ends."""

import asyncio
import gc
from collections.abc import Callable
from typing import Any

import pytest

from poolproof import simulation
from poolproof.supervision import (
    KILL,
    KILLED,
    NOPROC,
    NORMAL,
    SHUTDOWN,
    Exit,
    ExitReason,
    ExitWith,
    error,
    link,
    monitor,
    shutdown,
    spawn,
    spawn_actor,
    unlink,
)
from poolproof.supervision.process import ForeignProcess

pytestmark = pytest.mark.unit

Simulated = Callable[..., Any]


async def forever() -> None:
    await asyncio.Event().wait()


async def ends(how: BaseException | None = None) -> None:
    if how is not None:
        raise how


async def swallows_cancellation() -> None:
    while True:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            continue


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        (None, NORMAL),
        (ExitWith(SHUTDOWN), SHUTDOWN),
        (ExitWith(shutdown("t")), shutdown("t")),
        (ExitWith(error("boom")), error("boom")),
    ],
)
def test_coroutine_names_its_exit_reason(
    how: BaseException | None, reason: ExitReason, simulated: Simulated
) -> None:
    async def main() -> ExitReason:
        return (await monitor(spawn(ends(how)))).reason

    assert simulated(main()) == reason


def test_exception_becomes_the_reason(simulated: Simulated) -> None:
    failure = ValueError("x")

    async def main() -> ExitReason:
        return (await monitor(spawn(ends(failure)))).reason

    reason = simulated(main())

    assert reason.abnormal
    assert reason.detail is failure
    assert str(reason) == "error(ValueError: x)"


def test_shutdown_signal_ends_a_coroutine(simulated: Simulated) -> None:
    async def main() -> ExitReason:
        process = spawn(forever())
        await asyncio.sleep(0)
        process.exit(SHUTDOWN)
        return (await monitor(process)).reason

    assert simulated(main()) == SHUTDOWN


def test_normal_signal_is_ignored(simulated: Simulated) -> None:
    async def main() -> bool:
        process = spawn(forever())
        process.exit(NORMAL)
        await simulation.advance(1)
        return process.alive

    assert simulated(main())


@pytest.mark.parametrize("body", [forever, swallows_cancellation])
def test_kill_cannot_be_trapped(body: Callable[[], Any], simulated: Simulated) -> None:
    async def main() -> tuple[ExitReason | None, int]:
        process = spawn(body())
        await asyncio.sleep(0)
        process.exit(SHUTDOWN)
        process.exit(KILL)
        reason = process.reason
        await simulation.advance(1)
        return reason, len(asyncio.all_tasks())

    assert simulated(main()) == (KILLED, 1)


def test_coroutine_that_kills_itself_is_killed(simulated: Simulated) -> None:
    async def main() -> ExitReason:
        async def suicidal() -> None:
            process.exit(KILL)
            await asyncio.Event().wait()

        process = spawn(suicidal())
        return (await monitor(process)).reason

    assert simulated(main()) == KILLED


def test_coroutine_that_refuses_to_close_is_told_of(simulated: Simulated) -> None:
    """It may go on; but its supervisor does not wait for it, and says what it is."""

    async def main() -> ExitReason | None:
        released = False

        async def swallows_everything() -> None:
            while not released:
                try:
                    await asyncio.Event().wait()
                except BaseException:  # noqa: BLE001
                    continue

        process = spawn(swallows_everything())
        await asyncio.sleep(0)
        process.exit(KILL)
        released = True
        return process.reason

    assert simulated(main()) == ExitReason("killed", "unkillable")


def test_monitor_of_the_dead_says_noproc(simulated: Simulated) -> None:
    async def main() -> ExitReason:
        process = spawn(ends())
        await monitor(process)
        return (await monitor(process)).reason

    assert simulated(main()) == NOPROC


def test_monitor_can_be_cancelled(simulated: Simulated) -> None:
    async def main() -> object:
        process = spawn(forever())
        watching = monitor(process)
        watching.cancel()
        process.exit(KILL)
        return watching.down

    assert simulated(main()) is None


def test_abnormal_end_reaches_whom_it_is_linked_to(simulated: Simulated) -> None:
    """Killed, the other sees `killed`, which is no kill signal any more."""

    async def main() -> list[ExitReason]:
        one, other, third = spawn(forever()), spawn(forever()), spawn(forever())
        link(one, other)
        link(other, third)
        await asyncio.sleep(0)
        one.exit(KILL)
        return [
            (await monitor(third)).reason,
            *[each.reason for each in (one, other) if each.reason],
        ]

    assert simulated(main()) == [KILLED, KILLED, KILLED]


def test_normal_end_does_not_reach_a_link(simulated: Simulated) -> None:
    async def main() -> bool:
        other = spawn(forever())
        link(spawn(ends()), other)
        await simulation.advance(1)
        return other.alive

    assert simulated(main())


def test_a_process_lives_though_nobody_holds_it(simulated: Simulated) -> None:
    ended: list[str] = []

    async def waits() -> None:
        try:
            await forever()
        finally:
            ended.append("closed")

    async def main() -> list[str]:
        spawn(waits())
        await simulation.advance(1)
        gc.collect()
        return list(ended)

    assert simulated(main()) == []


def test_unlinked_is_not_reached(simulated: Simulated) -> None:
    async def main() -> bool:
        one, other = spawn(forever()), spawn(forever())
        link(one, other)
        unlink(other, one)
        one.exit(KILL)
        await simulation.advance(1)
        return other.alive

    assert simulated(main())


def test_link_to_the_dead_sends_noproc(simulated: Simulated) -> None:
    async def main() -> ExitReason:
        dead, living = ForeignProcess(), spawn(forever())
        dead.finish(NORMAL)
        await asyncio.sleep(0)
        link(living, dead)
        return (await monitor(living)).reason

    assert simulated(main()) == NOPROC


class Trapping:
    trap_exit = True

    def __init__(self) -> None:
        self.state: list[Any] = []

    def handle(self, message: Any) -> list[Any]:
        self.state.append(message)
        return self.state


def test_trapped_exits_arrive_as_messages(simulated: Simulated) -> None:
    """Also `normal` and `killed`; they keep the order in which one process sent them."""

    async def main() -> list[Any]:
        process = await spawn_actor(Trapping)
        ended, killed = spawn(ends()), spawn(forever())
        link(process, ended)
        link(process, killed)
        await monitor(ended)
        killed.exit(KILL)
        answer = await process.call("ask")
        process.exit(KILL)
        return [one.reason if isinstance(one, Exit) else one for one in answer]

    assert simulated(main()) == [NORMAL, KILLED, "ask"]
