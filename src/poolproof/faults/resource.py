"""Faults of scarcity: descriptors, memory and processes are limited from outside by prlimit, and given back."""

import resource
from collections.abc import Callable, Sequence
from contextlib import suppress

from poolproof.faults.base import Evidence, Fault, Inject, Scene, register
from poolproof.faults.process import all_workers
from poolproof.plan import FaultSpec
from poolproof.watch import procfs
from poolproof.watch.procfs import Identity

MEMORY_MARGIN_BYTES = 8 * 1024 * 1024
ALLOCATION_BYTES = 48 * 1024 * 1024


def _owner(scene: Scene, _spec: FaultSpec) -> list[Identity]:
    return [scene.owner]


def _lowest_free_descriptor(pid: int) -> int:
    """Return the limit under which the next descriptor, which is always the lowest free number, is refused."""
    used = {int(number) for number, _ in procfs.links(pid)}
    return next(number for number in range(len(used) + 1) if number not in used)


def _address_space(pid: int) -> int:
    pages = int(procfs.read(f"/proc/{pid}/statm").split()[0])
    return pages * resource.getpagesize() + MEMORY_MARGIN_BYTES


def _limit(which: int, measure: Callable[[int], int]) -> Inject:
    def inject(_scene: Scene, _spec: FaultSpec, victims: Sequence[Identity]) -> None:
        for victim in victims:
            with suppress(ProcessLookupError):
                _, hard = resource.prlimit(victim.pid, which)
                resource.prlimit(victim.pid, which, (measure(victim.pid), hard))

    return inject


def _restore(which: int) -> Inject:
    def heal(_scene: Scene, _spec: FaultSpec, victims: Sequence[Identity]) -> None:
        for victim in victims:
            with suppress(ProcessLookupError):
                _, hard = resource.prlimit(victim.pid, which)
                resource.prlimit(victim.pid, which, (hard, hard))

    return heal


def _restored(which: int) -> Evidence:
    def healed(_scene: Scene, _spec: FaultSpec, victims: Sequence[Identity]) -> str | None:
        for victim in victims:
            with suppress(ProcessLookupError):
                soft, hard = resource.prlimit(victim.pid, which)
                if soft != hard:
                    return None
        return "soft limit equals hard limit again"

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
        ("worker", all_workers, ("processes", "workers-known", "any-job")),
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
