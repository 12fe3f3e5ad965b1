"""Supervisors of children that come and go, of partitions, and of tasks."""

# ruff: noqa: FBT001 -- what Hypothesis or a table of parameters draws comes by name

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from poolproof import simulation
from poolproof.errors import UsageError
from poolproof.supervision import (
    KILL,
    ChildSpec,
    DynamicSupervisor,
    DynamicSupervisorSpec,
    PartitionSupervisorSpec,
    RefusedError,
    SpecError,
    StartError,
    SupervisorSpec,
    TaskEndedError,
    TaskSupervisor,
    coroutine,
    monitor,
    running,
    spawn,
    start_dynamic_supervisor,
    start_partition_supervisor,
)
from poolproof.supervision.partition import partition_of

pytestmark = pytest.mark.unit

Simulated = Callable[..., Any]


async def forever(*_: Any) -> None:
    await asyncio.Event().wait()


async def stubborn() -> None:
    while True:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            continue


async def crashes() -> None:
    raise ValueError


def child(start: Any = forever, **fields: Any) -> ChildSpec:
    return ChildSpec(id="same", start=start, **fields)


def test_ids_may_be_the_same(simulated: Simulated) -> None:
    async def main() -> list[Any]:
        supervisor = await start_dynamic_supervisor()
        first, second = [await supervisor.start_child(child()) for _ in range(2)]
        infos = await supervisor.which_children()
        counts = await supervisor.count_children()
        await supervisor.stop()
        return [[info.process for info in infos] == [second, first], infos[0].id, tuple(counts)]

    assert simulated(main()) == [True, None, (2, 2, 0, 2)]


def test_stop_is_parallel(simulated: Simulated, record: Any) -> None:
    """Five stubborn children take as long as the most patient one, not the sum."""

    async def main() -> float:
        supervisor = await start_dynamic_supervisor(sink=record)
        for seconds in (1, 1, 1, 2, 2):
            await supervisor.start_child(child(stubborn, shutdown=seconds))
        await supervisor.start_child(child(stubborn, shutdown="brutal_kill"))
        await supervisor.start_child(child())
        await asyncio.sleep(0)
        begun = asyncio.get_running_loop().time()
        await supervisor.stop()
        return round(asyncio.get_running_loop().time() - begun, 6)

    assert simulated(main()) == 2
    assert record.names().count("shutdown_overrun") == 5
    assert record.names().count("shutdown_error") == 5


def test_max_children_is_a_bound(simulated: Simulated) -> None:
    async def main() -> None:
        supervisor = await start_dynamic_supervisor(DynamicSupervisorSpec(max_children=1))
        first = await supervisor.start_child(child())
        with pytest.raises(RefusedError, match=r"^max_children"):
            await supervisor.start_child(child())
        assert first is not None
        await supervisor.terminate_child(first)
        await supervisor.start_child(child())
        await supervisor.stop()

    simulated(main())


def test_children_are_addressed_by_process(simulated: Simulated) -> None:
    async def main() -> list[str]:
        supervisor = await start_dynamic_supervisor()
        process = await supervisor.start_child(child())
        assert process is not None
        assert (await supervisor.get_childspec(process)).id == "same"
        refused: list[str] = []
        for asking in (
            supervisor.terminate_child("same"),  # type: ignore[arg-type]
            supervisor.terminate_child(spawn(asyncio.sleep(0))),
            supervisor.restart_child("same"),
            supervisor.delete_child("same"),
        ):
            with pytest.raises(RefusedError) as one:
                await asking
            refused.append(one.value.answer)
        await supervisor.stop()
        return refused

    assert simulated(main()) == [
        "simple_one_for_one",
        "not_found",
        "simple_one_for_one",
        "simple_one_for_one",
    ]


def test_crashed_child_is_restarted_and_a_normal_end_is_forgotten(simulated: Simulated) -> None:
    async def main() -> list[int]:
        supervisor = await start_dynamic_supervisor(DynamicSupervisorSpec(max_restarts=5))
        process = await supervisor.start_child(child())
        assert process is not None
        process.exit(KILL)
        await asyncio.sleep(0)
        counts = [(await supervisor.count_children()).active]
        await supervisor.start_child(child(coroutine(asyncio.sleep, 0), restart="transient"))
        await simulation.advance(1)
        counts.append((await supervisor.count_children()).specs)
        await supervisor.stop()
        return counts

    assert simulated(main()) == [1, 1]


def test_too_many_crashes_end_it(simulated: Simulated, record: Any) -> None:
    async def main() -> str:
        supervisor = await start_dynamic_supervisor(sink=record)
        await supervisor.start_child(child())
        await supervisor.start_child(child(crashes))
        return str((await monitor(supervisor)).reason)

    assert simulated(main()) == "shutdown"
    assert record.names()[-3:] == ["escalation", "exited", "down"]


def test_failed_start_and_ignore_leave_no_trace(simulated: Simulated) -> None:
    class Starter:
        def __init__(self, failure: Exception | None) -> None:
            self.failure = failure

        def start(self, _: Any, __: Any) -> None:
            if self.failure:
                raise self.failure

    async def main() -> int:
        supervisor = await start_dynamic_supervisor()
        assert await supervisor.start_child(child(Starter(None))) is None
        with pytest.raises(StartError):
            await supervisor.start_child(child(Starter(ValueError())))
        with pytest.raises(SpecError):
            await supervisor.start_child(child(5))
        specs = (await supervisor.count_children()).specs
        await supervisor.stop()
        return specs

    assert simulated(main()) == 0


def test_dynamic_supervisor_has_one_strategy() -> None:
    problems = DynamicSupervisorSpec(
        strategy="one_for_all", auto_shutdown="any_significant", max_children=-1
    ).problems()

    assert [problem.where for problem in problems] == [
        "supervisor.strategy",
        "supervisor.auto_shutdown",
        "supervisor.max_children",
    ]


def test_dynamic_supervisor_lives_in_a_tree(simulated: Simulated) -> None:
    async def main() -> bool:
        below = ChildSpec(id="d", start=DynamicSupervisorSpec(), type="supervisor")
        async with running(SupervisorSpec(children=[below])) as supervisor:
            dynamic = (await supervisor.which_children())[0].process
            assert isinstance(dynamic, DynamicSupervisor)
            process = await dynamic.start_child(child())
        return process is not None and not process.alive

    assert simulated(main())


def test_partitions_are_routed_by_key(simulated: Simulated) -> None:
    async def main() -> list[bool]:
        supervisor = await start_partition_supervisor(
            PartitionSupervisorSpec(child=child(), partitions=3)
        )
        infos = {info.id: info.process for info in await supervisor.which_children()}
        found = [
            supervisor.route(4) is infos[1],
            supervisor.route("x") is supervisor.route("x"),
            len(infos) == 3,
        ]
        await supervisor.terminate_child(1)
        with pytest.raises(RefusedError, match=r"^not_found"):
            supervisor.route(1)
        await supervisor.stop()
        return found

    assert simulated(main()) == [True, True, True]


def test_partition_of_a_key_is_the_same_everywhere() -> None:
    """It must not depend on the hash seed of the process."""
    assert [partition_of(key, 16) for key in ("a", ("b", 1), -1)] == [10, 5, 15]


def test_each_partition_may_have_its_arguments(simulated: Simulated) -> None:
    started: list[int] = []

    async def numbered(number: int) -> None:
        started.append(number)
        await asyncio.Event().wait()

    async def main() -> None:
        spec = PartitionSupervisorSpec(
            child=child(),
            partitions=2,
            with_arguments=lambda spec, number: replace(
                spec, start=coroutine(numbered, number * 10)
            ),
        )
        below = ChildSpec(id="p", start=spec, type="supervisor")
        async with running(SupervisorSpec(children=[below])):
            await simulation.advance(1)

    simulated(main())

    assert started == [0, 10]


def test_partitions_must_be_some() -> None:
    assert len(PartitionSupervisorSpec(child=child(), partitions=0).problems()) == 1


async def double(number: float) -> float:
    await simulation.advance(number)
    if number == 3:
        raise ValueError("three")
    return number * 2


def tasks(body: Callable[[TaskSupervisor], Any]) -> Any:
    async def main() -> Any:
        supervisor = await start_dynamic_supervisor()
        try:
            return await body(TaskSupervisor(supervisor))
        finally:
            left = await supervisor.count_children()
            await supervisor.stop()
            assert left.specs == 0

    return main()


def test_task_gives_its_result(simulated: Simulated) -> None:
    async def body(supervisor: TaskSupervisor) -> Any:
        return await (await supervisor.run(double, 2))

    assert simulated(tasks(body)) == 4


def test_failed_task_gives_its_own_exception(simulated: Simulated) -> None:
    async def body(supervisor: TaskSupervisor) -> None:
        with pytest.raises(ValueError, match=r"^three$"):
            await (await supervisor.run(double, 3))

    simulated(tasks(body))


def test_killed_task_gives_its_reason(simulated: Simulated) -> None:
    async def body(supervisor: TaskSupervisor) -> None:
        handle = await supervisor.run(double, 5)
        handle.process.exit(KILL)
        with pytest.raises(TaskEndedError, match=r"killed$"):
            await handle

    simulated(tasks(body))


def test_linked_task_shares_its_fate(simulated: Simulated) -> None:
    async def body(supervisor: TaskSupervisor) -> bool:
        caller = spawn(forever())
        await asyncio.sleep(0)
        handle = await supervisor.run(double, 3, link=caller)
        await monitor(handle.process)
        await asyncio.sleep(0)
        return caller.alive

    assert simulated(tasks(body)) is False


@pytest.mark.parametrize(("ordered", "expected"), [(True, [5, 1, 3, 2]), (False, [1, 3, 5, 2])])
def test_stream_yields_each_outcome(
    ordered: bool, expected: list[float], simulated: Simulated
) -> None:
    async def body(supervisor: TaskSupervisor) -> list[Any]:
        stream = supervisor.stream(
            double, [5, 1, 3, 2], max_concurrency=2, ordered=ordered, timeout=60
        )
        return [outcome async for outcome in stream]

    outcomes = simulated(tasks(body))

    assert [outcome.item for outcome in outcomes] == expected
    assert {outcome.item: outcome.value for outcome in outcomes} == {5: 10, 1: 2, 3: None, 2: 4}
    assert [str(outcome.reason) for outcome in outcomes if outcome.reason] == [
        "error(ValueError: three)"
    ]


def test_stream_runs_no_more_at_once_than_allowed(simulated: Simulated) -> None:
    running_now = highest = 0

    async def counted(_: int) -> None:
        nonlocal running_now, highest
        running_now += 1
        highest = max(highest, running_now)
        await simulation.advance(1)
        running_now -= 1

    async def body(supervisor: TaskSupervisor) -> int:
        return len([one async for one in supervisor.stream(counted, range(10), max_concurrency=3)])

    assert (simulated(tasks(body)), highest) == (10, 3)


def test_stream_kills_what_is_too_slow(simulated: Simulated) -> None:
    async def body(supervisor: TaskSupervisor) -> list[str]:
        stream = supervisor.stream(
            double, [1, 60], max_concurrency=2, timeout=5, on_timeout="kill_task"
        )
        return [str(outcome.reason) async for outcome in stream]

    assert simulated(tasks(body)) == ["None", "error(timeout)"]


def test_stream_ends_at_what_is_too_slow(simulated: Simulated) -> None:
    async def body(supervisor: TaskSupervisor) -> None:
        with pytest.raises(TimeoutError, match=r"^expected a result for 60 within 5 s"):
            async for _ in supervisor.stream(double, [60, 61], max_concurrency=2):
                pass
        await asyncio.sleep(0)

    simulated(tasks(body))


def test_stream_needs_some_concurrency(simulated: Simulated) -> None:
    async def body(supervisor: TaskSupervisor) -> None:
        with pytest.raises(UsageError, match=r"^expected max_concurrency >= 1, got 0$"):
            async for _ in supervisor.stream(double, [1], max_concurrency=0):
                pass

    simulated(tasks(body))
