"""What a pool takes in: no more than it said, at once or not at all, and nothing that it refused."""

from collections.abc import Iterator, Sequence
from typing import Final

from poolproof.checkers.attempts import no_start_evidence
from poolproof.checkers.base import Charge, Claim, accuse, checker, unknown, valid
from poolproof.checkers.delivery import caller_died
from poolproof.checkers.evidence import NS, moment, story
from poolproof.checkers.overlap import not_promised
from poolproof.checkers.records import JobRecord
from poolproof.checkers.trial import Trial

_JOINS, _LEAVES, _LOST = range(3)
_CHANGE: Final = {_JOINS: 1, _LEAVES: -1, _LOST: 0}


@checker("queue-bound", needs=[not_promised("queue"), no_start_evidence])
def queue_bound(trial: Trial) -> Sequence[Claim]:
    """No more accepted jobs wait to be begun than promised.

    Each worker may be about to begin one more, and each that was lost may have been: of those the
    history cannot tell that they wait no longer. So they are added to the promised number.
    """
    promised, crew = trial.promises["queue"], _crew(trial)
    waiting = lost = most = 0
    for t, kind, _ in _changes(trial):
        waiting += _CHANGE[kind]
        lost += kind == _LOST
        most = max(most, waiting)
        if waiting > promised + crew + lost:
            beside = f"{crew} more may have been in the hands of workers"
            beside += f", {lost} in those of workers that were hit" if lost else ""
            text = f"at {moment(trial, t)} {waiting} accepted jobs waited, where {promised} may; {beside}"
            return accuse([Charge(effect="more jobs wait than promised", text=text)])
    if not any(job.accepted for job in trial.submitted):
        return unknown("no job was accepted, so none could wait")
    return valid(f"at most {most} jobs waited to be begun, where {promised} may")


def _crew(trial: Trial) -> int:
    """Return how many workers there may be: a factory need not heed the number asked for."""
    ran = {start.pid for job in trial.jobs.values() for start in job.starts}
    return max(trial.plan.target.workers, len(ran))


def _changes(trial: Trial) -> list[tuple[int, int, int]]:
    """Return in order of time when a job began or ceased to wait, and when a process was hit.

    In the same nanosecond whoever leaves goes first.
    """
    changes = [(harm.since, _LOST, harm.process.pid) for harm in trial.harms]
    changes += [(death.t, _LOST, death.data["child"]) for death in trial.deaths]
    for job in trial.submitted:
        if job.accepted and job.answer is not None:
            left = _left_at(job)
            changes.append((job.answer.t, _JOINS, job.number))
            # one that is begun before its submit has returned never waited
            changes.append((max(left, job.answer.t), _LEAVES, job.number))
    return sorted(changes, key=lambda change: (change[0], -change[1]))


def _left_at(job: JobRecord) -> int:
    """Return when a job surely waited no longer: begun, told, or to be cancelled."""
    ends = (*job.starts[:1], *job.outcomes[:1], *((job.cancel,) if job.cancel else ()))
    return min((event.t for event in ends), default=2**63)


@checker("shedding", needs=[not_promised("shedding"), caller_died])
def shedding(trial: Trial) -> Sequence[Claim]:
    """Submit accepts or refuses in the promised time, and what it refused is never begun."""
    if not trial.submitted:
        return unknown("no job was submitted")
    charges = [charge for job in trial.submitted for charge in _shed_badly(trial, job)]
    if charges:
        return accuse(charges)
    refused = sum(job.refused is not None for job in trial.submitted)
    return valid(f"{len(trial.submitted)} jobs accepted or refused in time, {refused} refused")


def _shed_badly(trial: Trial, job: JobRecord) -> Iterator[Charge]:
    assert job.submit is not None
    promised = trial.promises["shedding"]
    until = job.answer.t if job.answer else trial.events[-1].t
    if (took := (until - job.submit.t) / NS) > promised:
        text = f"submit took {took:.3f} s, where {promised} s are promised: {story(trial, job)}"
        effect = "accepted or refused too late" if job.answer else "neither accepted nor refused"
        yield Charge(effect=effect, text=text, job=job.number)
    if job.refused is not None and job.starts:
        text = f"{story(trial, job)}; its caller had been told that it was refused"
        yield Charge(effect="a job that was refused is run", text=text, job=job.number)
