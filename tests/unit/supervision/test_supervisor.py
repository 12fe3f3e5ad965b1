"""What the recordings cannot show: containment, clocks, pauses, requests without an answer."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from poolproof import simulation
from poolproof.supervision import (
    KILL,
    KILLED,
    Backoff,
    ChildSpec,
    GoneError,
    NoAnswerError,
    RefusedError,
    StartError,
    Supervisor,
    SupervisorSpec,
    TreeEvent,
    actor,
    coroutine,
    monitor,
    running,
    start_supervisor,
    state,
    suspend,
    unlink,
)

pytestmark = pytest.mark.unit

Simulated = Callable[..., Any]


async def forever() -> None:
    await asyncio.Event().wait()


async def stubborn() -> None:
    while True:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            continue


async def crashes() -> None:
    raise ValueError


def one(start: Any, **fields: Any) -> SupervisorSpec:
    return SupervisorSpec(children=[ChildSpec(id="a", start=start, **fields)], max_restarts=1000)


def test_killed_supervisor_orphans_nothing(simulated: Simulated) -> None:
    """OTP orphans a child that traps and ignores; here its patience runs out."""

    async def main() -> int:
        below = SupervisorSpec(children=[ChildSpec(id="deep", start=stubborn, shutdown=1)])
        spec = SupervisorSpec(
            children=[
                ChildSpec(id="a", start=stubborn, shutdown=2),
                ChildSpec(id="b", start=stubborn, shutdown="infinity"),
                ChildSpec(id="c", start=below, type="supervisor"),
            ]
        )
        supervisor = await start_supervisor(spec)
        await asyncio.sleep(0)
        supervisor.exit(KILL)
        await simulation.advance(60)
        return len(asyncio.all_tasks())

    assert simulated(main()) == 1


def test_crashed_supervisor_orphans_nothing(simulated: Simulated) -> None:
    """Its own sink raises: it ends with that error, and its children with it."""

    def raises(event: TreeEvent) -> None:
        if event.name == "child_terminated":
            raise RuntimeError("full")

    async def main() -> tuple[str, int]:
        spec = SupervisorSpec(
            children=[
                ChildSpec(id="a", start=stubborn, shutdown=1),
                ChildSpec(id="b", start=crashes),
            ]
        )
        supervisor = await start_supervisor(spec, sink=raises)
        reason = (await monitor(supervisor)).reason
        await simulation.advance(10)
        return str(reason), len(asyncio.all_tasks())

    assert simulated(main()) == ("error(RuntimeError: full)", 1)


def test_failed_start_leaves_nothing(simulated: Simulated) -> None:
    async def never_up(_: Any) -> None:
        await asyncio.Event().wait()

    async def main() -> int:
        late = coroutine(never_up, announces=True, start_timeout=1)
        spec = SupervisorSpec(
            children=[ChildSpec(id="a", start=forever), ChildSpec(id="b", start=late)]
        )
        with pytest.raises(
            StartError,
            match=r"^expected 'root' to start, got shutdown\(.*'failed_to_start_child', 'b'",
        ):
            await start_supervisor(spec)
        return len(asyncio.all_tasks())

    assert simulated(main()) == 1


def test_announced_child_is_up_before_the_next_one_starts(simulated: Simulated) -> None:
    order: list[str] = []

    async def slow(up: Callable[[], None], name: str) -> None:
        await simulation.advance(1)
        order.append(name)
        up()
        await asyncio.Event().wait()

    async def main() -> list[str]:
        children = [
            ChildSpec(id=name, start=coroutine(slow, name, announces=True)) for name in "ab"
        ]
        async with running(SupervisorSpec(children=children)):
            return [*order, "all up"]

    assert simulated(main()) == ["a", "b", "all up"]


def test_killed_while_a_child_comes_up_leaves_nothing(simulated: Simulated) -> None:
    async def never_up(_: Any) -> None:
        await asyncio.Event().wait()

    async def main() -> int:
        supervisor = await start_supervisor(SupervisorSpec())
        starting = asyncio.create_task(
            supervisor.start_child(ChildSpec(id="a", start=coroutine(never_up, announces=True)))
        )
        await simulation.advance(1)
        supervisor.exit(KILL)
        with pytest.raises(GoneError):
            await starting
        await simulation.advance(1)
        return len(asyncio.all_tasks())

    assert simulated(main()) == 1


def test_child_that_unlinked_is_never_noticed(simulated: Simulated, record: Any) -> None:
    """Rule 25; but stopping the supervisor does not hang on it, rule 19."""

    async def main() -> list[str]:
        supervisor = await start_supervisor(one(forever), sink=record)
        child = (await supervisor.which_children())[0].process
        assert child is not None
        unlink(child, supervisor)
        child.exit(KILL)
        await simulation.advance(1)
        counts = await supervisor.count_children()
        await supervisor.stop()
        return [str(counts.active), *record.names("a")]

    assert simulated(main()) == ["0", "progress", "shutdown_error"]


def test_backoff_grows_and_ends_at_its_maximum(simulated: Simulated, record: Any) -> None:
    async def main() -> list[float]:
        spec = SupervisorSpec(
            children=[ChildSpec(id="a", start=crashes)],
            max_restarts=5,
            max_seconds=60,
            backoff=Backoff(initial=1, maximum=4),
        )
        await monitor(await start_supervisor(spec, sink=record))
        return [event.t_ns / 1e9 for event in record if event.name == "progress"]

    assert simulated(main()) == [0, 1, 3, 7, 11, 15]


def test_no_backoff_by_default(simulated: Simulated, record: Any) -> None:
    async def main() -> set[int]:
        spec = SupervisorSpec(children=[ChildSpec(id="a", start=crashes)], max_restarts=5)
        await monitor(await start_supervisor(spec, sink=record))
        return {event.t_ns for event in record}

    assert len(simulated(main())) == 1


def test_child_in_a_pause_can_be_terminated(simulated: Simulated) -> None:
    async def main() -> list[str]:
        spec = SupervisorSpec(
            children=[ChildSpec(id="a", start=crashes)],
            backoff=Backoff(initial=5, maximum=5),
            max_restarts=5,
        )
        async with running(spec) as supervisor:
            await simulation.advance(1)
            before = (await supervisor.which_children())[0].status
            await supervisor.terminate_child("a")
            await simulation.advance(10)
            return [before, (await supervisor.which_children())[0].status]

    assert simulated(main()) == ["restarting", "stopped"]


def test_nobody_is_answered_while_a_child_is_stopped(simulated: Simulated) -> None:
    """Rule 24."""

    async def main() -> tuple[float, bool]:
        loop = asyncio.get_running_loop()
        supervisor = await start_supervisor(one(stubborn, shutdown=3))
        await asyncio.sleep(0)
        stopping = asyncio.create_task(supervisor.terminate_child("a"))
        await asyncio.sleep(0)
        begun = loop.time()
        await supervisor.which_children()
        waited, done = loop.time() - begun, stopping.done()
        await supervisor.stop()
        return round(waited, 6), done

    assert simulated(main()) == (3, True)


def test_request_without_an_answer_says_so_and_is_dropped(simulated: Simulated) -> None:
    async def main() -> list[Any]:
        supervisor = await start_supervisor(one(forever))
        await suspend(supervisor)
        with pytest.raises(NoAnswerError, match=r"within 2 s, got none"):
            await supervisor.terminate_child("a", timeout=2)
        status = (await state(supervisor))["a"][0]
        await supervisor.stop()
        return [status, supervisor.alive]

    assert simulated(main()) == ["running", False]


def test_ended_supervisor_answers_gone(simulated: Simulated) -> None:
    async def main() -> None:
        supervisor = await start_supervisor(one(forever))
        await supervisor.stop()
        await supervisor.stop()
        with pytest.raises(GoneError, match=r"noproc$"):
            await supervisor.which_children()

    simulated(main())


def test_request_that_waits_when_the_supervisor_ends_is_answered_gone(simulated: Simulated) -> None:
    async def main() -> None:
        supervisor = await start_supervisor(one(forever))
        await suspend(supervisor)
        asking = asyncio.create_task(supervisor.which_children())
        await asyncio.sleep(0)
        supervisor.exit(KILL)
        with pytest.raises(GoneError, match=r"killed$"):
            await asking

    simulated(main())


def test_refusal_carries_the_process_that_is_there(simulated: Simulated) -> None:
    async def main() -> bool:
        async with running(one(forever)) as supervisor:
            child = (await supervisor.which_children())[0].process
            with pytest.raises(RefusedError) as refused:
                await supervisor.start_child(ChildSpec(id="a", start=forever))
            return (refused.value.answer, refused.value.process) == ("already_started", child)

    assert simulated(main())


def test_child_may_require_what_was_started_before(simulated: Simulated) -> None:
    async def main() -> list[Any]:
        async with running(one(forever)) as supervisor:
            await supervisor.start_child(ChildSpec(id="b", start=forever, requires=("a",)))
            return [info.id for info in await supervisor.which_children()]

    assert simulated(main()) == ["b", "a"]


def test_childspec_is_found_by_id_and_by_process(simulated: Simulated) -> None:
    async def main() -> bool:
        async with running(one(forever)) as supervisor:
            child = (await supervisor.which_children())[0].process
            with pytest.raises(RefusedError, match=r"^not_found"):
                await supervisor.get_childspec("x")
            return await supervisor.get_childspec("a") is await supervisor.get_childspec(child)

    assert simulated(main())


def test_endless_restarts_leave_others_their_turn(simulated: Simulated) -> None:
    """A start that always fails, with an intensity that never ends it."""

    class Broken:
        starts = 0

        def start(self, parent: Any, _: Any) -> Any:
            self.starts += 1
            if self.starts > 1:
                raise ValueError
            return coroutine(crashes).start(parent, "a")

    async def main() -> bool:
        spec = SupervisorSpec(children=[ChildSpec(id="a", start=Broken())], max_restarts=10**9)
        supervisor: Supervisor = await start_supervisor(spec)
        for _ in range(50):
            await asyncio.sleep(0)
        (info,) = await supervisor.which_children()
        await supervisor.terminate_child("a")
        await supervisor.stop()
        return info.status == "restarting"

    assert simulated(main())


def test_two_trees_of_one_spec_do_not_meet(simulated: Simulated) -> None:
    async def main() -> bool:
        spec = one(forever)
        async with running(spec) as left, running(spec) as right:
            (mine,), (theirs,) = await left.which_children(), await right.which_children()
            assert mine.process
            mine.process.exit(KILL)
            await simulation.advance(1)
            after = (await right.which_children())[0].process
            return theirs.process is after and left.scope != right.scope

    assert simulated(main())


def test_actor_cleans_up_within_its_patience(simulated: Simulated) -> None:
    seen: list[str] = []

    class Tidy:
        trap_exit = True

        def handle(self, _: Any) -> None:
            """Do nothing."""

        async def terminated(self, reason: Any) -> None:
            await simulation.advance(1)
            seen.append(str(reason))

    async def main() -> None:
        async with running(one(actor(Tidy))):
            pass

    simulated(main())

    assert seen == ["shutdown"]


def test_killed_is_not_killed_twice(simulated: Simulated, record: Any) -> None:
    """Brutal kill: no request to stop, reason `killed`, no report."""

    async def main() -> None:
        async with running(one(stubborn, shutdown="brutal_kill"), sink=record):
            await asyncio.sleep(0)

    simulated(main())

    assert [(event.name, event.reason) for event in record if event.offender][1:] == [
        ("exited", KILLED)
    ]


def test_start_that_ends_its_own_supervisor_leaves_nothing(simulated: Simulated) -> None:
    class Patricide:
        def start(self, parent: Any, child_id: Any) -> Any:
            process = coroutine(forever).start(parent, child_id)
            parent.exit(KILL)
            return process

    async def main() -> tuple[str, int]:
        supervisor = await start_supervisor(SupervisorSpec())
        with pytest.raises(GoneError):
            await supervisor.start_child(ChildSpec(id="a", start=Patricide()))
        await simulation.advance(1)
        return str(supervisor.reason), len(asyncio.all_tasks())

    assert simulated(main()) == ("killed", 1)


@pytest.mark.parametrize("message", [None, "hello", 5])
def test_unexpected_message_is_logged_and_survived(
    message: object, simulated: Simulated, record: Any
) -> None:
    async def main() -> int:
        async with running(one(forever), sink=record) as supervisor:
            supervisor.send(message)
            return (await supervisor.count_children()).active

    assert simulated(main()) == 1
    assert [str(e.reason) for e in record if e.name == "unexpected_message"] == [
        f"normal({message!r})"
    ]


def test_stranger_cannot_stop_a_supervisor(simulated: Simulated) -> None:
    """It traps exits; `stop` is the way from outside."""

    async def main() -> bool:
        async with running(one(forever)) as supervisor:
            supervisor.exit()
            await simulation.advance(1)
            return supervisor.alive

    assert simulated(main())


def test_cancelled_stop_still_ends_everything(simulated: Simulated) -> None:
    """Whoever ends the loop cancels all tasks, also the one in which a supervisor waits."""

    async def main() -> None:
        supervisor = await start_supervisor(one(stubborn, shutdown=3))
        await asyncio.sleep(0)
        stopping = asyncio.create_task(supervisor.stop())
        await simulation.advance(1)
        for task in asyncio.all_tasks() - {asyncio.current_task(), stopping}:
            task.cancel()
        await stopping

    simulated(main())
