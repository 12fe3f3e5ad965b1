"""Trees for tests.

They never meet, roll back alone, and survive the kills that they are told of.
"""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from poolproof.supervision import (
    KILL,
    ChildSpec,
    IsolatedSupervisor,
    Registry,
    Scope,
    StartError,
    SupervisorSpec,
    preflight,
    restarts_needed,
    start_isolated_supervisor,
)
from poolproof.supervision.preflight import kills_in_a_window

pytestmark = pytest.mark.unit

Simulated = Callable[..., Any]


async def forever() -> None:
    await asyncio.Event().wait()


def children(number: int) -> list[ChildSpec]:
    return [ChildSpec(id=f"worker_{index}", start=forever) for index in range(number)]


async def processes(tree: IsolatedSupervisor) -> dict[Any, Any]:
    return {info.id: info.process for info in await tree.supervisor.which_children()}


def test_a_hundred_side_by_side_do_not_meet(simulated: Simulated) -> None:
    """The same label, ids and names in each; every second one loses all its children."""

    async def main() -> list[Any]:
        trees = [await start_isolated_supervisor(children(3), max_restarts=3) for _ in range(100)]
        before = [await processes(tree) for tree in trees]
        for tree, mine in zip(trees, before, strict=True):
            tree.registry.register(tree.name("pool", 1), mine["worker_1"])
        for mine in before[::2]:
            for process in mine.values():
                process.exit(KILL)
        await asyncio.sleep(0)
        after = [await processes(tree) for tree in trees]
        holders = [tree.registry.lookup(tree.name("pool", 1)) for tree in trees]
        for tree in trees:
            await tree.stop()
        return [
            len({tree.scope.token for tree in trees}),
            before[1::2] == after[1::2],
            holders
            == [None if index % 2 == 0 else mine["worker_1"] for index, mine in enumerate(before)],
            len(asyncio.all_tasks()),
        ]

    assert simulated(main()) == [100, True, True, 1]


def test_kill_of_sixty_percent_is_survived_where_it_was_announced(simulated: Simulated) -> None:
    async def main() -> list[int]:
        needed = restarts_needed(10, kill_share=0.6)
        async with await start_isolated_supervisor(children(10), max_restarts=needed) as tree:
            for process in list((await processes(tree)).values())[:6]:
                process.exit(KILL)
            await asyncio.sleep(0)
            return [needed, (await tree.supervisor.count_children()).active]

    assert simulated(main()) == [6, 10]


def test_intensity_has_no_default() -> None:
    with pytest.raises(TypeError, match=r"max_restarts"):
        asyncio.run(start_isolated_supervisor([]))  # type: ignore[call-arg]


def test_failing_start_rolls_back_only_itself(simulated: Simulated) -> None:
    class Broken:
        def start(self, _: Any, __: Any) -> None:
            raise ValueError("no")

    async def main() -> list[Any]:
        async with await start_isolated_supervisor(children(2), max_restarts=1) as other:
            with pytest.raises(StartError):
                await start_isolated_supervisor(
                    [*children(2), ChildSpec(id="bad", start=Broken())], max_restarts=1
                )
            return [other.reason, len(asyncio.all_tasks())]

    assert simulated(main()) == [None, 3]


def test_stop_can_be_repeated_and_comes_after_a_crash(simulated: Simulated) -> None:
    async def main() -> str:
        tree = await start_isolated_supervisor(children(1), max_restarts=0)
        (process,) = (await processes(tree)).values()
        process.exit(KILL)
        await tree.stop()
        await tree.stop()
        return str(tree.reason)

    assert simulated(main()) == "shutdown"


def test_registry_can_be_handed_to_children(simulated: Simulated) -> None:
    async def main() -> bool:
        registry = Registry(Scope("mine"))
        async with await start_isolated_supervisor([], max_restarts=0, registry=registry) as tree:
            return tree.scope is registry.scope

    assert simulated(main())


def tree(number: int, **policy: Any) -> SupervisorSpec:
    return SupervisorSpec(children=children(number), **policy)


def test_preflight_warns_of_every_supervisor_that_must_end() -> None:
    below = tree(10, max_restarts=3)
    root = SupervisorSpec(
        children=[ChildSpec(id="pool", start=below, type="supervisor")], max_restarts=9
    )

    (warning,) = preflight(root, kill_share=0.6, within=1)

    assert str(warning) == (
        "root/pool: expected at most 3 restarts in 5 s, got at least 6 by this scenario: "
        "the tree must end; raise max_restarts to 6"
    )


def test_preflight_is_content_with_a_sufficient_intensity() -> None:
    assert preflight(tree(10, max_restarts=6), kill_share=0.6, within=1) == []


@pytest.mark.parametrize(
    ("kills", "within", "expected"),
    [(6, 1, 6), (6, 5, 6), (60, 50, 7), (60, 60, 6), (0, 1, 0), (2, 1000, 1)],
)
def test_kills_that_must_share_a_window(kills: int, within: float, expected: int) -> None:
    assert kills_in_a_window(kills, within=within, max_seconds=5) == expected


def test_children_that_are_not_restarted_do_not_count() -> None:
    temporary = [ChildSpec(id=index, start=forever, restart="temporary") for index in range(10)]

    assert preflight(SupervisorSpec(children=temporary), kill_share=1, within=1) == []
