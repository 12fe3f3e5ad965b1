"""A run as data: pool, jobs, faults anchored to events, and the order of steps; saved, and read again.

The plan is the artefact, not the seed: it survives edits. A fault comes after an event ("after the
third start"), not at a time, so that taking a job away does not move all that follows.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

import msgspec

from poolproof.errors import UsageError
from poolproof.stateful.stack_subject import StackSubject
from poolproof.stateful.subject import Subject
from poolproof.transport.base import Layer

if TYPE_CHECKING:
    from collections.abc import Callable

SCHEMA: Final = 1
Moment = Literal["submit", "start", "end"]
Harm = Literal["kill", "pause", "heal", "resize"]
Maker: TypeAlias = "Callable[[SimulatedPlan], Subject]"


class SimulatedJob(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One job: its client asks for its jobs one after the other; `cancel` gives it up while it is under way."""

    client: int = 0
    cancel: bool = False


class AnchoredFault(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is done, to which worker (for resize: the new size), after how many of which event."""

    kind: Harm
    worker: int
    after: Moment
    count: int


class SimulatedPlan(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything that a run of one of our stacks needs.

    Attributes:
        layer: mock or bridge_mock, in virtual time and always the same; or full, in real time.
        workers: how many the pool has.
        settings: of the pool, as in `[tool.poolproof]`.
        job_seconds: how long each job takes.
        jobs: what is asked for.
        faults: what is done to it.
        schedule: the order of task steps, as `simulation.to_json` writes it; none on full.
        schema: the version of this form.
    """

    layer: Layer = "mock"
    workers: int = 2
    settings: dict[str, Any] = {}
    job_seconds: float = 0.0
    jobs: tuple[SimulatedJob, ...] = ()
    faults: tuple[AnchoredFault, ...] = ()
    schedule: dict[str, Any] = {}
    schema: int = SCHEMA


def save(plan: SimulatedPlan, path: Path) -> None:
    """Write the plan as JSON that people can read and edit."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(plan)) + b"\n")


def load(path: Path) -> SimulatedPlan:
    """Read a plan.

    Raises:
        UsageError: there is none, or it is none of this version.
    """
    try:
        plan = msgspec.json.decode(path.read_bytes(), type=SimulatedPlan)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise UsageError(f"expected a plan of one of our stacks in {path}, got {error}") from None
    if plan.schema != SCHEMA:
        raise UsageError(f"expected schema {SCHEMA} in {path}, got {plan.schema}")
    if plan.layer == "full" and plan.schedule:
        raise UsageError(
            f"expected no schedule on the layer full in {path}, got {plan.schedule}: nobody orders steps of processes"
        )
    return plan


def stack_of(plan: SimulatedPlan) -> Subject:
    """Return our own stack as the plan wants it."""
    return StackSubject(plan.layer, plan.workers, seconds=plan.job_seconds, **plan.settings)


def size(plan: SimulatedPlan) -> str:
    """Return how large a plan is, for people."""
    counts = {
        "job": len(plan.jobs),
        "fault": len(plan.faults),
        "deviation": len(plan.schedule.get("deviations", ())),
    }
    return ", ".join(f"{count} {what}{'s' * (count != 1)}" for what, count in counts.items())
