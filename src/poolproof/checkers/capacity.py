"""Whether all workers are there, and at work: the lost are replaced, and none idles while jobs wait."""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import NamedTuple

from poolproof.checkers.attempts import no_start_evidence
from poolproof.checkers.base import Charge, Claim, accuse, checker, unknown, valid
from poolproof.checkers.delivery import caller_died
from poolproof.checkers.evidence import NS, end_of, moment
from poolproof.checkers.ordering import disturbed
from poolproof.checkers.records import JobRecord, Process, buried
from poolproof.checkers.trial import Trial
from poolproof.history import Event


def workers_not_counted(trial: Trial) -> str | None:
    """Say so if the workers were not counted both before and after something was broken."""
    if not _workers_before(trial):
        return "its workers are no processes, or nobody counted them before anything was broken"
    return None if _counted_again(trial) else "the workers were not counted after the heal"


def _workers_before(trial: Trial) -> frozenset[int]:
    marks = [event for event in trial.of_kind("phase") if event.data.get("phase") == "faulted"]
    return frozenset(marks[-1].data.get("workers", ())) if marks else frozenset()


def _counted_again(trial: Trial) -> Event | None:
    """Return the mark at which who lives was noted for the last time before the shutdown."""
    marks = [event for event in trial.of_kind("phase") if event.data.get("phase") == "stop"]
    return marks[-1] if marks else None


@checker("capacity", promise="capacity", needs=[caller_died, workers_not_counted])
def capacity(trial: Trial) -> Sequence[Claim]:
    """A worker that was lost is replaced in the promised time.

    Who lives is counted when the shutdown is about to begin. Of a worker whose loss is not recorded
    earlier, or was more recent than promised, nobody knows whether it would have been replaced.
    """
    promised, counted = trial.promises["capacity"], _counted_again(trial)
    assert counted is not None
    before, now = _workers_before(trial), _alive(trial)
    missing = len(before - now) - len(_born_since(trial) & now)
    if missing <= 0:
        return valid(
            f"{len(before & now)} of {len(before)} workers live on, the others are replaced"
        )
    lost = sorted(t for pid in before - now if (t := _lost_at(trial, pid)) is not None)
    overdue = [t for t in lost if counted.t - t > promised * NS]
    # the newcomers replace those who were lost first
    replaced = len(before - now) - missing
    if len(overdue) <= replaced:
        least = max(0.0, min(((counted.t - t) / NS for t in lost), default=0.0))
        return unknown(
            f"{missing} of {len(before)} workers were not replaced yet when the shutdown began, "
            f"{least:.3f} s after a loss; {promised} s are promised"
        )
    text = (
        f"{len(before)} workers before the fault; when the shutdown began, at "
        f"{moment(trial, counted.t)}, {missing} of those were gone and not replaced, the first of "
        f"them since {moment(trial, overdue[replaced])}; {promised} s are promised"
    )
    return accuse([Charge(effect="a lost worker is not replaced", text=text)])


def _alive(trial: Trial) -> frozenset[int]:
    """Return who lived when the shutdown was asked for."""
    asked, _ = trial.stop
    until = asked.t if asked is not None else trial.events[-1].t
    alive: set[int] = set()
    for event in trial.events:
        if event.t <= until and event.kind == "birth":
            alive.add(event.data["child"])
        elif event.t <= until and event.kind == "death":
            alive.discard(event.data["child"])
    return frozenset(alive)


def _born_since(trial: Trial) -> frozenset[int]:
    """Return the processes that were first seen after the mark of the fault's beginning."""
    known = _workers_before(trial)
    fault = [event.t for event in trial.of_kind("inject")] + [e.t for e in trial.strikes]
    since = min(fault, default=0)
    late = {birth.data["child"] for birth in trial.births if birth.t >= since}
    return frozenset(late - known)


def _lost_at(trial: Trial, pid: int) -> int | None:
    harmed = [harm.since for harm in trial.harms if harm.process.pid == pid]
    dead = [death.t for death in trial.deaths if buried(death).pid == pid]
    return min((*harmed, *dead), default=None)


class _Wait(NamedTuple):
    """From when to when an accepted job waited to be begun."""

    since: int
    until: int
    job: JobRecord


class _Idle(NamedTuple):
    """From when to when a process could have run one more job, as it had done before."""

    since: int
    until: int
    pid: int


@checker("idle-worker", promise="work-conserving", needs=[no_start_evidence])
def idle_worker(trial: Trial) -> Sequence[Claim]:
    """No job waits longer than promised while a worker is idle.

    A worker counts as idle between two of its own runs; a process with several threads or tasks,
    while it runs fewer jobs than it has run at a time. Jobs that waited while something was broken,
    or after a harmful job had been begun, are not judged.
    """
    judged = [wait for wait in _waits(trial) if not _spoiled(trial, wait)]
    if not judged:
        return unknown("no job waited and was begun while nothing was broken")
    charges = list(_left_waiting(trial, judged))
    return accuse(charges) if charges else valid(f"{len(judged)} jobs, none waited beside the idle")


def _waits(trial: Trial) -> Iterator[_Wait]:
    for job in trial.submitted:
        if job.accepted and job.answer and job.starts and not job.cancel:
            yield _Wait(job.answer.t, max(job.answer.t, job.starts[0].t), job)


def _spoiled(trial: Trial, wait: _Wait) -> bool:
    return disturbed(trial, wait.job) or trial.in_fault(wait.since, wait.until)


def _left_waiting(trial: Trial, judged: Sequence[_Wait]) -> Iterator[Charge]:
    """Yield a charge for each idle time in which one and the same job waited too long."""
    promised = round(trial.promises["work-conserving"] * NS)
    long = [wait for wait in judged if wait.until - wait.since > promised]
    long.sort(key=lambda wait: wait.since)
    since = [wait.since for wait in long]
    slowest = list(accumulate(long, _later))
    for idle in _idle_times(trial):
        there = bisect_right(since, idle.since)
        # of those that were there, the one that is begun last; of those that came, the first
        for wait in (*slowest[there - 1 : there], *long[there : there + 1]):
            began, ended = max(wait.since, idle.since), min(wait.until, idle.until)
            if ended - began > promised:
                yield _charge(trial, wait, idle, began, ended)
                break


def _later(one: _Wait, other: _Wait) -> _Wait:
    return other if other.until > one.until else one


def _charge(trial: Trial, wait: _Wait, idle: _Idle, began: int, ended: int) -> Charge:
    text = (
        f"job {wait.job.number}, accepted at {moment(trial, wait.since)} and begun at "
        f"{moment(trial, wait.until)}, waited for {(ended - began) / NS:.3f} s while process "
        f"{idle.pid} had room for it; {trial.promises['work-conserving']} s are promised"
    )
    return Charge(effect="a job waits while a worker is idle", text=text, job=wait.job.number)


def _idle_times(trial: Trial) -> Iterator[_Idle]:
    """Yield when each process ran fewer jobs than it can, between its first start and its last."""
    changes: dict[int, list[tuple[int, int]]] = {}
    for job in trial.submitted:
        for start in job.starts:
            ended = end_of(job, start)
            mine = changes.setdefault(start.pid, [])
            mine.append((start.t, 1))
            mine += [(ended.t, -1)] if ended is not None else []
    for pid, mine in changes.items():
        yield from (idle for idle in _gaps(pid, sorted(mine)) if not _harmed(trial, idle))


def _gaps(pid: int, changes: Sequence[tuple[int, int]]) -> Iterator[_Idle]:
    running = list(accumulate(change for _, change in changes))
    most = max(running)
    since: int | None = None
    for at in range(running.index(most), len(running)):
        if running[at] < most and since is None:
            since = changes[at][0]
        elif running[at] == most and since is not None:
            yield _Idle(since, changes[at][0], pid)
            since = None


def _harmed(trial: Trial, idle: _Idle) -> bool:
    return any(
        harm.process.is_(Process(idle.pid))
        and harm.since < idle.until
        and (harm.until is None or harm.until > idle.since)
        for harm in trial.harms
    )
