"""The command `poolproof tree`.

The supervision trees of a running or recorded run, with restarts and states.
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from poolproof.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.tree import Tree

    from poolproof.history import Event
    from poolproof.supervision.picture import Node

_COLOURS = {
    "running": "green",
    "restarting": "yellow",
    "stopped": "red",
    "ended": "red",
    "unknown": "dim",
}


def add_parser(subparsers: Any) -> None:
    """Add the command and its arguments."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "tree", help="show the supervision trees of a running or recorded run"
    )
    parser.add_argument(
        "history", type=Path, help="the run's history file, or the directory that has history.jsonl"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print each tree as it is at the end of what has been recorded so far.

    Raises:
        UsageError: there is no such history, or it tells of no tree.
    """
    from rich.console import Console  # noqa: PLC0415 (late: only this command needs it)

    from poolproof.supervision.picture import from_history  # noqa: PLC0415 (as above)

    path: Path = arguments.history
    path = path / "history.jsonl" if path.is_dir() else path
    roots = from_history(_events(path))
    if not roots:
        raise UsageError(
            f"expected events of a supervision tree in {path}, got none; "
            "was it run with a history sink?"
        )
    console = Console()
    for tree in pictures(roots):
        console.print(tree)
    return 0


def _events(path: Path) -> "Sequence[Event]":
    import msgspec  # noqa: PLC0415 (late, as above)

    from poolproof.history import Event  # noqa: PLC0415 (as above)

    decoder = msgspec.json.Decoder(Event)
    events: list[Event] = []
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise UsageError(f"expected a history file, got {error}") from error
    for line in lines:
        try:
            events.append(decoder.decode(line))
        except msgspec.DecodeError:
            # The last line of a run that goes on may be torn; others are no events.
            continue
    return sorted(events, key=lambda event: event.t)


def pictures(roots: "Sequence[Node]") -> "list[Tree]":
    """Return what rich prints for each tree."""
    from rich.tree import Tree  # noqa: PLC0415 (late, as above)

    trees: list[Tree] = []
    for root in roots:
        tree = Tree(_label(root))
        _grow(tree, root)
        trees.append(tree)
    return trees


def _grow(tree: "Tree", node: "Node") -> None:
    for child in node.children.values():
        _grow(tree.add(_label(child)), child)


def _label(node: "Node") -> str:
    from rich.markup import escape  # noqa: PLC0415 (late, as above)

    parts = [
        f"[bold]{escape(node.name)}[/bold]" if node.type == "supervisor" else escape(node.name)
    ]
    parts.append(f"[{_COLOURS.get(node.state, 'dim')}]{node.state}[/]")
    if node.pid is not None:
        parts.append(f"[dim]#{node.pid}[/dim]")
    if node.restarts:
        parts.append(f"restarts {node.restarts}")
    if node.last_exit:
        parts.append(f"[dim]last exit {escape(node.last_exit)}[/dim]")
    return "  ".join(parts)
