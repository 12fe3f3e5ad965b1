"""Histories as data: a small builder that writes events as the witnesses of a trial would."""

import dataclasses
from typing import Any, Self

from poolproof.checkers import Claim, Trial, combine, judge
from poolproof.history import Event
from poolproof.plan import FaultSpec, Plan, Point, Target

CONTROLLER, ROOT, OWNER, ONE, TWO, THREE = 1, 99, 100, 201, 202, 203
MS = 1_000_000
KILLED, CLEAN = 9, 0  # wait statuses: by SIGKILL, exit code 0
POINT = Point(file="pool.py", line=118)


def plan(*faults: str, promises: dict[str, Any] | None = None, **fields: Any) -> Plan:
    target = Target(
        name="pkg:make",
        cwd="/",
        python="/python",
        workers=fields.pop("workers", 2),
        promises=promises or {},
    )
    return Plan(target=target, faults=tuple(FaultSpec(kind=kind) for kind in faults), **fields)


class History:
    """Events one millisecond apart, unless `at` moves the clock."""

    def __init__(self, *faults: str, **fields: Any) -> None:
        self.plan = plan(*faults, **fields)
        self.events: list[Event] = []
        self.now = 0

    def at(self, ms: float) -> Self:
        self.now = round(ms * MS)
        return self

    def write(self, kind: str, pid: int = OWNER, **fields: Any) -> Self:
        self.events.append(Event(t=self.now, kind=kind, pid=pid, **fields))
        self.now += MS
        return self

    # the owner's callers

    def start(self, *, error: str | None = None) -> Self:
        self.write("invoke", op="start")
        return (
            self.write("fail", op="start", error=error) if error else self.write("ok", op="start")
        )

    def ask(self, *jobs: int, role: str = "bystander", body: str = "echo") -> Self:
        for job in jobs:
            self.write("invoke", op="submit", job=job, role=role, data={"body": body})
        return self

    def submit(self, *jobs: int, role: str = "bystander", body: str = "echo") -> Self:
        for job in jobs:
            self.ask(job, role=role, body=body).write("ok", op="submit", job=job)
        return self

    def refuse(self, *jobs: int, error: str = "BrokenPool", role: str = "bystander") -> Self:
        for job in jobs:
            self.ask(job, role=role).write("info", op="submit", job=job, error=error)
        return self

    def ok(self, *jobs: int, value: str | None = None, match: bool = True) -> Self:
        for job in jobs:
            data = {"match": match, "value": value or f"'answer-{job}'"}
            self.write("ok", op="job", job=job, data=data)
        return self

    def fail(self, *jobs: int, error: str = "WorkerDied") -> Self:
        for job in jobs:
            self.write("fail", op="job", job=job, error=error)
        return self

    def cancel(self, job: int, *, cancelled: bool = True) -> Self:
        self.write("invoke", op="cancel", job=job)
        return self.write("ok", op="cancel", job=job, data={"cancelled": cancelled})

    def stop(self, *, error: str | None = None) -> Self:
        self.write("invoke", op="stop")
        return self.write("fail", op="stop", error=error) if error else self.write("ok", op="stop")

    def sample(self, label: str, **held: Any) -> Self:
        nothing: dict[str, Any] = {
            "fds": {},
            "threads": [],
            "processes": [],
            "shm": [],
            "files": [],
        }
        return self.write("sample", data={"label": label, **nothing, **held})

    # the jobs themselves

    def begun(self, job: int, pid: int = ONE) -> Self:
        return self.write("started", pid, job=job, data={"born": pid * 10})

    def finished(self, job: int, pid: int = ONE) -> Self:
        return self.write("finished", pid, job=job)

    def raised(self, job: int, pid: int = ONE, error: str = "ValueError") -> Self:
        return self.write("raised", pid, job=job, error=error)

    def ran(self, job: int, pid: int = ONE) -> Self:
        return self.begun(job, pid).finished(job, pid)

    def done(self, *jobs: int, pid: int = ONE, role: str = "bystander") -> Self:
        """Whole lives of jobs, with nothing wrong, one after the other."""
        for job in jobs:
            self.submit(job, role=role).ran(job, pid).ok(job)
        return self

    # the controller, the tracer and the root

    def inject(self, *victims: int, fault: int = 0) -> Self:
        named = [{"pid": pid, "born": pid * 10} for pid in victims]
        return self.write("inject", CONTROLLER, data={"fault": fault, "victims": named})

    def receipt(self, fault: int | str = 0) -> Self:
        return self.write(
            "receipt", CONTROLLER, data={"fault": fault, "evidence": "gone from /proc"}
        )

    def heal(self, fault: int = 0) -> Self:
        self.write("heal", CONTROLLER, data={"fault": fault})
        return self.write("healed", CONTROLLER, data={"fault": fault})

    def hit(self, *victims: int, fault: int = 0) -> Self:
        return self.inject(*victims, fault=fault).receipt(fault)

    def strike(self, pid: int = ONE, effect: str = "kill") -> Self:
        data = {"file": POINT.file, "line": POINT.line, "effect": effect, "born": pid * 10}
        return self.write("strike", pid, data=data)

    def death(self, pid: int, status: int | None = KILLED) -> Self:
        return self.write("death", ROOT, data={"child": pid, "born": pid * 10, "status": status})

    def mark(self, kind: str, *pending: int, op: str = "job", **data: Any) -> Self:
        """What the scenario says of a wait: suspect, moved, judged, unjudged."""
        waits = {"waited_ms": 130.0 if kind == "suspect" else 1300.0, "pending": list(pending)}
        return self.write(kind, CONTROLLER, op=op, data={**waits, **data})

    def judged(self, *pending: int, op: str = "job", **data: Any) -> Self:
        return self.mark("suspect", *pending, op=op, why="quiet").mark(
            "judged", *pending, op=op, **data
        )

    def trial(self, reference: "Trial | None" = None, **fields: Any) -> Trial:
        changed = dataclasses.replace(Trial(self.plan, tuple(self.events)), reference=reference)
        return dataclasses.replace(changed, **fields) if fields else changed


def warm(*faults: str, **fields: Any) -> History:
    """A pool that was started, sampled, and served jobs 1 and 2 in workers ONE and TWO."""
    history = History(*faults, **fields).start().sample("before")
    return history.done(1, role="warmup").done(2, pid=TWO, role="warmup")


def claims(history: History | Trial, invariant: str) -> list[Claim]:
    trial = history.trial() if isinstance(history, History) else history
    return [finding for finding in judge(trial) if finding.invariant == invariant]


def verdict(history: History | Trial, invariant: str) -> str:
    return combine(claim.verdict for claim in claims(history, invariant))


def the(history: History | Trial, invariant: str) -> Claim:
    """The only finding under an invariant."""
    (claim,) = claims(history, invariant)
    return claim
