"""The seam for faults: what one is made of, and the register in which the nemesis finds it.

A stranger's fault is one `register(Fault(...))` in one file. `inject` does the harm; `receipt` is asked afterwards, by
the scenario and never by `inject`, for evidence that comes from somewhere else: the kernel, or another process.
"""

import dataclasses
from collections.abc import Awaitable, Callable, Sequence
from typing import Literal, Protocol

from poolproof.errors import UsageError
from poolproof.history import Event
from poolproof.plan import FaultSpec
from poolproof.watch.procfs import Identity

Moment = Literal["idle", "busy", "job", "frozen", "stop", "storm", "owner", "handover"]
"""When a fault happens: while every worker is idle; while its victim runs a job; inside a job; while a worker stays
frozen; while the pool is shut down; as many cancellations at once; to the owner; between two jobs on one loop."""


class Scene(Protocol):
    """What a fault sees of the running trial, and the few things that it may do there."""

    @property
    def events(self) -> Sequence[Event]:
        """The history so far."""
        ...

    @property
    def owner(self) -> Identity:
        """The process that owns the pool."""
        ...

    @property
    def faulted(self) -> tuple[int, ...]:
        """The jobs that carry, or are hit by, the fault."""
        ...

    def workers(self) -> list[Identity]:
        """Return the live workers."""
        ...

    def runner(self, job: int) -> Identity | None:
        """Return the process that started this job last, or None."""
        ...

    def runners(self, job: int) -> Sequence[Identity]:
        """Return the processes that started this job, in order."""
        ...

    def has_run(self, worker: Identity) -> bool:
        """Tell whether this worker has run a job, and so has its journal open."""
        ...

    def command(self, do: str, **arguments: object) -> None:
        """Tell the owner what to do next."""

    def note(self, **data: object) -> None:
        """Journal what only shows while the fault is injected, for its receipt to look into."""


Inject = Callable[[Scene, FaultSpec, Sequence[Identity]], Awaitable[None] | None]
Evidence = Callable[[Scene, FaultSpec, Sequence[Identity]], str | None]


def nothing(_scene: Scene, _spec: FaultSpec, _victims: Sequence[Identity]) -> None:
    """Do nothing: the fault is in the job itself, or needs no heal."""


def nothing_to_heal(_scene: Scene, _spec: FaultSpec, _victims: Sequence[Identity]) -> str | None:
    """Say that this fault ends by itself."""
    return "ends by itself"


def never_moot(_events: Sequence[Event]) -> str | None:
    """Say that nothing of the pool's own can keep this fault from taking effect."""
    return None


def no_victims(_scene: Scene, _spec: FaultSpec) -> list[Identity]:
    """Choose nobody."""
    return []


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One kind of fault.

    Attributes:
        kind: its name on the command line and in plans.
        does: what happens, for people, as a clause.
        moment: when it happens.
        needs: facts about the target without which it does not apply, each with the reason that is then given.
        body: the body of the faulted jobs.
        variants: the victims that are tried in turn, each in a trial of its own.
        victims: the processes that are hit, chosen when the moment has come.
        size: bytes that the faulted jobs ask for.
        rare: whether it is tried only when asked for, by name or as one of `every`, and not as one of `all`.
        starves: whether the owner may be unable to start a thread while it lasts.
        moot: why the fault could not take effect, though all was done, on this pool; None where it could have.
        inject, heal: do it, undo it.
        receipt, healed: evidence that it took effect, that it is undone; None while there is none.
    """

    kind: str
    does: str
    moment: Moment
    needs: tuple[str, ...] = ()
    body: str = "echo"
    variants: tuple[str, ...] = ("",)
    size: int = 0
    rare: bool = False
    starves: bool = False
    moot: Callable[[Sequence[Event]], str | None] = never_moot
    victims: Callable[[Scene, FaultSpec], list[Identity]] = no_victims
    inject: Inject = nothing
    receipt: Evidence = nothing_to_heal
    heal: Inject = nothing
    healed: Evidence = nothing_to_heal

    def specs(self, workers: int) -> list[FaultSpec]:
        """Return one spec for each variant; `idle:each` stands for every idle worker in turn."""
        victims: list[str] = []
        for variant in self.variants:
            each = [f"idle:{index}" for index in range(workers)]
            victims += each if variant == "idle:each" else [variant]
        return [FaultSpec(kind=self.kind, victim=victim) for victim in victims]


FAULTS: dict[str, Fault] = {}

# The facts that a fault may need, and what is said when the target lacks them.
MISSING: dict[str, str] = {
    "processes": "its jobs run in the owner's own process: there is no worker process to hit",
    "threads-or-processes": "its jobs run on the owner's event loop: raising this there ends the loop, not a worker",
    "workers-known": "its worker processes could not be told from its other processes",
    "any-job": "its workers accept only the jobs that its module carries",
    "cancel": "it offers no cancellation",
    "callback": "it offers no callback",
    "loop": "it is no asyncio pool whose jobs run on its own loop",
    "unprivileged": "RLIMIT_NPROC does not bind root; run it as another user",
    "strace": "strace is not installed, or may not attach here; install it (apt-get install strace)",
    "several-workers": "one worker alone has no healthy neighbour; use --workers 2 or more",
}


def register(fault: Fault) -> Fault:
    """Add a fault to those that `check` tries; raise ValueError if its kind is taken."""
    if fault.kind in FAULTS:
        raise ValueError(f"expected a new kind of fault, got {fault.kind!r} again")
    FAULTS[fault.kind] = fault
    return fault


def lookup(kind: str) -> Fault:
    """Return the fault of that kind; raise UsageError with the known ones if there is none."""
    try:
        return FAULTS[kind]
    except KeyError:
        known = ", ".join(FAULTS)
        raise UsageError(
            f"expected a kind of fault, got {kind!r}; known are: all, every, none, {known}"
        ) from None


def inapplicable(fault: Fault, facts: frozenset[str]) -> str | None:
    """Return why the fault cannot apply to a target with these facts, or None if it can."""
    return next((MISSING[need] for need in fault.needs if need not in facts), None)


def effect_seen(effect: str) -> Evidence:
    """Return a receipt: a faulted job's wrapper, in whatever process, came to the place of this effect."""

    def receipt(scene: Scene, _spec: FaultSpec, _victims: Sequence[Identity]) -> str | None:
        for event in scene.events:
            if (
                event.kind == "effect"
                and event.job in scene.faulted
                and event.data.get("effect") == effect
            ):
                return f"{effect} of job {event.job} in process {event.pid}"
        return None

    return receipt


def raised_in_job(*errors: str) -> Evidence:
    """Return a receipt: a faulted job's wrapper saw one of these exceptions pass."""

    def receipt(scene: Scene, _spec: FaultSpec, _victims: Sequence[Identity]) -> str | None:
        for event in scene.events:
            if event.kind == "raised" and event.job in scene.faulted and event.error in errors:
                return f"{event.error} passed out of job {event.job} in process {event.pid}"
        return None

    return receipt
