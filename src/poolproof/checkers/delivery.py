"""What a caller was told about each job: something, once, the right thing, only if asked for."""

from collections.abc import Iterator, Sequence

from poolproof.checkers.attempts import retried_for_ever
from poolproof.checkers.base import Charge, Claim, accuse, checker, named, unknown, valid
from poolproof.checkers.evidence import NS, end_of, moment, story, told, unconfirmed
from poolproof.checkers.records import FaultRecord, JobRecord
from poolproof.checkers.trial import Trial
from poolproof.history import Event


def caller_died(trial: Trial) -> str | None:
    """Say that there is nobody left to be told, if the owner was to be killed."""
    return "the owner was killed, and every caller with it" if trial.owner_killed else None


@checker("unresolved-job", needs=[caller_died])
def unresolved_job(trial: Trial) -> Sequence[Claim]:
    """Every accepted job ends in a result or an error; jobs after the heal are `no-recovery`'s."""
    jobs = [job for job in trial.submitted if job.role != "fresh" or not trial.faulted]
    if not jobs:
        return unknown("no job was submitted before or while something was broken")
    waiting = [job for job in jobs if job.waiting]
    excused = {job.number: why for job in waiting if (why := _not_here(trial, job))}
    charges = [
        Charge(effect=_effect(job, judged), text=story(trial, job), job=job.number)
        for job in waiting
        if job.number not in excused and (judged := trial.judged(job))
    ]
    if charges:
        return accuse(charges)
    if doubtful := [job for job in waiting if job.number not in excused]:
        return unknown(
            f"{named([job.number for job in doubtful])} not resolved, and {unconfirmed(trial)}",
            evidence=[story(trial, job) for job in doubtful],
        )
    notes = [f"{why}: {story(trial, trial.jobs[number])}" for number, why in excused.items()]
    return valid(
        f"{len(jobs) - len(excused)} of {len(jobs)} jobs ended in a result or an error",
        evidence=notes,
    )


def _effect(job: JobRecord, judged: Event) -> str:
    if judged.data.get("why") == "owner-gone":
        return "the owner's process dies, and its callers with it"
    if job.answer is None:
        return "submit never returns"
    if job.cancelled:
        return "the caller of a cancelled job waits for ever"
    return "the caller waits for ever"


def _not_here(trial: Trial, job: JobRecord) -> str | None:
    """Return why a waiting job is not for this invariant to judge, or None if it is."""
    if retried_for_ever(trial, job):
        return "started again and again, which `duplicate-run` judges"
    if _held_by_frozen(trial, job, trial.judged(job)):
        return "held by the frozen worker, which is no violation"
    return None


def _held_by_frozen(trial: Trial, job: JobRecord, judged: Event | None) -> bool:
    """Tell whether the job waits in, or for, a worker still frozen when the wait was judged."""
    by = judged.t if judged else trial.events[-1].t
    return any(_holds(fault, job) for fault in trial.freezes if _frozen_at(fault, by))


def _frozen_at(fault: FaultRecord, t: int) -> bool:
    return fault.injected_at is not None and (fault.healed_at is None or fault.healed_at > t)


def _holds(fault: FaultRecord, job: JobRecord) -> bool:
    # what nobody has started may be in the frozen worker's hands; `starvation` judges the others
    last = job.starts[-1] if job.starts else None
    if last is None:
        return job.answer is not None
    return last.pid in {victim.pid for victim in fault.victims} and end_of(job, last) is None


@checker("wrong-result")
def wrong_result(trial: Trial) -> Sequence[Claim]:
    """A result is the one that the job had to give."""
    answered = [job for job in trial.submitted if job.sound and job.match is not None]
    if not answered:
        return unknown("no job ended in a result, so none could be wrong")
    values = _right_values(answered)
    wrong = [_wrong(trial, job, values) for job in answered if not job.match]
    return accuse(wrong) if wrong else valid(f"{len(answered)} results, each the right one")


def _right_values(answered: list[JobRecord]) -> dict[str, int]:
    """Return whose right answer a value is; a value that several jobs share says nothing."""
    owners: dict[str, list[int]] = {}
    for job in answered:
        if job.match:
            owners.setdefault(str(job.outcomes[0].data.get("value")), []).append(job.number)
    return {value: numbers[0] for value, numbers in owners.items() if len(numbers) == 1}


def _wrong(trial: Trial, job: JobRecord, values: dict[str, int]) -> Charge:
    whose = values.get(str(job.outcomes[0].data.get("value")))
    if whose is None:
        return Charge(effect="a wrong result", text=story(trial, job), job=job.number)
    text = f"{story(trial, job)}; that is the answer to job {whose}"
    return Charge(effect="answered with another job's result", text=text, job=job.number)


@checker("phantom-result")
def phantom_result(trial: Trial) -> Sequence[Claim]:
    """Nothing runs, and nobody is answered, that was not asked for."""
    phantoms = list(_phantoms(trial))
    if phantoms:
        return accuse(phantoms)
    return valid(
        f"{len(trial.submitted)} jobs submitted, and nothing was run or answered beyond them"
    )


def _phantoms(trial: Trial) -> Iterator[Charge]:
    for job in trial.jobs.values():
        for effect, events in _signs(job):
            early = [event for event in events if job.submit is None or event.t < job.submit.t]
            if early:
                where = f"process {early[0].pid} at {moment(trial, early[0].t)}"
                text = f"{where}: {effect}; {_asked(trial, job)}"
                yield Charge(effect=effect, text=text, job=job.number)


def _signs(job: JobRecord) -> Iterator[tuple[str, tuple[Event, ...]]]:
    yield "a job ran that nobody had asked for", (*job.starts, *job.finishes, *job.raises)
    yield "an answer to a job that nobody had asked for", job.outcomes


def _asked(trial: Trial, job: JobRecord) -> str:
    if job.submit is None:
        return f"job {job.number} was never submitted"
    return f"job {job.number} was submitted only at {moment(trial, job.submit.t)}"


@checker("two-outcomes", needs=[caller_died])
def two_outcomes(trial: Trial) -> Sequence[Claim]:
    """A job has one outcome: it does not change, and its callback is called once."""
    told_of = [job for job in trial.jobs.values() if job.outcomes or job.callbacks]
    if not told_of:
        return unknown("no job had an outcome")
    double = [charge for job in told_of for charge in _double(trial, job)]
    return accuse(double) if double else valid(f"{len(told_of)} jobs, each with one outcome")


def _double(trial: Trial, job: JobRecord) -> Iterator[Charge]:
    if len({(event.kind, event.error, event.data.get("match")) for event in job.outcomes}) > 1:
        changes = ", then ".join(
            f"{told(event)} at {moment(trial, event.t)}" for event in job.outcomes
        )
        yield Charge(
            effect="an outcome that changes", text=f"job {job.number}: {changes}", job=job.number
        )
    if len(job.callbacks) > 1:
        times = " and ".join(moment(trial, event.t) for event in job.callbacks[:3])
        text = f"the callback of job {job.number} was called {len(job.callbacks)} times, at {times}"
        yield Charge(effect="a callback called twice", text=text, job=job.number)


def no_deadline_promised(trial: Trial) -> str | None:
    """Say that no time is promised within which a job is over."""
    return None if trial.promises.get("deadline") is not None else "no deadline is promised"


@checker("late-answer", needs=[no_deadline_promised, caller_died])
def late_answer(trial: Trial) -> Sequence[Claim]:
    """A caller is told how a job ended within the promised time, and none is begun after that."""
    if not trial.submitted:
        return unknown("no job was submitted")
    charges = [charge for job in trial.submitted for charge in _late(trial, job)]
    if charges:
        return accuse(charges)
    promised, longest = trial.promises["deadline"], max(map(_waited_seconds, trial.submitted))
    return valid(f"told after at most {longest:.3f} s of the promised {promised} s")


def _late(trial: Trial, job: JobRecord) -> Iterator[Charge]:
    promised = trial.promises["deadline"]
    assert job.submit is not None
    until = job.resolution.t if job.resolution else trial.events[-1].t
    if (waited := (until - job.submit.t) / NS) > promised:
        effect = "told after the deadline" if job.resolution else "not told by the deadline"
        text = f"{waited:.3f} s where {promised} s are promised: {story(trial, job)}"
        yield Charge(effect=effect, text=text, job=job.number)
    late = [start for start in job.starts if (start.t - job.submit.t) / NS > promised]
    if late:
        text = f"{story(trial, job)}; its deadline of {promised} s was over at {moment(trial, late[0].t)}"
        yield Charge(effect="begun after the deadline", text=text, job=job.number)


def _waited_seconds(job: JobRecord) -> float:
    assert job.submit is not None
    return (job.resolution.t - job.submit.t) / NS if job.resolution else 0.0
