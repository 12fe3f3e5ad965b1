"""In which order jobs are begun: first come, first served, where a pool promises it."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from itertools import permutations

from poolproof.checkers.attempts import no_start_evidence
from poolproof.checkers.base import Charge, Claim, accuse, checker, unknown, valid
from poolproof.checkers.evidence import end_of, moment
from poolproof.checkers.records import JobRecord
from poolproof.checkers.trial import Trial
from poolproof.history import Event


def fifo_not_promised(trial: Trial) -> str | None:
    """Say so if no order is promised."""
    return None if trial.promises.get("order") == "fifo" else "no order is promised"


def workers_not_told_apart(trial: Trial) -> str | None:
    """Say so if several workers share one process: the scheduler decides who starts first."""
    starts = [(job, start) for job in trial.submitted for start in job.starts]
    shared = any(start.pid == trial.owner or _beside_another(start, starts) for _, start in starts)
    if shared and trial.plan.target.workers > 1:
        return (
            "several workers in one process cannot be told apart; check the order with --workers 1"
        )
    return None


def _beside_another(start: Event, starts: Sequence[tuple[JobRecord, Event]]) -> bool:
    return any(
        other.pid == start.pid
        and other.t < start.t
        and (end := end_of(job, other)) is not None
        and start.t < end.t
        for job, other in starts
    )


@checker("order", needs=[fifo_not_promised, no_start_evidence, workers_not_told_apart])
def order(trial: Trial) -> Sequence[Claim]:
    """A job that was accepted before another was submitted is begun before it.

    With several workers only what cannot be the scheduler's doing counts: the worker that began
    the earlier job was at another one when the later job was begun elsewhere. A job is exempt if a
    fault hit anybody while it waited, or if a harmful job had been begun before it.
    """
    ran = [job for job in trial.submitted if job.starts and job.accepted and not job.cancel]
    pairs = [
        (a, b) for a, b in permutations(ran, 2) if a.answer and b.submit and a.answer.t < b.submit.t
    ]
    judged = [(a, b) for a, b in pairs if not disturbed(trial, a)]
    if not judged:
        return unknown("no two jobs that ran undisturbed were submitted one after the other")
    overtaken = list(_overtaken(trial, judged))
    return (
        accuse(overtaken)
        if overtaken
        else valid(f"{len(judged)} pairs of jobs, each begun in order")
    )


def disturbed(trial: Trial, job: JobRecord) -> bool:
    """Tell whether a job that was begun had waited through a fault, or after a harmful job."""
    assert job.submit is not None
    begun, times = job.starts[0].t, trial.upheavals
    if trial.first_harmful is not None and trial.first_harmful <= begun:
        return True
    return bisect_left(times, job.submit.t) < bisect_right(times, begun)


def _overtaken(trial: Trial, pairs: Sequence[tuple[JobRecord, JobRecord]]) -> Iterator[Charge]:
    for a, b in pairs:
        if b.starts[0].t < a.starts[0].t and _surely(trial, a, b):
            text = (
                f"job {a.number} was accepted before job {b.number} was submitted, and yet "
                f"job {b.number} was begun at {moment(trial, b.starts[0].t)} "
                f"and job {a.number} only at {moment(trial, a.starts[0].t)}"
            )
            yield Charge(effect="a later job is begun first", text=text, job=a.number)


def _surely(trial: Trial, a: JobRecord, b: JobRecord) -> bool:
    """Tell whether a's worker cannot have taken a before b was begun: it did something else."""
    if trial.plan.target.workers == 1:
        return True
    mine, since, until = a.starts[0].pid, b.starts[0].t, a.starts[0].t
    return any(
        event.pid == mine and since < event.t < until
        for job in trial.submitted
        if job is not a
        for event in (*job.starts, *job.finishes, *job.raises)
    )
