"""What a pool was doing when it was hit: the second half of a pair of fault and state."""

from typing import Final

from poolproof.checkers import Trial
from poolproof.checkers.records import JobRecord

STATES: Final = (
    "starting",
    "idle",
    "some work",
    "all work",
    "all work, jobs wait",
    "jobs wait",
    "stopping",
)
"""Every state there is, in the order in which they are shown."""


def state_when_hit(trial: Trial) -> str:
    """Return the state of the pool at the first strike or injection; empty if there was none."""
    hits = [event.t for event in (*trial.of_kind("inject"), *trial.strikes)]
    return state_at(trial, min(hits)) if hits else ""


def state_at(trial: Trial, when: int) -> str:
    """Return the state at a time of the trial, in nanoseconds."""
    _, started = trial.start
    asked_to_stop, _ = trial.stop
    if started is None or started.t > when:
        return "starting"
    if asked_to_stop is not None and asked_to_stop.t <= when:
        return "stopping"
    running = sum(_runs(job, when) for job in trial.jobs.values())
    waiting = sum(_waits(job, when) for job in trial.submitted)
    return _load(running, waiting, trial.plan.target.workers)


def _load(running: int, waiting: int, workers: int) -> str:
    if not running:
        return "jobs wait" if waiting else "idle"
    if running < workers:
        return "some work"
    return "all work, jobs wait" if waiting else "all work"


def _runs(job: JobRecord, when: int) -> bool:
    """Tell whether an attempt of the job was under way."""
    begun = sum(event.t <= when for event in job.starts)
    ended = sum(event.t <= when for event in (*job.finishes, *job.raises))
    return begun > ended and not _resolved(job, when)


def _waits(job: JobRecord, when: int) -> bool:
    asked = job.submitted_at is not None and job.submitted_at <= when
    begun = any(event.t <= when for event in job.starts)
    return asked and not begun and not _resolved(job, when)


def _resolved(job: JobRecord, when: int) -> bool:
    return job.resolution is not None and job.resolution.t <= when
