"""One trial as a drawing: lanes, bars, messages, marks and curves on one time axis, as data that a page can draw.

Times are whole microseconds since the pool's start was asked for. What the page shows, and what a test
can hold it to, is this; the page itself only draws.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, Final, Literal

import msgspec

from poolproof.checkers import Trial
from poolproof.checkers.records import JobRecord, buried
from poolproof.history import Event
from poolproof.report import curves
from poolproof.report.curves import Curve
from poolproof.report.lanes import FAULTS, OWNER, Lane, Lanes, over, path_of, runs_of, worker_pids

MOST_JOBS: Final = 10_000

Outcome = Literal["ok", "error", "wrong", "refused", "cancelled", "never"]
Strip = Literal["up", "degraded", "down", "restarting", "escalated", "stopping"]
HOW: Final = ("finished", "raised", "died", "open")
"""How a run ended; `open`: nobody saw its end."""
NEVER: Final = -1


class Attempt(msgspec.Struct, frozen=True, array_like=True):
    """One run of a job: in which lane, from when, for how long, and how it ended (an index of `HOW`)."""

    lane: int
    start: int
    took: int
    how: int


class Job(msgspec.Struct, frozen=True, array_like=True):
    """One job as its caller saw it; `took` is -1 while it waits for ever, `error` empty where there was none."""

    number: int
    role: str
    lane: int
    submitted: int
    took: int
    outcome: Outcome
    error: str
    attempts: tuple[Attempt, ...]


class Bar(msgspec.Struct, frozen=True, array_like=True):
    """Something that lasts in a lane: the life of a process, a call of the pool; `end` is -1 where it never ended."""

    lane: int
    start: int
    end: int
    what: str
    text: str


class Mark(msgspec.Struct, frozen=True, array_like=True):
    """Something that happened at one moment."""

    lane: int
    at: int
    what: str
    text: str


class Band(msgspec.Struct, frozen=True, array_like=True):
    """A fault while it lasted, over all lanes."""

    name: str
    start: int
    end: int
    text: str


class Timeline(msgspec.Struct, frozen=True, kw_only=True):
    """One trial as a drawing.

    Attributes:
        name: where its history is, from the run's directory on.
        end: the length of the axis, in microseconds.
        total: how many jobs the trial has; `jobs` may hold fewer, and `note` says so.
        strip: the state of the tree, from when on, in words.
        curves: by name, how a number changed: waiting, queued, running, workers.
        quantiles: of the latencies that callers saw, in microseconds.
        note: what is not drawn.
    """

    name: str
    end: int
    total: int
    lanes: tuple[Lane, ...]
    jobs: tuple[Job, ...]
    bars: tuple[Bar, ...]
    marks: tuple[Mark, ...]
    bands: tuple[Band, ...]
    strip: tuple[tuple[int, Strip, str], ...]
    curves: dict[str, Curve]
    quantiles: dict[str, int]
    note: str = ""


def timeline(trial: Trial, *, most_jobs: int = MOST_JOBS) -> Timeline:
    """Return the drawing of a trial; of more than `most_jobs` jobs, those that tell most."""
    return _Drawing(trial, most_jobs).whole()


def telling(jobs: Sequence[JobRecord], most: int) -> list[JobRecord]:
    """Return at most `most` jobs in the order of submission: first those that did not just get their answer."""
    odd = [job for job in jobs if outcome_of(job) != "ok" or len(job.starts) > 1]
    plain = [job for job in jobs if outcome_of(job) == "ok" and len(job.starts) <= 1]
    kept = (odd + plain)[:most]
    return sorted(kept, key=lambda job: (job.submitted_at or 0, job.number))


def outcome_of(job: JobRecord) -> Outcome:
    """Return how the job ended for its caller."""
    if job.resolution is None:
        return "never"
    if not job.outcomes:
        return "refused"
    if job.match is not None:
        return "ok" if job.match else "wrong"
    if job.own_error:
        return "ok"
    return "cancelled" if "Cancel" in str(job.outcomes[0].error) else "error"


class _Drawing:
    """Turns nanoseconds of the history into microseconds of the axis, and records into what is drawn."""

    def __init__(self, trial: Trial, most_jobs: int) -> None:
        self.trial = trial
        asked, _ = trial.start
        self.zero = asked.t if asked else trial.began
        self.end = max(1, self.at(trial.events[-1].t)) if trial.events else 1
        self.jobs = telling(trial.submitted, most_jobs)
        self.lanes = Lanes(trial, self.jobs)

    def at(self, t: int) -> int:
        return max(0, (t - self.zero) // 1000)

    def whole(self) -> Timeline:
        return Timeline(
            name=self.trial.directory,
            end=self.end,
            total=len(self.trial.submitted),
            lanes=tuple(self.lanes.lanes),
            jobs=tuple(map(self._job, self.jobs)),
            bars=(*self._calls(), *self._lives()),
            marks=tuple(sorted(self._marks(), key=lambda mark: mark.at)),
            bands=tuple(self._bands()),
            strip=tuple(self._strip()),
            curves=self._curves,
            quantiles=curves.quantiles(self._latencies()),
            note="; ".join(self._notes()),
        )

    def _notes(self) -> Iterator[str]:
        if len(self.jobs) < (total := len(self.trial.submitted)):
            yield f"truncated: {len(self.jobs)} of {total} jobs are drawn, all odd ones first; curves count all"
        if self.lanes.hidden:
            yield f"{self.lanes.hidden} more processes share the last lane"

    def _job(self, job: JobRecord) -> Job:
        submitted, resolution = self.at(job.submitted_at or 0), job.resolution
        return Job(
            job.number,
            job.role,
            self.lanes.callers[job.number],
            submitted,
            self.at(resolution.t) - submitted if resolution is not None else NEVER,
            outcome_of(job),
            (resolution.error or "") if resolution is not None else "",
            tuple(
                Attempt(lane, at := self.at(run.start), self.at(run.end) - at, HOW.index(run.how))
                for lane, run in self.lanes.runs.get(job.number, ())
            ),
        )

    def _calls(self) -> Iterator[Bar]:
        """Yield the pool's start and shutdown, once for each of its lives."""
        pending: dict[str, int] = {}
        for event in self.trial.events:
            if event.op not in ("start", "stop"):
                continue
            if event.kind == "invoke":
                pending[event.op] = self.at(event.t)
            elif event.op in pending and event.kind in ("ok", "fail", "info"):
                said = (
                    f"{event.op} raised {event.error}: {event.message}" if event.error else event.op
                )
                what = "ok" if event.kind == "ok" else "error"
                yield Bar(OWNER, pending.pop(event.op), self.at(event.t), what, said)
        for op, began in pending.items():
            yield Bar(OWNER, began, NEVER, "never", f"{op} never returned")

    def _lives(self) -> Iterator[Bar]:
        for pid, lanes in self.lanes.workers.items():
            begin, end = self._births.get(pid, 0), self._deaths.get(pid, NEVER)
            yield from (
                Bar(lane, begin, end, "life", f"process {pid}")
                for lane in lanes
                if end < 0 or begin <= end
            )

    @cached_property
    def _births(self) -> dict[int, int]:
        """Return since when each process is known: who watches from outside may notice it only after its first job."""
        found: dict[int, int] = {}
        for event in self.trial.events:
            pid = event.data["child"] if event.kind == "birth" else event.pid
            found.setdefault(pid, self.at(event.t))
        return found

    @cached_property
    def _deaths(self) -> dict[int, int]:
        return {buried(event).pid: self.at(event.t) for event in self.trial.deaths}

    def _marks(self) -> Iterator[Mark]:
        for event in self.trial.events:
            tell = _MARKS.get(event.kind)
            if tell is not None and (text := tell(event)):
                yield Mark(self._lane_of(event), self.at(event.t), event.kind, text)

    def _lane_of(self, event: Event) -> int:
        if event.kind == "tree":
            return self.lanes.supervisors[path_of(event)]
        if event.kind == "strike":
            return self.lanes.workers.get(event.pid, [OWNER])[0]
        return FAULTS if event.kind in ("inject", "receipt", "heal", "healed") else OWNER

    def _bands(self) -> Iterator[Band]:
        for fault in self.trial.faults:
            if fault.injected_at is not None:
                until = self.at(fault.healed_at) if fault.healed_at else self.end
                hit = ", ".join(f"process {victim.pid}" for victim in fault.victims)
                text = f"{fault.kind} of {hit}" if hit else fault.kind
                yield Band(fault.kind, self.at(fault.injected_at), until, text)
        if (strike := self.trial.strike) is not None:
            seen = [event.t for event in self.trial.of_kind("receipt") if event.t >= strike.t]
            text = _struck(strike)
            yield Band(text, self.at(strike.t), self.at(min(seen, default=strike.t)), text)

    def _strip(self) -> Iterator[tuple[int, Strip, str]]:
        """Yield how many workers are up, of how many; where there are supervisors, their own words."""
        if self.lanes.supervisors:
            for event in self.trial.of_kind("tree"):
                told = _STRIPS.get(str(event.data.get("event")))
                if told is not None:
                    yield self.at(event.t), told, _tree(event)
            return
        wanted = self.trial.plan.target.workers
        asked, _ = self.trial.stop
        stopping = self.at(asked.t) if asked is not None else self.end + 1
        for at, up in curves.pairs(self._curves["workers"]):
            state: Strip = "up" if up >= wanted else "degraded" if up else "down"
            words = f"{up} up, {wanted} wanted"
            if at < stopping:
                yield at, state, words
            else:
                yield at, "stopping", f"{words}, in shutdown"

    @cached_property
    def _curves(self) -> dict[str, Curve]:
        steps = curves.Steps()
        for job in self.trial.submitted:
            begin = self.at(job.submitted_at or 0)
            done = None if job.resolution is None else self.at(over(job))
            steps.add("waiting", begin, done)
            steps.add("queued", begin, self.at(job.starts[0].t) if job.starts else done)
            for run in runs_of(self.trial, job):
                steps.add(
                    "running", self.at(run.start), None if run.how == "open" else self.at(run.end)
                )
        for pid in worker_pids(self.trial):
            steps.add("workers", self._births[pid], self._deaths.get(pid))
        return {name: steps.curve(name) for name in ("waiting", "queued", "running", "workers")}

    def _latencies(self) -> list[int]:
        return [
            self.at(job.resolution.t) - self.at(job.submitted_at)
            for job in self.trial.submitted
            if job.resolution is not None and job.submitted_at is not None
        ]


def _struck(strike: Event) -> str:
    file = str(strike.data.get("file")).rpartition("/")[2]
    return f"{strike.data.get('effect')} at {file}:{strike.data.get('line')}"


def _tree(event: Event) -> str:
    child: Mapping[str, Any] = event.data.get("offender") or {}
    reason = f", {event.data['reason']}" if event.data.get("reason") else ""
    return f"{event.data.get('event')} {child.get('id', '')}{reason}".replace("  ", " ")


def _waited(event: Event) -> str:
    seconds = float(event.data.get("waited_ms", 0)) / 1000
    pending = ", ".join(map(str, event.data.get("pending", ())))
    about = f"jobs {pending} wait" if pending else f"{event.op or 'it'} does not end"
    return {
        "suspect": f"suspected: nothing moves, {about}",
        "judged": f"confirmed after {seconds:.1f} s: {about}",
        "unjudged": f"not confirmed before time ran out: {about}",
    }.get(event.kind, "it moved after all")


_STRIPS: Final[Mapping[str, Strip]] = {
    "up": "up",
    "progress": "up",
    "child_terminated": "restarting",
    "start_error": "degraded",
    "escalation": "escalated",
    "down": "down",
}
_MARKS: Final[Mapping[str, Callable[[Event], str]]] = {
    "inject": lambda event: f"injected: {event.data.get('kind')}",
    "receipt": lambda event: f"receipt: {event.data.get('evidence')}",
    "heal": lambda _: "heal",
    "healed": lambda event: f"heal verified: {event.data.get('evidence')}",
    "strike": _struck,
    "phase": lambda event: f"phase {event.data.get('phase')}" if event.data.get("phase") else "",
    "suspect": _waited,
    "judged": _waited,
    "unjudged": _waited,
    "moved": _waited,
    "tree": _tree,
}
