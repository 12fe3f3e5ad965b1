"""Faults of the processor: all of a pool on one core, beside a process that wants that core, too."""

import os
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from poolproof.faults.base import Fault, Scene, effect_seen, register
from poolproof.faults.process import PROCESSES, all_workers
from poolproof.plan import FaultSpec
from poolproof.watch import procfs
from poolproof.watch.procfs import Identity

# It ends with whoever has started it, whatever becomes of that.
_SPIN: Final = """
import os
parent = os.getppid()
while os.getppid() == parent:
    for _ in range(100_000):
        pass
"""
_PROCESSOR_FIELD: Final = 38  # of /proc/PID/stat, from 0, as in proc(5)

_before: Final[dict[Identity, set[int]]] = {}
_spinners: Final[dict[Identity, "subprocess.Popen[bytes]"]] = {}


def _core() -> int:
    return min(os.sched_getaffinity(0))


def _crowd(_scene: Scene, _spec: FaultSpec, victims: Sequence[Identity]) -> None:
    for victim in victims:
        with suppress(OSError):
            if procfs.identity(victim.pid) == victim:
                _before[victim] = os.sched_getaffinity(victim.pid)
                os.sched_setaffinity(victim.pid, {_core()})
    for victim in victims[:1]:
        spinner = subprocess.Popen([sys.executable, "-S", "-E", "-c", _SPIN])  # noqa: S603
        os.sched_setaffinity(spinner.pid, {_core()})
        _spinners[victim] = spinner


def _crowded(_scene: Scene, _spec: FaultSpec, victims: Sequence[Identity]) -> str | None:
    """Return the kernel's word: who may run where, and where the spinner last did."""
    spinner = _spinners.get(victims[0]) if victims else None
    if spinner is None or procfs.state(spinner.pid) != "R":
        return None
    allowed = [os.sched_getaffinity(victim.pid) for victim in victims if procfs.alive(victim)]
    on = procfs.read(f"/proc/{spinner.pid}/stat").rpartition(b")")[2].split()[_PROCESSOR_FIELD - 2]
    if not allowed or any(cores != {int(on)} for cores in allowed):
        return None
    return (
        f"{len(allowed)} workers may run on core {int(on)} only, where process {spinner.pid} spins"
    )


def _spread(_scene: Scene, _spec: FaultSpec, victims: Sequence[Identity]) -> None:
    for victim in victims:
        if (spinner := _spinners.pop(victim, None)) is not None:
            spinner.kill()
            spinner.wait()
        if (cores := _before.get(victim)) is not None:
            with suppress(OSError):
                if procfs.identity(victim.pid) == victim:
                    os.sched_setaffinity(victim.pid, cores)


def _is_spread(_scene: Scene, _spec: FaultSpec, victims: Sequence[Identity]) -> str | None:
    if any(victim in _spinners for victim in victims):
        return None
    for victim in victims:
        if procfs.alive(victim):
            now = os.sched_getaffinity(victim.pid)
            if now != _before.get(victim, now):
                return None
    return "each may run again where it could, and nothing spins"


register(
    Fault(
        kind="one-core",
        does="all workers on one core, beside a process that spins there",
        moment="idle",
        needs=PROCESSES,
        rare=True,
        victims=all_workers,
        inject=_crowd,
        receipt=_crowded,
        heal=_spread,
        healed=_is_spread,
    )
)


register(
    Fault(
        kind="gil-held-in-job",
        does="a job that keeps the interpreter's lock for half a second: alive to the kernel, and still",
        moment="job",
        needs=("any-job",),
        rare=True,
        body="hold-gil",
        receipt=effect_seen("gil-held"),
    )
)
