"""Who has a line in the drawing of a trial: the pool's owner, supervisors, callers, and each process that ran a job."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import msgspec

from poolproof.checkers import Trial
from poolproof.checkers.evidence import end_of
from poolproof.checkers.records import JobRecord, Process, buried, runner
from poolproof.history import Event
from poolproof.report.curves import coloured

MOST_CALLERS: Final = 8
MOST_WAITING: Final = 6
MOST_WORKERS: Final = 24
MOST_AT_ONCE: Final = 4
"""More attempts than these that overlap in one process share its last line."""

Kind = Literal["fault", "tree", "owner", "supervisor", "caller", "worker"]
FAULTS: Final = 0
TREE: Final = 1
OWNER: Final = 2
FOR_EVER: Final = 1 << 62


class Lane(msgspec.Struct, frozen=True, array_like=True):
    """One line of the drawing: its name, and whose it is."""

    name: str
    kind: Kind


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a job in a process, in nanoseconds; `how`: finished, raised, died or open."""

    job: int
    pid: int
    start: int
    end: int
    how: str


class Lanes:
    """Gives everybody a line.

    Attributes:
        lanes: the lines, from the top.
        supervisors: by path.
        callers: by job.
        workers: by pid, all lines of the process.
        runs: every run of a shown job, with its line.
        hidden: how many processes share the last line.
    """

    def __init__(self, trial: Trial, jobs: Sequence[JobRecord]) -> None:
        self.lanes = [Lane("faults", "fault"), Lane("workers", "tree"), Lane("owner", "owner")]
        self.supervisors = {
            path: self._add(" / ".join(path) or "supervisor", "supervisor")
            for path in dict.fromkeys(map(path_of, trial.of_kind("tree")))
        }
        self._callers_so_far = 0
        self.callers = self._callers(jobs)
        self.hidden = 0
        self._workers_known: set[int] = set()
        self.workers: dict[int, list[int]] = {}
        self.runs: dict[int, list[tuple[int, Run]]] = {}
        self._workers(trial, [run for job in jobs for run in runs_of(trial, job)])

    def _add(self, name: str, kind: Kind) -> int:
        self.lanes.append(Lane(name, kind))
        return len(self.lanes) - 1

    def _callers(self, jobs: Sequence[JobRecord]) -> dict[int, int]:
        """Keep those who are never told apart: they would fill the lines of all that come after them."""
        told = [job for job in jobs if not job.waiting]
        waiting = [job for job in jobs if job.waiting]
        return self._rows(told, MOST_CALLERS) | self._rows(waiting, MOST_WAITING)

    def _rows(self, jobs: Sequence[JobRecord], most: int) -> dict[int, int]:
        rows = coloured([(job.submitted_at or 0, over(job)) for job in jobs], most)
        first = len(self.lanes)
        for _ in range(max(rows, default=-1) + 1):
            self._callers_so_far += 1
            self._add(f"caller {self._callers_so_far}", "caller")
        return {job.number: first + row for job, row in zip(jobs, rows, strict=True)}

    def _workers(self, trial: Trial, runs: Iterable[Run]) -> None:
        found = worker_pids(trial)
        self._workers_known = set(found)
        by_pid: dict[int, list[Run]] = {pid: [] for pid in (*found, *born(trial))}
        for run in runs:
            by_pid.setdefault(run.pid, []).append(run)
        for pid, mine in by_pid.items():
            mine.sort(key=lambda run: run.start)
            rows = coloured([(run.start, run.end) for run in mine], MOST_AT_ONCE)
            lanes = self._lanes_of(pid, trial.owner, max(rows, default=0) + 1)
            self.workers[pid] = lanes
            for run, row in zip(mine, rows, strict=True):
                self.runs.setdefault(run.job, []).append((lanes[min(row, len(lanes) - 1)], run))

    def _lanes_of(self, pid: int, owner: int | None, width: int) -> list[int]:
        if len(self.workers) >= MOST_WORKERS:
            self.hidden += 1
            return next(reversed(self.workers.values()))
        what = "worker" if pid in self._workers_known else "process"
        name = "in the owner" if pid == owner else f"{what} {pid}"
        names = [name] if width == 1 else [f"{name}, {row + 1}" for row in range(width)]
        return [self._add(one, "worker") for one in names]


def path_of(event: Event) -> tuple[str, ...]:
    """Return the supervisor that an event of a tree is about."""
    return tuple(map(str, event.data.get("supervisor", ())))


def over(job: JobRecord) -> int:
    """Return when the job's caller was told how it ended, in nanoseconds; `FOR_EVER` if never."""
    return job.resolution.t if job.resolution is not None else FOR_EVER


def runs_of(trial: Trial, job: JobRecord) -> list[Run]:
    """Return every run of the job, each until its own end, its process's, or the end of the history."""
    return [_run(trial, job, start) for start in job.starts]


def _run(trial: Trial, job: JobRecord, start: Event) -> Run:
    end, how = end_of(job, start), ""
    if end is not None:
        until, how = end.t, end.kind
    elif (death := _death(trial, runner(start), start.t)) is not None:
        until, how = death, "died"
    else:
        until, how = trial.events[-1].t, "open"
    return Run(job.number, start.pid, start.t, until, how)


def _death(trial: Trial, process: Process, since: int) -> int | None:
    """Return when the process died after `since`, as seen from outside, or was killed on purpose."""
    ends = [event.t for event in trial.deaths if buried(event).is_(process) and event.t >= since]
    ends += [
        harm.since
        for harm in trial.harms
        if ends and harm.process.is_(process) and since <= harm.since <= ends[0]
    ]
    return min(ends, default=None)


def born(trial: Trial) -> dict[int, int]:
    """Return when each process of the tree was first seen from outside, the owner left out."""
    births = {event.data["child"]: event.t for event in trial.births}
    return {pid: t for pid, t in births.items() if pid != trial.owner}


def worker_pids(trial: Trial) -> list[int]:
    """Return the processes that count as workers: who is named one, who ran a job, and who takes the place of one.

    That is who is born after the fault while there are fewer than there should be; others are helpers of the pool.
    """
    births = born(trial)
    named = {pid for mark in trial.of_kind("phase") for pid in mark.data.get("workers", ())}
    ran = [event.pid for event in trial.of_kind("started") if event.pid != trial.owner]
    sure = list(dict.fromkeys([*(pid for pid in births if pid in named), *ran])) or list(births)
    harmed = min((harm.since for harm in trial.harms), default=None)
    if harmed is not None:
        for pid, t in births.items():
            if (
                pid not in sure
                and t >= harmed
                and _living(trial, sure, t) < trial.plan.target.workers
            ):
                sure.append(pid)
    return sure


def _living(trial: Trial, pids: Sequence[int], t: int) -> int:
    births = born(trial)
    dead = {buried(event).pid for event in trial.deaths if event.t <= t}
    return sum(births.get(pid, 0) <= t and pid not in dead for pid in pids)
