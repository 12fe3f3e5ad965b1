"""Faults that hit worker processes from outside, by signals."""

import asyncio
import contextlib
import math
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from poolproof.faults.base import Fault, Inject, Scene, never_moot, register
from poolproof.history import Event
from poolproof.isolation.containment import send_signal
from poolproof.plan import FaultSpec
from poolproof.watch import procfs
from poolproof.watch.procfs import Identity

PROCESSES = ("processes", "workers-known")
BIRTH_SECONDS = 2.0
SHARE = 0.6


def busy(scene: Scene, _spec: FaultSpec) -> list[Identity]:
    """Choose the worker that runs the first faulted job, else one that runs any job.

    Where the jobs are not ours, and so nobody can tell who runs what, it is any worker.
    """
    over = {event.job for event in scene.events if event.kind in ("finished", "raised")}
    begun = [
        e.job
        for e in scene.events
        if e.kind == "started" and e.job is not None and e.job not in over
    ]
    runners = (scene.runner(job) for job in (*scene.faulted, *begun))
    return [runner for runner in runners if runner is not None][:1] or scene.workers()[:1]


def idle(scene: Scene, spec: FaultSpec) -> list[Identity]:
    """Choose the idle worker that the spec numbers: `idle:1`.

    They are numbered by the system call in which they sleep: of those that wait for work, one may wait for the work
    itself and the others for a lock, and which process that is differs from trial to trial.
    """
    index = int(spec.victim.partition(":")[2] or 0)
    return sorted(scene.workers(), key=_asleep_in)[index : index + 1]


def _asleep_in(worker: Identity) -> tuple[int, int]:
    try:
        call = procfs.read(f"/proc/{worker.pid}/syscall").split()[0]
    except (OSError, IndexError):
        call = b""
    return int(call) if call.isdigit() else 1 << 30, worker.pid


def all_workers(scene: Scene, _spec: FaultSpec) -> list[Identity]:
    """Choose every worker."""
    return scene.workers()


def most_workers(scene: Scene, _spec: FaultSpec) -> list[Identity]:
    """Choose 60 % of the workers, rounded up."""
    workers = scene.workers()
    return workers[: math.ceil(SHARE * len(workers))]


def send(number: int) -> Inject:
    """Return an inject, or a heal, that sends one signal to each victim."""

    def inject(_scene: Scene, _spec: FaultSpec, victims: Sequence[Identity]) -> None:
        for victim in victims:
            send_signal(victim, number)

    return inject


def _kill_as_if_out_of_memory(scene: Scene, spec: FaultSpec, victims: Sequence[Identity]) -> None:
    """Mark each victim as the first to go, as the kernel would find it, and kill it; no memory is exhausted."""
    for victim in victims:
        with contextlib.suppress(OSError):
            Path(f"/proc/{victim.pid}/oom_score_adj").write_text("1000", encoding="ascii")
    send(signal.SIGKILL)(scene, spec, victims)


def _term_twice(scene: Scene, spec: FaultSpec, victims: Sequence[Identity]) -> None:
    for _ in range(2):
        send(signal.SIGTERM)(scene, spec, victims)


async def _kill_with_replacement(
    scene: Scene, _spec: FaultSpec, victims: Sequence[Identity]
) -> None:
    before = set(scene.workers())
    for victim in victims:
        send_signal(victim, signal.SIGKILL)
    deadline = time.monotonic() + BIRTH_SECONDS
    while time.monotonic() < deadline:
        if born := [worker for worker in scene.workers() if worker not in before]:
            send_signal(born[0], signal.SIGKILL)
            scene.note(replacement={"pid": born[0].pid, "born": born[0].born})
            return
        await asyncio.sleep(0.0005)
    scene.note(replacement=None)


def _both_gone(scene: Scene, spec: FaultSpec, victims: Sequence[Identity]) -> str | None:
    found = [told for told in _replacements(scene.events) if told is not None]
    return gone(scene, spec, [*victims, *found]) if found else None


def _never_replaced(events: Sequence[Event]) -> str | None:
    if None in _replacements(events):
        return f"no replacement of the dead worker was born within {BIRTH_SECONDS:g} s"
    return None


def _replacements(events: Sequence[Event]) -> list[Identity | None]:
    notes = [e.data for e in events if e.kind == "note" and "replacement" in e.data]
    return [Identity(**note["replacement"]) if note["replacement"] else None for note in notes]


def gone(_scene: Scene, _spec: FaultSpec, victims: Sequence[Identity]) -> str | None:
    """Return the evidence of /proc that none of the victims lives any more."""
    if not victims or any(procfs.alive(victim) for victim in victims):
        return None
    return "gone from /proc: " + _names(victims)


def _term_is_handled(events: Sequence[Event]) -> str | None:
    """Where a worker catches or ignores SIGTERM and lives on, nothing outside of it shows that the signal came."""
    for event in events:
        if event.kind == "inject":
            victims = event.data.get("victims", ())
            masks = [int(victim.get("handles", 0)) for victim in victims]
            if masks and all(mask >> (signal.SIGTERM - 1) & 1 for mask in masks):
                return "its workers catch or ignore SIGTERM, and nothing outside of them shows that it came"
    return None


def _frozen(_scene: Scene, _spec: FaultSpec, victims: Sequence[Identity]) -> str | None:
    if victims and all(procfs.state(victim.pid) == "T" for victim in victims):
        return "state T in /proc: " + _names(victims)
    return None


def _running_again(_scene: Scene, _spec: FaultSpec, victims: Sequence[Identity]) -> str | None:
    if any(procfs.alive(victim) and procfs.state(victim.pid) == "T" for victim in victims):
        return None
    return "no longer in state T: " + _names(victims)


def _names(victims: Sequence[Identity]) -> str:
    return ", ".join(f"process {victim.pid} (born {victim.born})" for victim in victims)


Chooser = Callable[[Scene, FaultSpec], list[Identity]]


def _signal_fault(
    kind: str,
    does: str,
    number: int,
    victims: Chooser,
    *,
    idle_worker: bool = False,
    rare: bool = False,
) -> None:
    register(
        Fault(
            kind=kind,
            does=does,
            moment="idle" if idle_worker else "busy",
            needs=PROCESSES,
            variants=("idle:each",) if idle_worker else ("",),
            victims=victims,
            rare=rare,
            inject=send(number),
            receipt=gone,
            moot=_term_is_handled if number == signal.SIGTERM else never_moot,
        )
    )


_signal_fault("kill-idle", "SIGKILL of an idle worker", signal.SIGKILL, idle, idle_worker=True)
_signal_fault("kill-busy", "SIGKILL of a worker that runs a job", signal.SIGKILL, busy)
_signal_fault(
    "kill-60-percent", "SIGKILL of 60 % of the workers at once", signal.SIGKILL, most_workers
)
_signal_fault("kill-all", "SIGKILL of all workers at once", signal.SIGKILL, all_workers)
_signal_fault("segv-busy", "SIGSEGV of a worker that runs a job", signal.SIGSEGV, busy)
_signal_fault("term-idle", "SIGTERM to an idle worker", signal.SIGTERM, idle, idle_worker=True)
_signal_fault("term-busy", "SIGTERM to a worker that runs a job", signal.SIGTERM, busy)

_signal_fault("abort-busy", "SIGABRT of a worker that runs a job", signal.SIGABRT, busy, rare=True)

for _kind, _does, _inject in (
    (
        "oom-kill-busy",
        "what the kernel does when memory is short: the most expendable worker is killed",
        _kill_as_if_out_of_memory,
    ),
    ("term-twice-busy", "SIGTERM, twice, to a worker that runs a job", _term_twice),
):
    register(
        Fault(
            kind=_kind,
            does=_does,
            moment="busy",
            needs=PROCESSES,
            rare=True,
            victims=busy,
            inject=_inject,
            receipt=gone,
            moot=_term_is_handled if _inject is _term_twice else never_moot,
        )
    )

register(
    Fault(
        kind="kill-starting",
        does="SIGKILL of a busy worker, and of its replacement while that is being born",
        moment="busy",
        needs=PROCESSES,
        victims=busy,
        inject=_kill_with_replacement,
        receipt=_both_gone,
        moot=_never_replaced,
    )
)

for _kind, _victims, _variants in (
    ("freeze-idle", idle, ("idle:each",)),
    ("freeze-busy", busy, ("",)),
):
    register(
        Fault(
            kind=_kind,
            does=f"SIGSTOP of {'an idle worker' if _victims is idle else 'a worker that runs a job'}, SIGCONT later",
            moment="frozen",
            needs=(*PROCESSES, "several-workers"),
            variants=_variants,
            victims=_victims,
            inject=send(signal.SIGSTOP),
            receipt=_frozen,
            heal=send(signal.SIGCONT),
            healed=_running_again,
        )
    )

register(
    Fault(
        kind="freeze-shutdown",
        does="shutdown while a worker is stopped by SIGSTOP",
        moment="stop",
        needs=PROCESSES,
        victims=idle,
        inject=send(signal.SIGSTOP),
        receipt=_frozen,
        heal=send(signal.SIGCONT),
        healed=_running_again,
    )
)
