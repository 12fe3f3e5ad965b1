"""What the pool does afterwards: it serves or says that it is broken, and it shuts down."""

from collections.abc import Iterator, Sequence
from typing import Final

from poolproof.checkers.base import Charge, Claim, accuse, checker, named, unknown, valid
from poolproof.checkers.delivery import caller_died
from poolproof.checkers.evidence import NS, end_of, lasted, moment, story, unconfirmed
from poolproof.checkers.records import FaultRecord, JobRecord, operation
from poolproof.checkers.trial import Trial
from poolproof.history import Event

CONFIRMED_AFTER: Final = 10
"""What is suspected is confirmed at this many times the wait."""


def nothing_broken(trial: Trial) -> str | None:
    """Say that there is nothing to recover from."""
    return None if trial.faulted else "nothing was broken in this trial"


def no_fresh_job(trial: Trial) -> str | None:
    """Say that no job is asked for after the fault, as when the fault is the shutdown."""
    asked_to_stop, _ = trial.stop
    if trial.plan.fresh == 0 or (asked_to_stop and not fresh_jobs(trial)):
        return "no job is asked for after this fault"
    return None


def nobody_frozen(trial: Trial) -> str | None:
    """Say that no worker was frozen while the pool was to serve."""
    return None if _freezes(trial) else "no worker was frozen while the pool was to serve"


def _freezes(trial: Trial) -> list[FaultRecord]:
    return [fault for fault in trial.freezes if fault.kind != "freeze-shutdown"]


def fresh_jobs(trial: Trial) -> list[JobRecord]:
    """Return the jobs that were submitted after the heal."""
    return [job for job in trial.submitted if job.role == "fresh"]


@checker("no-recovery", needs=[nothing_broken, caller_died, no_fresh_job])
def no_recovery(trial: Trial) -> Sequence[Claim]:
    """After the heal each new job ends in a result, or in an error: the pool says it is broken."""
    fresh = fresh_jobs(trial)
    if not fresh:
        return unknown("no job was submitted after the fault")
    waiting = [job for job in fresh if job.waiting]
    stuck = [job for job in waiting if trial.judged(job)]
    if stuck:
        charges = [
            Charge(
                effect="jobs after the heal wait for ever", text=story(trial, job), job=job.number
            )
            for job in stuck
        ]
        return accuse(
            charges,
            context=[f"{len(stuck)} of {len(fresh)} jobs submitted after the fault never resolved"],
        )
    if waiting:
        numbers = named([job.number for job in waiting])
        return unknown(
            f"{numbers} not resolved, and {unconfirmed(trial)}",
            evidence=[story(trial, j) for j in waiting],
        )
    return valid(_how_it_serves(fresh))


def _how_it_serves(fresh: list[JobRecord]) -> str:
    broken = [job.resolution for job in fresh if job.resolution and job.resolution.kind != "ok"]
    if not broken:
        return f"{len(fresh)} of {len(fresh)} jobs after the fault were served"
    names = ", ".join(sorted({str(event.error) for event in broken}))
    return f"reported broken: {len(broken)} of {len(fresh)} jobs after the fault raised {names}"


@checker("recovery", promise="recovery", needs=[nothing_broken, caller_died, no_fresh_job])
def recovery(trial: Trial) -> Sequence[Claim]:
    """Each job after the heal is served in the promised time from the heal or its submission."""
    fresh = fresh_jobs(trial)
    if not fresh:
        return unknown("no job was submitted after the fault")
    charges = [charge for job in fresh for charge in _late_or_broken(trial, job)]
    if charges:
        return accuse(charges)
    if waiting := [job.number for job in fresh if job.waiting]:
        return unknown(f"{named(waiting)} not resolved, and {unconfirmed(trial)}")
    slowest = max(_recovery_seconds(trial, job) for job in fresh)
    return valid(
        f"recovered in at most {slowest:.3f} s of the promised {trial.promises['recovery']} s"
    )


def _late_or_broken(trial: Trial, job: JobRecord) -> Iterator[Charge]:
    promised = trial.promises["recovery"]
    resolution = job.resolution
    if resolution is None:
        if trial.judged(job):
            yield Charge(effect="never recovered", text=story(trial, job), job=job.number)
    elif resolution.kind != "ok":
        if not job.own_error:
            yield Charge(
                effect="still broken after the heal", text=story(trial, job), job=job.number
            )
    elif (took := _recovery_seconds(trial, job)) > promised:
        text = f"{took:.3f} s where {promised} s are promised: {story(trial, job)}"
        yield Charge(effect="recovered too late", text=text, job=job.number)


def _recovery_seconds(trial: Trial, job: JobRecord) -> float:
    assert job.submit is not None
    assert job.resolution is not None
    marks = [event.t for kind in ("inject", "heal", "healed") for event in trial.of_kind(kind)]
    broken_until = max((*marks, *(event.t for event in trial.strikes)), default=job.submit.t)
    return max(0, job.resolution.t - max(broken_until, job.submit.t)) / NS


@checker("shutdown-hang", needs=[caller_died])
def shutdown_hang(trial: Trial) -> Sequence[Claim]:
    """The shutdown ends: it returns, or it raises.

    An end that comes after it was confirmed that the caller waits in vain is none any more: thawing what was frozen
    does not undo that.
    """
    asked, ended = trial.stop
    if asked is None:
        return unknown("the shutdown was never asked for")
    judged = stop_judged(trial, asked)
    in_vain = judged is not None and judged.op == "stop"
    if ended is not None and (judged is None or not in_vain or ended.t <= judged.t):
        return valid(
            f"the shutdown {'returned' if ended.kind == 'ok' else f'raised {ended.error}'}"
        )
    until = f"returned only at {moment(trial, ended.t)}" if ended else "never returned"
    begun = f"shutdown asked for at {moment(trial, asked.t)}, {until}"
    if judged is None:
        return unknown(f"the shutdown has not returned, and {unconfirmed(trial)}", evidence=[begun])
    text = f"{begun}; its caller was still waiting {lasted(trial, judged)}"
    gone = judged.data.get("why") == "owner-gone"
    effect = "the owner's process dies in the shutdown" if gone else "the shutdown never returns"
    return accuse([Charge(effect=effect, text=text)])


def stop_judged(trial: Trial, asked: Event) -> Event | None:
    """Return the confirmation that the shutdown, which was asked for then, does not end."""
    return next((event for event in trial.of_kind("judged") if _covers(event, asked)), None)


def _covers(judged: Event, asked: Event) -> bool:
    """Tell whether the confirmed wait was for the shutdown too, whatever else was waited for."""
    if operation(judged) in ("stop", None):
        return judged.t >= asked.t
    waited_ms: float = judged.data.get("waited_ms", 0)
    return judged.t - waited_ms * NS / 1000 >= asked.t


@checker("starvation", needs=[nobody_frozen])
def starvation(trial: Trial) -> Sequence[Claim]:
    """While one worker is frozen, the others go on with the jobs that wait."""
    against = [claims for fault in _freezes(trial) if (claims := _starved(trial, fault))]
    return against[0] if against else valid("jobs moved on while a worker was frozen")


def _starved(trial: Trial, fault: FaultRecord) -> Sequence[Claim]:
    """Return what is to be said against one freeze, or nothing if jobs moved on during it."""
    if fault.injected_at is None:
        return unknown("nobody recorded when the worker was frozen")
    since, until = fault.injected_at, _thaw(trial, fault)
    waiting = [
        job
        for job in trial.submitted
        if _in_flight(job, since, until) and not _its_own(fault, job, since)
    ]
    if not waiting:
        return unknown("no job but the frozen worker's own was waiting while it was frozen")
    if any(_moved_on(job, since, until) for job in waiting):
        return ()
    idle = _idle_workers(trial, fault, since, until)
    if not idle:
        return unknown(
            "nothing moved while a worker was frozen, and no other is known to have been idle"
        )
    numbers = tuple(job.number for job in waiting)
    text = (
        f"{named(numbers)} waited from {moment(trial, since)} to {moment(trial, until)}, while "
        f"{', '.join(str(victim.pid) for victim in fault.victims)} was frozen and worker "
        f"{', '.join(map(str, sorted(idle)))} had nothing to do; none was begun or resolved"
    )
    if not _confirmed(trial, since, until):
        return unknown(
            "nothing moved while a worker was frozen, but that was not waited for long enough",
            evidence=[text],
        )
    effect = "healthy workers starve while one is frozen"
    return accuse([Charge(effect=effect, text=text, job=number) for number in numbers[:1]])


def _thaw(trial: Trial, fault: FaultRecord) -> int:
    """Return when the freeze ended: at the heal, the shutdown, or the end of the history."""
    asked_to_stop, _ = trial.stop
    ends = [fault.healed_at, asked_to_stop.t if asked_to_stop else None]
    return min((t for t in ends if t is not None), default=trial.events[-1].t)


def _in_flight(job: JobRecord, since: int, until: int) -> bool:
    assert job.submit is not None
    return job.submit.t < until and (job.resolution is None or job.resolution.t >= since)


def _its_own(fault: FaultRecord, job: JobRecord, since: int) -> bool:
    pids = {victim.pid for victim in fault.victims}
    return any(
        start.pid in pids
        and start.t <= since
        and ((end := end_of(job, start)) is None or end.t > since)
        for start in job.starts
    )


def _moved_on(job: JobRecord, since: int, until: int) -> bool:
    """Tell whether the job was resolved in that time, or was begun and is still being run.

    One that was run to its end, and whose caller was not told, is held up like one that never ran.
    """
    told = [job.resolution] if job.resolution else []
    running = [start for start in job.starts if end_of(job, start) is None]
    return any(since <= event.t < until for event in (*told, *running))


def _idle_workers(trial: Trial, fault: FaultRecord, since: int, until: int) -> set[int]:
    """Return the workers that were there, had no job when the freeze began, and were not hit."""
    begun = [(job, start) for job in trial.submitted for start in job.starts if start.t <= since]
    judged = [event for event in trial.of_kind("judged") if since <= event.t <= until]
    alive = {pid for event in judged for pid in event.data.get("alive", ())}
    hit = {victim.pid for victim in fault.victims}
    dead = {death.data["child"] for death in trial.deaths if death.t <= since}
    busy = {s.pid for job, s in begun if (end := end_of(job, s)) is None or end.t > since}
    return (alive | {start.pid for _, start in begun}) - hit - dead - busy


def _confirmed(trial: Trial, since: int, until: int) -> bool:
    """Tell whether the standstill was judged in the freeze, or that was as long as a judgement."""
    if any(since <= event.t <= until for event in trial.of_kind("judged")):
        return True
    for suspicion in trial.suspicions:
        waited_ns = suspicion.began.data.get("waited_ms", 0) * NS / 1000
        begun = suspicion.began.t - waited_ns
        if (
            since <= suspicion.began.t <= until
            and waited_ns
            and until - begun >= CONFIRMED_AFTER * waited_ns
        ):
            return True
    return False


def slowness(trial: Trial) -> float | None:
    """Return the seconds from a suspicion to the end of the wait; None if nothing was late.

    The longest counts, if there were several.
    """
    late = [
        end.t - suspicion.began.t
        for suspicion in trial.suspicions
        if trial.refuted(suspicion)
        for end in trial.awaited(suspicion)
        if end is not None and end.t >= suspicion.began.t
    ]
    return max(late) / NS if late else None
