"""The events of a tree go to the history, and `poolproof tree` shows them."""

# ruff: noqa: ASYNC240 -- /proc and small files do not block, and processes set no event

import argparse
import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from poolproof.cli import tree as command
from poolproof.errors import UsageError
from poolproof.history import Event
from poolproof.simulation import Schedule
from poolproof.supervision import (
    KILL,
    ChildSpec,
    Scope,
    Supervisor,
    SupervisorSpec,
    history_sink,
    running,
    start_supervisor,
)
from poolproof.supervision.picture import Node, from_history, from_running

pytestmark = pytest.mark.unit

Simulated = Callable[..., Any]


async def forever() -> None:
    await asyncio.Event().wait()


def spec() -> SupervisorSpec:
    below = SupervisorSpec(
        children=[ChildSpec(id="x", start=forever), ChildSpec(id="y", start=forever)]
    )
    return SupervisorSpec(
        children=[
            ChildSpec(id="pool", start=below, type="supervisor"),
            ChildSpec(id="gone", start=forever, restart="temporary"),
            ChildSpec(id="stopped", start=forever),
        ]
    )


def recorded(path: Path, simulated: Simulated, seed: int = 0) -> tuple[Node, bytes]:
    """Run a tree that loses some children, into a history.

    Return its picture and the history before it stopped.
    """

    async def main() -> tuple[Node, bytes]:
        scope = Scope("run")
        with path.open("ab") as file:
            supervisor = await start_supervisor(
                spec(), scope=scope, sink=history_sink(file, scope=scope.token)
            )
            pool = (await supervisor.which_children())[-1].process
            assert isinstance(pool, Supervisor)
            x = (await pool.which_children())[-1].process
            assert x is not None
            x.exit(KILL)
            for name in ("gone", "stopped"):
                await supervisor.terminate_child(name)
            seen = from_running(supervisor), path.read_bytes()
            await supervisor.stop()
            return seen

    seen: tuple[Node, bytes] = simulated(main(), schedule=Schedule(seed=seed))
    return seen


def events(history: bytes) -> list[Event]:
    return [msgspec.json.decode(line, type=Event) for line in history.splitlines()]


def without_exits(node: Node) -> Any:
    below = [without_exits(child) for child in node.children.values()]
    return node.name, node.state, node.restarts, node.type, below


def test_history_and_running_tree_give_the_same_picture(
    tmp_path: Path, simulated: Simulated
) -> None:
    running_now, history = recorded(tmp_path / "history.jsonl", simulated)

    (from_file,) = from_history(events(history))

    pool: Any = (
        "pool",
        "running",
        0,
        "supervisor",
        [("x", "running", 1, "worker", []), ("y", "running", 0, "worker", [])],
    )
    expected = ("root", "running", 0, "supervisor", [pool, ("stopped", "stopped", 0, "worker", [])])
    assert without_exits(running_now) == expected
    assert without_exits(from_file) == expected
    assert from_file.children["pool"].children["x"].last_exit == "killed"


def test_line_has_the_offender_fields(tmp_path: Path, simulated: Simulated) -> None:
    _, history = recorded(tmp_path / "history.jsonl", simulated)

    (killed,) = [event for event in events(history) if event.data["event"] == "child_terminated"]

    assert killed.kind == "tree"
    assert killed.data["supervisor"] == ["root", "pool"]
    assert killed.data["reason"] == "killed"
    offender = killed.data["offender"]
    assert isinstance(offender.pop("pid"), int)
    assert offender == {
        "id": "x",
        "os_pid": None,
        "start": "forever",
        "restart": "permanent",
        "significant": False,
        "shutdown": 5.0,
        "type": "worker",
    }


@pytest.mark.parametrize("place", ["history.jsonl", "."])
def test_command_prints_the_tree(
    place: str, tmp_path: Path, simulated: Simulated, capsys: pytest.CaptureFixture[str]
) -> None:
    recorded(tmp_path / "history.jsonl", simulated)
    with (tmp_path / "history.jsonl").open("ab") as file:
        file.write(b'{"torn')
    parser = argparse.ArgumentParser()
    command.add_parser(parser.add_subparsers())

    arguments = parser.parse_args(["tree", str(tmp_path / place)])
    status = arguments.run(arguments)

    printed = capsys.readouterr().out
    assert status == 0
    assert "root  ended  last exit shutdown" in printed
    assert "x  stopped  restarts 1  last exit shutdown" in printed


def test_history_without_a_tree_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "history.jsonl").write_bytes(b"")

    with pytest.raises(UsageError, match=r"^expected events of a supervision tree in "):
        command.run(argparse.Namespace(history=tmp_path))


def test_missing_history_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"^expected a history file, got "):
        command.run(argparse.Namespace(history=tmp_path / "none"))


def test_two_trees_of_one_history_are_two_pictures(tmp_path: Path, simulated: Simulated) -> None:
    path = tmp_path / "history.jsonl"
    recorded(path, simulated, seed=1)
    recorded(path, simulated, seed=2)

    assert len(from_history(events(path.read_bytes()))) == 2


def test_picture_of_a_tree_that_runs(simulated: Simulated) -> None:
    async def main() -> list[str]:
        async with running(spec()) as supervisor:
            return list(from_running(supervisor).children)

    assert simulated(main()) == ["pool", "gone", "stopped"]
