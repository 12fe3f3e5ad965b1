"""How often a job was run: again only if its worker was lost, never more often than promised.

A pool that promises nothing may run a job again if the process that ran it died, or was harmed,
before the answer was delivered. Whether a process was dead at a moment is told by what was done to
it, by its recorded death, and by its own later events; deaths are seen from outside, and late, so
an accusation needs more than the lack of a record.
"""

from collections.abc import Iterator, Sequence
from typing import Final

from poolproof.checkers.base import Charge, Claim, accuse, checker, unknown, valid
from poolproof.checkers.evidence import NS, end_of, moment, story
from poolproof.checkers.records import JobRecord, buried, runner
from poolproof.checkers.trial import MAX_STARTS, Trial
from poolproof.history import Event

DEATH_SEEN_WITHIN_NS: Final = 2 * NS
"""A death is on record at most this long after it happened."""

_ENDS_WORKERS: Final = frozenset(
    {"SystemExit", "KeyboardInterrupt", "GeneratorExit", "MemoryError"}
)


def no_start_evidence(trial: Trial) -> str | None:
    """Say so if jobs gave results and none left evidence of having run, as a pool's own do."""
    ran = any(job.starts for job in trial.jobs.values())
    if ran or not any(job.match is not None for job in trial.submitted):
        return None
    return "the jobs of this pool leave no evidence of where and how often they run"


def nothing_to_cancel(trial: Trial) -> str | None:
    """Say so if nobody asked for a cancellation."""
    asked = any(job.cancel for job in trial.submitted)
    return None if asked else "nobody asked for a cancellation"


@checker("cancelled-run", promise="cancel-final", needs=[nothing_to_cancel, no_start_evidence])
def cancelled_run(trial: Trial) -> Sequence[Claim]:
    """No job is begun after the pool has said that it is cancelled."""
    granted = [job for job in trial.submitted if job.cancelled]
    if not granted:
        return unknown("no cancellation was granted")
    charges = [
        Charge(
            effect="begun after its cancellation was granted",
            text=f"{story(trial, job)}; its cancellation was granted at {moment(trial, granted_at)}",
            job=job.number,
        )
        for job in granted
        if (granted_at := _granted_at(job)) < max((start.t for start in job.starts), default=0)
    ]
    return accuse(charges) if charges else valid(f"{len(granted)} jobs cancelled, none begun later")


def _granted_at(job: JobRecord) -> int:
    assert job.cancel_answer is not None
    return job.cancel_answer.t


@checker("duplicate-run", needs=[no_start_evidence])
def duplicate_run(trial: Trial) -> Sequence[Claim]:
    """A job is run again only if its process was lost before the answer was delivered."""
    charges = [charge for job in trial.submitted for charge in _duplicates(trial, job)]
    return _verdict(trial, charges)


@checker("at-most-once", promise="at-most-once", needs=[no_start_evidence])
def at_most_once(trial: Trial) -> Sequence[Claim]:
    """No job is started twice, whatever happens to its worker."""
    return _verdict(
        trial,
        [
            Charge(effect="started more than once", text=story(trial, job), job=job.number)
            for job in trial.submitted
            if len(job.starts) > 1
        ],
    )


@checker("retries", promise="retries", needs=[no_start_evidence])
def retries(trial: Trial) -> Sequence[Claim]:
    """No job is started more often than once and the promised number of retries."""
    allowed = trial.promises["retries"] + 1
    return _verdict(
        trial,
        [
            Charge(
                effect="retried more often than promised",
                text=f"{len(job.starts)} starts where {allowed} are promised: {story(trial, job)}",
                job=job.number,
            )
            for job in trial.submitted
            if len(job.starts) > allowed
        ],
    )


def _verdict(trial: Trial, charges: Sequence[Charge]) -> Sequence[Claim]:
    if charges:
        return accuse(charges)
    if not trial.submitted:
        return unknown("no job was submitted, so none could be run twice")
    starts = sum(len(job.starts) for job in trial.submitted)
    return valid(f"{starts} starts of {len(trial.submitted)} jobs, each one allowed")


def retried_for_ever(trial: Trial, job: JobRecord) -> bool:
    """Tell whether a job is started again and again although no number of retries is promised."""
    return "retries" not in trial.promises and len(job.starts) > MAX_STARTS


def _duplicates(trial: Trial, job: JobRecord) -> Iterator[Charge]:
    if retried_for_ever(trial, job):
        bound = f"{len(job.starts)} starts; where nothing is promised, {MAX_STARTS} are the bound"
        text = f"{bound}: {story(trial, job)}"
        yield Charge(effect="retried without end", text=text, job=job.number)
        return
    for first, second in zip(job.starts, job.starts[1:], strict=False):
        either = first.t == second.t and _excused(trial, job, second, first)
        if not either and not _excused(trial, job, first, second):
            yield _duplicate(trial, job, first, second)


def _duplicate(trial: Trial, job: JobRecord, first: Event, second: Event) -> Charge:
    ended = end_of(job, first)
    over = ended if ended is not None and ended.t <= second.t else None
    if job.outcomes and job.outcomes[0].t < second.t:
        effect = "run again after its answer was delivered"
    elif over is None:
        effect = "run twice at the same time"
    else:
        effect = f"run again after it had {over.kind}"
    again = f"started again by process {second.pid} at {moment(trial, second.t)}"
    text = f"{story(trial, job)}; {again}, with process {first.pid} neither dead nor harmed"
    return Charge(effect=effect, text=text, job=job.number)


def _excused(trial: Trial, job: JobRecord, first: Event, second: Event) -> bool:
    answered = job.outcomes[0].t if job.outcomes else None
    return any(
        answered is None or since <= answered
        for since in (*_harmed(trial, first, second), *_lost(trial, job, first, second))
    )


def _harmed(trial: Trial, first: Event, second: Event) -> Iterator[int]:
    """Yield since when the process of the first run had been harmed on purpose."""
    for harm in trial.harms:
        over = harm.until is not None and harm.until < first.t
        if harm.process.is_(runner(first)) and harm.since <= second.t and not over:
            yield harm.since


def _lost(trial: Trial, job: JobRecord, first: Event, second: Event) -> Iterator[int]:
    """Yield since when the first run may have been lost for another reason."""
    ended = end_of(job, first)
    if ended is not None and ended.kind == "raised" and "retries" in trial.promises:
        yield ended.t
    if any(event.t > second.t for event in trial.events if event.pid == first.pid):
        return  # it lived when the job was started again
    if ended is None:
        yield first.t
    elif ended.error in _ENDS_WORKERS or not job.sound:
        yield ended.t
    yield from _recorded_deaths(trial, first, second, ended)


def _recorded_deaths(
    trial: Trial, first: Event, second: Event, ended: Event | None
) -> Iterator[int]:
    asked_to_stop, _ = trial.stop
    for death in trial.deaths:
        if buried(death).is_(runner(first)) and death.t >= first.t:
            at_shutdown = asked_to_stop is not None and second.t < asked_to_stop.t <= death.t
            clean = death.data.get("status") == 0 and ended is not None and ended.kind == "finished"
            earliest = max(first.t, death.t - DEATH_SEEN_WITHIN_NS)
            if earliest <= second.t and not at_shutdown and not clean:
                yield earliest
