"""Faults of scarcity: descriptors, memory and processes are limited from outside by prlimit, and given back."""

import resource
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

from poolproof.faults.base import Evidence, Fault, Inject, Scene, register
from poolproof.plan import FaultSpec
from poolproof.watch import procfs
from poolproof.watch.procfs import Identity

MEMORY_MARGIN_BYTES = 8 * 1024 * 1024
# More than the 64 MiB that each of glibc's arenas reserves beforehand (HEAP_MAX_SIZE in malloc/arena.c).
ALLOCATION_BYTES = 96 * 1024 * 1024


def _experienced(scene: Scene, _spec: FaultSpec) -> list[Identity]:
    """Choose the workers that have run a job: one without descriptors could open no journal to witness anything."""
    return [worker for worker in scene.workers() if scene.has_run(worker)]


def _owner(scene: Scene, _spec: FaultSpec) -> list[Identity]:
    return [scene.owner]


def _lowest_free_descriptor(pid: int) -> int:
    """Return the limit under which the next descriptor, which is always the lowest free number, is refused."""
    used = {int(number) for number, _ in procfs.links(pid)}
    return next(number for number in range(len(used) + 1) if number not in used)


def _address_space(pid: int) -> int:
    pages = int(procfs.read(f"/proc/{pid}/statm").split()[0])
    return pages * resource.getpagesize() + MEMORY_MARGIN_BYTES


FILE_BYTES = 1024 * 1024
"""More than a worker's journal has, which is a file, too; half of what the faulted jobs write."""

_before: Final[dict[tuple[Identity, int], tuple[int, int]]] = {}
"""The limits of each process that was hit, as they were: what a heal gives back."""


def limit(victim: Identity, which: int, measure: Callable[[int], int]) -> None:
    """Lower a soft limit of this very process, if it is still there, to what `measure` returns for it."""
    with suppress(OSError):
        if procfs.identity(victim.pid) == victim:
            soft, hard = resource.prlimit(victim.pid, which)
            _before.setdefault((victim, which), (soft, hard))
            resource.prlimit(victim.pid, which, (measure(victim.pid), hard))


def give_back(scene: Scene, victims: Sequence[Identity], which: int) -> None:
    """Give the victims their limit back, and also the workers that were born of a limited owner meanwhile."""
    known = [found for victim in victims if (found := _before.get((victim, which)))]
    for process in (*victims, *scene.workers()) if known else ():
        with suppress(OSError):
            if procfs.identity(process.pid) == process:
                before = _before.get((process, which), known[0])
                resource.prlimit(process.pid, which, before)


def given_back(victims: Sequence[Identity], which: int) -> str | None:
    """Return the kernel's word that each victim that is left has its limit again."""
    for victim in victims:
        with suppress(OSError):
            if procfs.identity(victim.pid) == victim:
                now = resource.prlimit(victim.pid, which)
                if now != _before.get((victim, which), now):
                    return None
    return "the limit is again what it was"


def _limit(which: int, measure: Callable[[int], int]) -> Inject:
    def inject(_scene: Scene, _spec: FaultSpec, victims: Sequence[Identity]) -> None:
        for victim in victims:
            limit(victim, which, measure)

    return inject


def _restore(which: int) -> Inject:
    def heal(scene: Scene, _spec: FaultSpec, victims: Sequence[Identity]) -> None:
        give_back(scene, victims, which)

    return heal


def _restored(which: int) -> Evidence:
    def healed(_scene: Scene, _spec: FaultSpec, victims: Sequence[Identity]) -> str | None:
        return given_back(victims, which)

    return healed


def _refused(scene: Scene, _spec: FaultSpec, _victims: Sequence[Identity]) -> str | None:
    """The receipt is an error that the kernel gave: to a job, or to the owner when it was asked to try."""
    for event in scene.events:
        if event.kind == "raised" and event.job in scene.faulted:
            return f"{event.error} in job {event.job}, process {event.pid}: {event.message}"
        if event.kind == "effect" and event.data.get("effect") == "refused":
            return f"{event.error} in the owner, process {event.pid}: {event.message}"
    return None


def _register(name: str, does: str, which: int, measure: Callable[[int], int], body: str) -> None:
    for whose, victims, needs in (
        ("worker", _experienced, ("processes", "workers-known", "any-job")),
        ("owner", _owner, ("any-job",)),
    ):
        register(
            Fault(
                kind=f"{name}-{whose}",
                does=f"{does} {'on every worker' if whose == 'worker' else 'on the owner of the pool'}",
                moment="idle",
                needs=needs,
                body=body
                if whose == "worker"
                else "big"
                if which == resource.RLIMIT_AS
                else "echo",
                size=ALLOCATION_BYTES,
                starves=whose == "owner",
                victims=victims,
                inject=_limit(which, measure),
                receipt=_refused,
                heal=_restore(which),
                healed=_restored(which),
            )
        )


_register(
    "fd-exhaustion",
    "no file descriptor left",
    resource.RLIMIT_NOFILE,
    _lowest_free_descriptor,
    "open-file",
)
_register("memory-limit", "no memory left", resource.RLIMIT_AS, _address_space, "allocate")
register(
    Fault(
        kind="file-limit-worker",
        does="no file of a worker may grow beyond 1 MiB, as on a full disk",
        moment="idle",
        needs=("processes", "workers-known", "any-job"),
        rare=True,
        body="write-file",
        size=2 * FILE_BYTES,
        victims=lambda scene, _spec: list(scene.workers()),
        inject=_limit(resource.RLIMIT_FSIZE, lambda _pid: FILE_BYTES),
        receipt=_refused,
        heal=_restore(resource.RLIMIT_FSIZE),
        healed=_restored(resource.RLIMIT_FSIZE),
    )
)
