"""What happens in a tree, as data, and the sinks that it can be told to."""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, BinaryIO, Literal

from poolproof.history import Event, encode
from poolproof.supervision.process import Process
from poolproof.supervision.reasons import ExitReason
from poolproof.supervision.spec import ChildSpec

EventName = Literal[
    "progress",
    "ignored",
    "exited",
    "child_terminated",
    "start_error",
    "shutdown_error",
    "shutdown_overrun",
    "escalation",
    "up",
    "down",
    "unexpected_message",
    "unkillable",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Offender:
    """The child that an event is about, with the fields of OTP's reports.

    Attributes:
        pid: serial number of its process in this interpreter, or None if it has none.
        os_pid: its process id, for operating-system processes.
        start: how it is started.
        shutdown: its patience in seconds, `brutal_kill` or `infinity`.
    """

    id: str
    pid: int | None
    os_pid: int | None
    start: str
    restart: str
    significant: bool
    shutdown: float | str
    type: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeEvent:
    """One thing that happened in a supervision tree.

    Attributes:
        t_ns: the loop's clock, in nanoseconds.
        name: what happened. `progress`: a child is up. `ignored`: a start said that there is
            nothing to run. `child_terminated`: it ended, and OTP
            reports it. `exited`: it ended as it may. `start_error`: a start failed.
            `shutdown_error`: it ended otherwise than it was told to. `shutdown_overrun`: its
            patience ran out and it was killed. `escalation`: the restart intensity was exceeded.
            `up` / `down`: the supervisor itself. `unexpected_message`: logged and survived.
            `unkillable`: a coroutine swallowed even its own closing.
        supervisor: the path of the supervisor from the root of its tree.
        reason: the exit reason, where there is one.
        offender: the child, where there is one.
        restarts: how often this child has been restarted so far.
    """

    t_ns: int
    name: EventName
    supervisor: tuple[str, ...]
    reason: ExitReason | None = None
    offender: Offender | None = None
    restarts: int = 0


Sink = Callable[[TreeEvent], None]


def offender(spec: ChildSpec, process: Process | None, label: str) -> Offender:
    """Return the report fields of a child that is called `label`."""
    return Offender(
        id=label,
        pid=None if process is None else process.serial,
        os_pid=getattr(process, "pid", None),
        start=_name_of(spec.start),
        restart=spec.restart,
        significant=spec.significant,
        shutdown=_shutdown_of(spec),
        type=spec.type,
    )


def _name_of(start: object) -> str:
    name = getattr(start, "name", None) or getattr(start, "__qualname__", None)
    return name if isinstance(name, str) else type(start).__name__


def _shutdown_of(spec: ChildSpec) -> float | str:
    if isinstance(spec.shutdown, str):
        return spec.shutdown
    return "infinity" if spec.patience is None else spec.patience


def history_event(event: TreeEvent, *, scope: str = "") -> Event:
    """Return the line of a run's history that records `event`, of kind `tree`."""
    data: dict[str, Any] = {"event": event.name, "supervisor": list(event.supervisor)}
    if scope:
        data["scope"] = scope
    if event.offender is not None:
        who = event.offender
        data["offender"] = {name: getattr(who, name) for name in who.__dataclass_fields__}
        data["restarts"] = event.restarts
    if event.reason is not None:
        data["reason"] = event.reason.kind
    data["loop_ns"] = event.t_ns
    detail = (
        None if event.reason is None or event.reason.detail is None else str(event.reason)[:500]
    )
    return Event(t=time.monotonic_ns(), kind="tree", pid=os.getpid(), message=detail, data=data)


def history_sink(file: BinaryIO, *, scope: str = "") -> Sink:
    """Return a sink that appends each event to an open history file, as one line, flushed.

    Args:
        file: a binary file, opened for appending.
        scope: which tree the events are of, where several write to the same history
            (`Scope.token`).
    """

    def write(event: TreeEvent) -> None:
        file.write(encode(history_event(event, scope=scope)))
        file.flush()

    return write
