"""What a tree looks like: from its recorded events, or from a running supervisor."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from poolproof.history import Event
from poolproof.supervision.shell import Shell


@dataclass(slots=True, kw_only=True)
class Node:
    """One supervisor or child of a picture.

    Attributes:
        name: its id, as text.
        state: `running`, `restarting`, `stopped`, `ended`; `unknown` before anything is heard of
            it.
        restarts: how often it has been restarted.
        last_exit: the reason of its last end, or empty.
        pid: the id of its process: the operating system's if it is one, else a serial number.
        type: `worker` or `supervisor`.
        children: by name, in start order.
    """

    name: str
    state: str = "unknown"
    restarts: int = 0
    last_exit: str = ""
    pid: int | None = None
    type: str = "worker"
    children: dict[str, "Node"] = field(default_factory=dict[str, "Node"])


_ENDS = {
    "exited": "stopped",
    "child_terminated": "ended",
    "start_error": "restarting",
    "shutdown_error": "stopped",
    "escalation": "stopped",
}


def from_history(events: Iterable[Event]) -> list[Node]:
    """Return the roots of all trees that a history tells of, as they were at its end."""
    roots: dict[tuple[str, str], Node] = {}
    for event in events:
        if event.kind == "tree":
            _apply(roots, event.data)
    return list(roots.values())


def _apply(roots: dict[tuple[str, str], Node], data: dict[str, Any]) -> None:
    node = _supervisor(roots, data)
    name = data["event"]
    offender = data.get("offender")
    if offender is None:
        if name in {"up", "down"}:
            node.state = "running" if name == "up" else "ended"
            node.last_exit = data.get("reason", "")
            if name == "up":
                node.children = {
                    child: below
                    for child, below in node.children.items()
                    if below.state == "running"
                }
        return
    child = node.children.setdefault(offender["id"], Node(name=offender["id"]))
    child.type, child.restarts = offender["type"], data.get("restarts", 0)
    if name == "progress":
        child.state, child.pid = "running", offender["os_pid"] or offender["pid"]
    elif name in _ENDS:
        child.state, child.last_exit, child.pid = _ENDS[name], data.get("reason", ""), None
        if offender["restart"] == "temporary" and name != "start_error":
            del node.children[child.name]


def _supervisor(roots: dict[tuple[str, str], Node], data: dict[str, Any]) -> Node:
    first, *rest = data["supervisor"]
    node = roots.setdefault((data.get("scope", ""), first), Node(name=first, type="supervisor"))
    for name in rest:
        node = node.children.setdefault(name, Node(name=name, type="supervisor"))
    return node


def from_running(supervisor: Shell) -> Node:
    """Return the picture of a supervisor as it is now, without waiting for it."""
    state = "running" if supervisor.reason is None else "ended"
    node = Node(name=supervisor.path[-1], state=state, type="supervisor", pid=supervisor.serial)
    for entry in supervisor.children.values():
        below = Node(name=entry.label)
        if isinstance(entry.process, Shell):
            below = from_running(entry.process)
        elif entry.process is not None:
            below.pid = getattr(entry.process, "pid", None) or entry.process.serial
        below.name, below.type, below.restarts, below.state = (
            entry.label,
            entry.spec.type,
            entry.restarts,
            entry.status,
        )
        node.children[below.name] = below
    return node
