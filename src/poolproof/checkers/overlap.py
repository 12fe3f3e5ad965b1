"""Whether a job takes effect once, by its latest attempt, with no two attempts at the same time.

The effect of a job is what its own process does up to the end of its body: the line `finished`. So
a pool keeps these promises only if it ends an attempt before it begins the next one; a worker that
is lost in the middle of a job has had no effect.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from poolproof.checkers.attempts import no_start_evidence
from poolproof.checkers.base import Charge, Claim, Need, accuse, checker, unknown, valid
from poolproof.checkers.evidence import end_of, moment, story
from poolproof.checkers.records import JobRecord
from poolproof.checkers.trial import Trial
from poolproof.history import Event


def not_promised(name: str) -> Need:
    """Return what says that `name` is not promised, where it is not."""

    def need(trial: Trial) -> str | None:
        given = trial.promises.get(name)
        return f"{name} is not promised" if given is None or given is False else None

    return need


@checker("exactly-once", needs=[not_promised("exactly-once"), no_start_evidence])
def exactly_once(trial: Trial) -> Sequence[Claim]:
    """Each accepted job takes effect once; one that was refused, or cancelled, at most once.

    A job that raises its own error, or that ends its worker, has no effect to be counted. Where a
    fault was going on, an effect that was not recorded is not held to be none.
    """
    jobs = [job for job in trial.submitted if job.sound]
    charges = [charge for job in jobs for charge in _not_once(trial, job)]
    if charges:
        return accuse(charges)
    effects = sum(len(job.finishes) for job in jobs)
    if not effects:
        return unknown("no job took effect")
    return valid(f"{effects} effects of {len(jobs)} jobs, none of them twice")


def _not_once(trial: Trial, job: JobRecord) -> Iterator[Charge]:
    if len(job.finishes) > 1:
        times = " and ".join(moment(trial, event.t) for event in job.finishes[:3])
        text = f"job {job.number} took effect {len(job.finishes)} times, at {times}"
        yield Charge(
            effect="took effect twice", text=f"{text}: {story(trial, job)}", job=job.number
        )
    elif not job.finishes and (effect := _denied(trial, job)):
        yield Charge(effect=effect, text=story(trial, job), job=job.number)


def _denied(trial: Trial, job: JobRecord) -> str | None:
    """Return how an accepted job without an effect was done with, if it had to have one."""
    told = job.outcomes[0] if job.outcomes else None
    asked_to_stop, _ = trial.stop
    if told is None or not job.accepted or job.cancel or job.own_error:
        return None
    if told.kind == "ok":
        return None if _in_a_fault(trial, job, told) else "answered without having taken effect"
    late = asked_to_stop is not None and told.t >= asked_to_stop.t
    return None if late else "given up without having taken effect"


def _in_a_fault(trial: Trial, job: JobRecord, told: Event) -> bool:
    """Tell whether its process may have been unable to record anything."""
    assert job.submit is not None
    return trial.in_fault(job.submit.t, told.t) or bool(trial.strikes) or _lines_lost(trial)


def _lines_lost(trial: Trial) -> bool:
    return any("could not be written" in (note.message or "") for note in trial.of_kind("note"))


class _Overlap(NamedTuple):
    """An attempt that went on when the next one had begun, and how it ended, if it did."""

    job: JobRecord
    first: Event
    second: Event
    ended: Event | None


@checker("overlapping-run", needs=[not_promised("exclusive"), no_start_evidence])
def overlapping_run(trial: Trial) -> Sequence[Claim]:
    """No job is begun while an earlier attempt of it still runs."""
    return _judged(trial, "run twice at the same time", lambda _: True)


@checker("superseded-run", needs=[not_promised("fenced"), no_start_evidence])
def superseded_run(trial: Trial) -> Sequence[Claim]:
    """An attempt takes no effect any more once the job was begun anew."""

    def took_effect(overlap: _Overlap) -> bool:
        return overlap.ended is not None and overlap.ended.kind == "finished"

    return _judged(trial, "an attempt that was superseded takes effect", took_effect)


def _judged(trial: Trial, effect: str, counts: Callable[[_Overlap], bool]) -> Sequence[Claim]:
    charges = [
        Charge(effect=effect, text=_told(trial, overlap), job=overlap.job.number)
        for overlap in _overlaps(trial)
        if counts(overlap)
    ]
    if charges:
        return accuse(charges)
    starts = sum(len(job.starts) for job in trial.submitted)
    if not starts:
        return unknown("no job was begun")
    again = starts - sum(bool(job.starts) for job in trial.submitted)
    return valid(f"{starts} starts, {again} of them of a job begun before, none beside another")


def _overlaps(trial: Trial) -> Iterator[_Overlap]:
    """Yield each attempt whose own process shows that it went on when the next had begun."""
    last_word: dict[int, int] = {event.pid: event.t for event in trial.events}
    for job in trial.submitted:
        for first, second in pairwise(job.starts):
            ended = _end_after(job, first, second)
            over = ended is not None and ended.t <= second.t
            if not over and last_word[first.pid] > second.t:
                yield _Overlap(job, first, second, ended)


def _end_after(job: JobRecord, first: Event, second: Event) -> Event | None:
    """Return how an attempt ended; of two in one process, the one that ends first is the first."""
    ended = end_of(job, first)
    if ended is not None or first.pid != second.pid:
        return ended
    ends = [e for e in (*job.finishes, *job.raises) if e.pid == first.pid and e.t >= first.t]
    return min(ends, key=lambda event: event.t, default=None)


def _told(trial: Trial, overlap: _Overlap) -> str:
    first, second, ended = overlap.first, overlap.second, overlap.ended
    text = f"process {second.pid} began it at {moment(trial, second.t)}, while process {first.pid}"
    until = f"had {ended.kind} only at {moment(trial, ended.t)}" if ended else "was still at it"
    return f"{story(trial, overlap.job)}; {text}, which had begun it before, {until}"
