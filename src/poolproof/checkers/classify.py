"""How a trial of one crash point ended: its class in the table, and what came with it."""

from collections.abc import Callable
from typing import Final, Literal

import msgspec

from poolproof.checkers.base import judge
from poolproof.checkers.evidence import end_of
from poolproof.checkers.receipts import no_receipt
from poolproof.checkers.records import JobRecord, operation
from poolproof.checkers.recovery import fresh_jobs, slowness, stop_judged
from poolproof.checkers.trial import Trial

ClassName = Literal[
    "survived", "reported", "lost", "stopped", "slow", "duplicated", "unreached", "unknown"
]

# The invariant whose violation the class itself expresses; every other one is a secondary effect.
_EXPRESSED: Final = {
    "lost": "unresolved-job",
    "stopped": "no-recovery",
    "duplicated": "duplicate-run",
}


class PointClass(msgspec.Struct, frozen=True, kw_only=True):
    """How one crash point ended.

    Attributes:
        name: the class; `unknown` where nothing could be told, which is never counted as survived.
        effects: the invariants that were broken besides, and `slow` where recovery came late.
        seconds: how late, where it was late.
    """

    name: ClassName
    effects: tuple[str, ...] = ()
    seconds: float | None = None


def classify(trial: Trial, reference: Trial | None = None) -> PointClass:
    """Return the class of a trial at a crash point; `reference` is its plan with nothing broken."""
    name: ClassName = next(name for name, holds in _CLASSES if holds(trial))
    if name in ("unreached", "unknown"):
        return PointClass(name=name)
    broken = [
        f.invariant for f in judge(trial, reference) if f.verdict in ("invalid", "by contract")
    ]
    effects = [
        invariant for invariant in dict.fromkeys(broken) if invariant != _EXPRESSED.get(name)
    ]
    seconds = slowness(trial)
    if seconds is not None and name != "slow":
        effects.append("slow")
    return PointClass(name=name, effects=tuple(effects), seconds=seconds)


def _unreached(trial: Trial) -> bool:
    return trial.strike is None and not trial.plan.null


def _unproven(trial: Trial) -> bool:
    asked, _ = trial.start
    return no_receipt(trial) is not None or not (trial.submitted or asked)


def _stopped(trial: Trial) -> bool:
    asked, told = trial.start
    if asked and told is None:
        return any(operation(event) in ("start", None) for event in trial.of_kind("judged"))
    fresh = fresh_jobs(trial)
    return bool(fresh) and all(_stuck(trial, job) for job in fresh)


def _lost(trial: Trial) -> bool:
    return any(_stuck(trial, job) for job in trial.submitted)


def _stuck(trial: Trial, job: JobRecord) -> bool:
    return job.waiting and trial.judged(job) is not None


def _undecided(trial: Trial) -> bool:
    asked, told = trial.start
    started = asked is None or told is not None
    asked_to_stop, stopped = trial.stop
    shut = asked_to_stop is None or stopped is not None or stop_judged(trial, asked_to_stop)
    waits = any(job.waiting for job in trial.submitted)
    open_ = any(one.ended is None and not trial.refuted(one) for one in trial.suspicions)
    return waits or open_ or not started or not shut


def _duplicated(trial: Trial) -> bool:
    return any(
        (end := end_of(job, first)) is not None and end.kind == "finished" and end.t <= later.t
        for job in trial.submitted
        for index, first in enumerate(job.starts)
        for later in job.starts[index + 1 :]
    )


def _slow(trial: Trial) -> bool:
    return slowness(trial) is not None


def _reported(trial: Trial) -> bool:
    _, told = trial.start
    if told is not None and told.kind != "ok":
        return True
    return any(
        job.resolution is not None and job.resolution.kind != "ok" and not job.own_error
        for job in trial.submitted
    )


_CLASSES: Final[tuple[tuple[ClassName, Callable[[Trial], bool]], ...]] = (
    ("unreached", _unreached),
    ("unknown", _unproven),
    ("stopped", _stopped),
    ("lost", _lost),
    ("unknown", _undecided),
    ("duplicated", _duplicated),
    ("slow", _slow),
    ("reported", _reported),
    ("survived", lambda _: True),
)
