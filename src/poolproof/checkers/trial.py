"""One trial as data: its plan, its merged history, and the indexes that every checker reads."""

import dataclasses
from collections.abc import Iterator
from functools import cached_property
from typing import Any, Final, Literal

from poolproof.checkers.records import (
    FaultRecord,
    Harm,
    JobRecord,
    Suspicion,
    job_records,
    operation,
    runner,
)
from poolproof.history import Event, encode
from poolproof.plan import Plan

MAX_STARTS: Final = 10
"""More starts of one job than this are retries for ever, where nothing is promised."""

# Where two witnesses wrote at the same nanosecond, nobody knows which was first. So that no verdict
# hangs on it, the order is always this one: what is asked stands before what follows from it.
_FIRST: Final = ("invoke", "point", "started", "effect", "finished", "raised", "inject", "strike")
_LAST: Final = ("death", "receipt", "ok", "fail", "info", "heal", "healed", "suspect")
_END: Final = ("moved", "judged", "unjudged")
_RANK: Final = {kind: rank for rank, kind in enumerate((*_FIRST, *_LAST, *_END))}


# frozen, but without slots: the indexes are computed when first asked for, and kept in __dict__
@dataclasses.dataclass(frozen=True)
class Trial:
    """A plan with the history that it led to, and with the same plan's trial without faults.

    Attributes:
        plan: what was asked for.
        events: what happened; given in any order, kept in order of time.
        reference: the trial that tells what the target leaves behind when nothing is broken.
        directory: where it is saved, from the run's directory on; empty if nowhere.
    """

    plan: Plan
    events: tuple[Event, ...]
    reference: "Trial | None" = None
    directory: str = ""

    def __post_init__(self) -> None:
        in_order = sorted(
            self.events, key=lambda event: (event.t, _RANK.get(event.kind, -1), encode(event))
        )
        object.__setattr__(self, "events", tuple(in_order))

    @property
    def faulted(self) -> bool:
        """Whether anything was to be broken."""
        return bool(self.plan.faults or self.plan.point)

    @property
    def promises(self) -> dict[str, Any]:
        """What the target promises beyond no silence."""
        return self.plan.target.promises

    @property
    def began(self) -> int:
        """The time of the first event, in nanoseconds."""
        return self.events[0].t if self.events else 0

    @cached_property
    def jobs(self) -> dict[int, JobRecord]:
        """Every job that any event names, by number.

        An outcome that comes after it was confirmed that the caller waits in vain is none any more: what the shutdown
        of a stuck pool, or its end, tells a caller does not undo that.
        """
        found = job_records(self.events)
        for judged in self.of_kind("judged"):
            for number in judged.data.get("pending", ()) if judged.op == "job" else ():
                if (job := found.get(number)) is not None:
                    in_time = tuple(event for event in job.outcomes if event.t <= judged.t)
                    found[number] = dataclasses.replace(job, outcomes=in_time)
        return found

    @cached_property
    def submitted(self) -> tuple[JobRecord, ...]:
        """The jobs that somebody asked for."""
        return tuple(job for job in self.jobs.values() if job.submit)

    @cached_property
    def faults(self) -> tuple[FaultRecord, ...]:
        """The faults of the plan, in its order."""
        return tuple(self._fault(index) for index in range(len(self.plan.faults)))

    def _fault(self, index: int) -> FaultRecord:
        def of(kind: str) -> tuple[Event, ...]:
            return tuple(event for event in self.of_kind(kind) if event.data.get("fault") == index)

        return FaultRecord(
            index=index,
            kind=self.plan.faults[index].kind,
            injects=of("inject"),
            receipts=of("receipt"),
            heals=of("heal"),
            healed=of("healed"),
        )

    def in_fault(self, since: int, until: int) -> bool:
        """Tell whether any fault was going on, from its injection to its heal, in that time."""
        return any(
            fault.injected_at is not None
            and fault.injected_at <= until
            and (fault.healed_at is None or fault.healed_at >= since)
            for fault in self.faults
        )

    @property
    def owner_killed(self) -> bool:
        """Whether the plan kills the owner of the pool, and with it every caller."""
        return any(fault.kind.startswith("owner-killed") for fault in self.plan.faults)

    @property
    def freezes(self) -> tuple[FaultRecord, ...]:
        """The faults that stop a worker by SIGSTOP."""
        return tuple(fault for fault in self.faults if fault.kind.startswith("freeze"))

    @cached_property
    def harms(self) -> tuple[Harm, ...]:
        """All that was done to a process on purpose."""
        return (*(_struck(event) for event in self.strikes), *self._injected())

    def _injected(self) -> Iterator[Harm]:
        for fault in self.faults:
            for victim in fault.victims if fault.injected_at is not None else ():
                yield Harm(
                    process=victim,
                    since=fault.injected_at or 0,
                    until=fault.healed_at,
                    does=f"was hit by {fault.kind}",
                )

    @cached_property
    def upheavals(self) -> tuple[int, ...]:
        """The times, in order, at which anything was injected or harmed, or anybody died."""
        times = [event.t for event in (*self.of_kind("inject"), *self.deaths)]
        return tuple(sorted([*times, *(harm.since for harm in self.harms)]))

    @cached_property
    def first_harmful(self) -> int | None:
        """The time at which a job with a harmful body was begun for the first time, or None."""
        harmful = (job for job in self.submitted if not job.sound)
        return min((start.t for job in harmful for start in job.starts), default=None)

    @property
    def strikes(self) -> tuple[Event, ...]:
        """The moments at which a process reached the plan's crash point."""
        return self.of_kind("strike")

    @property
    def strike(self) -> Event | None:
        """The first strike."""
        return next(iter(self.strikes), None)

    @property
    def births(self) -> tuple[Event, ...]:
        """Processes of the tree as they appeared, seen from outside."""
        return self.of_kind("birth")

    @property
    def deaths(self) -> tuple[Event, ...]:
        """Processes of the tree as they disappeared, seen from outside."""
        return self.of_kind("death")

    @cached_property
    def suspicions(self) -> tuple[Suspicion, ...]:
        """Each suspicion, with the first later word about it."""
        ends = [event for event in self.events if event.kind in ("moved", "judged", "unjudged")]
        return tuple(
            Suspicion(began=began, ended=next((end for end in ends if _ends(end, began)), None))
            for began in self.of_kind("suspect")
        )

    @property
    def judgement(self) -> Literal["judged", "unjudged", "suspect"] | None:
        """How far suspicion came: the time ran out, or it was confirmed, or it is open; or None."""
        if self.of_kind("unjudged"):
            return "unjudged"
        if self.of_kind("judged"):
            return "judged"
        return "suspect" if any(not self.refuted(one) for one in self.suspicions) else None

    def refuted(self, suspicion: Suspicion) -> bool:
        """Tell whether something moved after all: said so, or everything that was awaited came."""
        if suspicion.ended is not None:
            return suspicion.ended.kind == "moved"
        return bool(awaited := self.awaited(suspicion)) and None not in awaited

    def awaited(self, suspicion: Suspicion) -> list[Event | None]:
        """Return, for each thing that was waited for, how it ended, or None."""
        op = operation(suspicion.began)
        if op in ("start", "stop"):
            return [(self.start if op == "start" else self.stop)[1]]
        pending = suspicion.began.data.get("pending", ())
        return [self.jobs[number].resolution for number in pending if number in self.jobs]

    def judged(self, job: JobRecord) -> Event | None:
        """Return the confirmation, at ten times the wait, that this job's caller still waits.

        What was judged while a worker was frozen, or after the owner's death, says nothing of that.
        A job that is started again and again is judged at once; those beside it have not waited.
        """
        for event in reversed(self.of_kind("judged")):
            late = job.submit is not None and job.submit.t <= event.t
            mine = late and job.number in event.data.get("pending", (job.number,))
            hasty = event.data.get("why") == "livelock" and len(job.starts) <= MAX_STARTS
            if mine and not hasty and operation(event) not in ("frozen", "owner"):
                return event
        return None

    @cached_property
    def samples(self) -> dict[str, Event]:
        """What the owner held, by label: before, started, after."""
        return {event.data.get("label", ""): event for event in self.of_kind("sample")}

    @cached_property
    def start(self) -> tuple[Event | None, Event | None]:
        """The request to start the pool, and its answer."""
        return self._asked("start")

    @cached_property
    def stop(self) -> tuple[Event | None, Event | None]:
        """The request to shut the pool down, and its answer."""
        return self._asked("stop")

    def _asked(self, op: str) -> tuple[Event | None, Event | None]:
        """The last time counts, where the pool has several lives."""
        events = [event for event in self.events if event.op == op]
        asked = next((event for event in reversed(events) if event.kind == "invoke"), None)
        answers = [event for event in events if event.kind in ("ok", "fail", "info")]
        since = asked.t if asked is not None else 0
        return asked, next((event for event in answers if event.t >= since), None)

    @property
    def owner(self) -> int | None:
        """The pid of the process that owns the pool and in which its callers are."""
        return next((event.pid for event in self.of_kind("invoke")), None)

    def of_kind(self, kind: str) -> tuple[Event, ...]:
        """Return the events of one kind, in order."""
        return self._by_kind.get(kind, ())

    @cached_property
    def _by_kind(self) -> dict[str, tuple[Event, ...]]:
        found: dict[str, list[Event]] = {}
        for event in self.events:
            found.setdefault(event.kind, []).append(event)
        return {kind: tuple(events) for kind, events in found.items()}


def _struck(event: Event) -> Harm:
    done = {"raise": "was made to raise", "hang": "was made to hang"}.get(
        event.data.get("effect", ""), "was killed"
    )
    where = f"{event.data.get('file')}:{event.data.get('line')}"
    return Harm(process=runner(event), since=event.t, until=None, does=f"{done} at {where}")


def _ends(end: Event, began: Event) -> bool:
    ops = {operation(end), operation(began)} - {None}
    return end.t >= began.t and len(ops) < 2  # noqa: PLR2004 - both say the same, or one is silent
