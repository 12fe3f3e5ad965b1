"""Actors: a mailbox, a state, and what OTP's `sys` does to them."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from poolproof import simulation
from poolproof.supervision import (
    KILL,
    SHUTDOWN,
    ActorProcess,
    ChildSpec,
    ExitWith,
    GoneError,
    MailboxFullError,
    NoAnswerError,
    SupervisorSpec,
    Traced,
    actor,
    monitor,
    replace_state,
    resume,
    running,
    spawn,
    spawn_actor,
    start_supervisor,
    state,
    suspend,
    trace,
)
from poolproof.supervision.answers import StartError

pytestmark = pytest.mark.unit

Simulated = Callable[..., Any]


class Counter:
    def __init__(self, first: int = 0) -> None:
        self.state = first

    def handle(self, message: Any) -> Any:
        match message:
            case "add":
                self.state += 1
                return self.state
            case "stop":
                raise ExitWith(SHUTDOWN)
            case "crash":
                raise ValueError("crash")
            case _:
                return message


class Slow:
    async def handle(self, seconds: float) -> str:
        await simulation.advance(seconds)
        return "done"


def test_call_returns_what_handle_returns(simulated: Simulated) -> None:
    async def main() -> list[int]:
        process = await spawn_actor(Counter, 5)
        process.cast("add")
        answers = await asyncio.gather(*[process.call("add") for _ in range(3)])
        process.exit(KILL)
        return answers

    assert simulated(main()) == [7, 8, 9]


@pytest.mark.parametrize(
    ("message", "reason"), [("stop", "shutdown"), ("crash", "error(ValueError: crash)")]
)
def test_end_while_asked_is_told_to_the_asker(
    message: str, reason: str, simulated: Simulated
) -> None:
    async def main() -> str:
        process = await spawn_actor(Counter)
        with pytest.raises(GoneError) as gone:
            await process.call(message)
        return str(gone.value.reason)

    assert simulated(main()) == reason


def test_ended_actor_answers_noproc_and_swallows_casts(simulated: Simulated) -> None:
    async def main() -> None:
        process = await spawn_actor(Counter)
        process.exit(KILL)
        process.cast("add")
        with pytest.raises(GoneError, match=r"noproc$"):
            await process.call("add")
        with pytest.raises(GoneError):
            await state(process)

    simulated(main())


def test_call_has_a_limit(simulated: Simulated) -> None:
    async def main() -> Any:
        process = await spawn_actor(Slow)
        with pytest.raises(NoAnswerError, match=r"within 5 s"):
            await process.call(60)
        answer = await process.call(1, timeout=100)
        process.exit(KILL)
        return answer

    assert simulated(main()) == "done"


def test_mailbox_has_a_limit(simulated: Simulated) -> None:
    async def main() -> None:
        async with running(
            SupervisorSpec(children=[ChildSpec(id="a", start=actor(Slow, mailbox_limit=3))])
        ) as supervisor:
            process = (await supervisor.which_children())[0].process
            assert isinstance(process, ActorProcess)
            await suspend(process)
            for _ in range(3):
                process.cast(1)
            with pytest.raises(
                MailboxFullError, match=r"^expected fewer than 3 unhandled messages"
            ):
                process.cast(1)

    simulated(main())


def test_suspended_actor_queues_but_serves_system_messages(simulated: Simulated) -> None:
    async def main() -> list[Any]:
        process = await spawn_actor(Counter)
        await suspend(process)
        adding = asyncio.create_task(process.call("add", timeout=100))
        await simulation.advance(10)
        seen = [await state(process), adding.done()]
        await resume(process)
        seen.append(await adding)
        process.exit(KILL)
        return seen

    assert simulated(main()) == [0, False, 1]


def test_state_can_be_replaced(simulated: Simulated) -> None:
    async def main() -> list[int]:
        process = await spawn_actor(Counter, 4)
        new = await replace_state(process, lambda old: old * 10)
        answer = await process.call("add")
        process.exit(KILL)
        return [new, answer]

    assert simulated(main()) == [40, 41]


def test_failing_replacement_changes_nothing(simulated: Simulated) -> None:
    async def main() -> int:
        process = await spawn_actor(Counter, 4)
        with pytest.raises(ZeroDivisionError):
            await replace_state(process, lambda old: old // 0)
        answer: int = await state(process)
        process.exit(KILL)
        return answer

    assert simulated(main()) == 4


def test_behaviour_without_a_state_is_its_own_state(simulated: Simulated) -> None:
    async def main() -> tuple[str, Any]:
        process = await spawn_actor(Slow)
        name = type(await state(process)).__name__
        await replace_state(process, lambda _: Counter(1))
        answer = await process.call("add")
        process.exit(KILL)
        return name, answer

    assert simulated(main()) == ("Slow", 2)


def test_tracer_sees_what_comes_and_goes(simulated: Simulated) -> None:
    seen: list[Traced] = []

    async def main() -> None:
        process = await spawn_actor(Counter)
        await trace(process, seen.append)
        await process.call("add")
        await replace_state(process, lambda _: 9)
        await trace(process, None)
        await process.call("add")
        process.exit(KILL)

    simulated(main())

    assert [(one.event, one.value) for one in seen] == [("in", "add"), ("out", 1), ("state", 9)]


def test_failing_init_is_a_failed_start(simulated: Simulated) -> None:
    class Broken(Counter):
        async def init(self, _: Any) -> None:
            await simulation.advance(1)
            raise ExitWith(SHUTDOWN)

    async def main() -> int:
        with pytest.raises(StartError):
            await start_supervisor(
                SupervisorSpec(children=[ChildSpec(id="a", start=actor(Broken))])
            )
        return len(asyncio.all_tasks())

    assert simulated(main()) == 1


def test_restarted_actor_has_a_fresh_state(simulated: Simulated) -> None:
    async def main() -> int:
        async with running(
            SupervisorSpec(children=[ChildSpec(id="a", start=actor(Counter, 7))])
        ) as supervisor:
            process = (await supervisor.which_children())[0].process
            assert isinstance(process, ActorProcess)
            process.cast("add")
            process.cast("crash")
            await monitor(process)
            again = (await supervisor.which_children())[0].process
            assert again is not None
            answer: int = await state(again)
            return answer

    assert simulated(main()) == 7


def test_coroutines_serve_no_system_messages(simulated: Simulated) -> None:
    async def main() -> None:
        process = spawn(simulation.advance(1))
        with pytest.raises(TypeError, match=r"^expected an actor or a supervisor"):
            await state(process)

    simulated(main())
