"""Faults of the pool's own life: shutdown while busy, storms of cancellation, no new process, the owner's death."""

import resource
import signal
from collections.abc import Sequence

from poolproof.faults.base import Fault, Scene, register
from poolproof.faults.process import PROCESSES, all_workers, gone, send
from poolproof.faults.resource import give_back, given_back, limit
from poolproof.isolation.containment import send_signal
from poolproof.plan import FaultSpec
from poolproof.watch.procfs import Identity


def _owner(scene: Scene, _spec: FaultSpec) -> list[Identity]:
    return [scene.owner]


def _stopped_while_running(
    scene: Scene, _spec: FaultSpec, _victims: Sequence[Identity]
) -> str | None:
    begun = {event.job for event in scene.events if event.kind == "started"}
    over = {event.job for event in scene.events if event.kind in ("finished", "raised")}
    asked = any(event.kind == "invoke" and event.op == "stop" for event in scene.events)
    running = begun - over & begun
    return (
        f"shutdown was asked for while jobs {sorted(filter(None, running))} ran"
        if asked and running
        else None
    )


def _cancelled(scene: Scene, _spec: FaultSpec, _victims: Sequence[Identity]) -> str | None:
    answers = [
        event for event in scene.events if event.op == "cancel" and event.kind in ("ok", "fail")
    ]
    return f"the pool answered {len(answers)} requests to cancel" if answers else None


def _cancel_all(scene: Scene, _spec: FaultSpec, _victims: Sequence[Identity]) -> None:
    scene.command("cancel", jobs=list(scene.faulted))


def _forbid_processes(scene: Scene, _spec: FaultSpec, victims: Sequence[Identity]) -> None:
    limit(scene.owner, resource.RLIMIT_NPROC, lambda _: 1)
    for victim in victims:
        send_signal(victim, signal.SIGKILL)


def _forbidden(scene: Scene, spec: FaultSpec, victims: Sequence[Identity]) -> str | None:
    soft, _ = resource.prlimit(scene.owner.pid, resource.RLIMIT_NPROC)
    return (
        f"{gone(scene, spec, victims)}; the owner may have {soft} process"
        if soft == 1 and gone(scene, spec, victims)
        else None
    )


def _allow_processes(scene: Scene, _spec: FaultSpec, _victims: Sequence[Identity]) -> None:
    give_back(scene, [scene.owner], resource.RLIMIT_NPROC)


def _allowed(scene: Scene, _spec: FaultSpec, _victims: Sequence[Identity]) -> str | None:
    return given_back([scene.owner], resource.RLIMIT_NPROC)


register(
    Fault(
        kind="shutdown-busy",
        does="shutdown while every worker runs a job",
        moment="stop",
        needs=("any-job",),
        receipt=_stopped_while_running,
    )
)
register(
    Fault(
        kind="cancel-storm",
        does="cancellation of every job, running and queued, at once",
        moment="storm",
        needs=("cancel",),
        inject=_cancel_all,
        receipt=_cancelled,
    )
)
register(
    Fault(
        kind="spawn-failure",
        does="SIGKILL of every worker while the owner may start no process",
        moment="busy",
        needs=(*PROCESSES, "unprivileged"),
        starves=True,
        victims=all_workers,
        inject=_forbid_processes,
        receipt=_forbidden,
        heal=_allow_processes,
        healed=_allowed,
    )
)
for _kind, _does, _variants in (
    ("owner-killed", "SIGKILL of the owner of the pool while every worker runs a job", ("busy",)),
    ("owner-killed-idle", "SIGKILL of the owner of the pool while every worker is idle", ("idle",)),
):
    register(
        Fault(
            kind=_kind,
            does=_does,
            moment="owner",
            needs=("processes",),
            variants=_variants,
            victims=_owner,
            inject=send(signal.SIGKILL),
            receipt=gone,
        )
    )
