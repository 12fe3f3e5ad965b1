"""What a history says about one job, one fault, one process or one suspicion."""

import dataclasses
from collections.abc import Iterable
from typing import Final, Literal, NamedTuple

from poolproof.history import Event

# The bodies of jobs that must end in their right answer, if in any; the others should fail.
SOUND_BODIES: Final = frozenset(
    {
        "",
        "echo",
        "own",
        "callback",
        "big",
        "allocate",
        "open-file",
        "write-file",
        "hold-gil",
        "leak",
    }
)


class Process(NamedTuple):
    """A process by pid and start time in clock ticks; None where the witness did not know it."""

    pid: int
    born: int | None = None

    def is_(self, other: "Process") -> bool:
        """Tell whether both can be the same process."""
        return self.pid == other.pid and (
            None in (self.born, other.born) or self.born == other.born
        )


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Harm:
    """What was done to one process on purpose: since when, until when (None: for good), and what.

    Times are nanoseconds; `does` is a clause that follows the process's name.
    """

    process: Process
    since: int
    until: int | None
    does: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class JobRecord:
    """All that a history says about one job.

    Attributes:
        number: as in the history, unique within the trial.
        submit: the request to submit it; None if nobody ever asked for this job.
        answer: what `submit` did: ok (accepted), or info (it raised); None if it never returned.
        outcomes: what its caller saw, in order; one, in a sound pool.
        starts, finishes, raises: evidence from inside the job.
        callbacks: each call of its callback.
        cancel, cancel_answer: the request to cancel it, and what the pool said.
    """

    number: int
    submit: Event | None
    answer: Event | None
    outcomes: tuple[Event, ...]
    starts: tuple[Event, ...]
    finishes: tuple[Event, ...]
    raises: tuple[Event, ...]
    callbacks: tuple[Event, ...]
    cancel: Event | None
    cancel_answer: Event | None

    @property
    def role(self) -> str:
        """The part that the job plays: warmup, faulted, bystander or fresh."""
        return (self.submit.role if self.submit else None) or ""

    @property
    def sound(self) -> bool:
        """Whether its body is one that must give its right answer, if any."""
        return not self.submit or self.submit.data.get("body", "") in SOUND_BODIES

    @property
    def submitted_at(self) -> int | None:
        """When its submission was asked for, in nanoseconds."""
        return self.submit.t if self.submit else None

    @property
    def accepted(self) -> Literal[True] | None:
        """True if `submit` returned; None if not, or if it raised: the job may run or not."""
        return True if self.answer is not None and self.answer.kind == "ok" else None

    @property
    def refused(self) -> Event | None:
        """The error that `submit` raised: the job is indeterminate, and its caller was told."""
        return self.answer if self.answer is not None and self.answer.kind != "ok" else None

    @property
    def resolution(self) -> Event | None:
        """What first told the caller how it ended: a result, an error, or the error of `submit`."""
        return self.outcomes[0] if self.outcomes else self.refused

    @property
    def waiting(self) -> bool:
        """Whether a caller who asked for it has not been told how it ended."""
        return self.submit is not None and self.resolution is None

    @property
    def match(self) -> bool | None:
        """Whether its first result is the right one; None if there is no result."""
        first = self.outcomes[0] if self.outcomes else None
        return bool(first.data.get("match")) if first is not None and first.kind == "ok" else None

    @property
    def own_error(self) -> bool:
        """Whether its outcome is the error that its own body raised, or the pool's form of it."""
        if not (self.outcomes and self.outcomes[0].kind == "fail" and self.raises):
            return False
        return not self.sound or self.outcomes[0].error in {event.error for event in self.raises}

    @property
    def cancelled(self) -> bool | None:
        """What the pool said to the request to cancel it; None if it did not say."""
        return bool(self.cancel_answer.data.get("cancelled")) if self.cancel_answer else None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class FaultRecord:
    """The life of one fault: what was planned, and the events that show it."""

    index: int
    kind: str
    injects: tuple[Event, ...]
    receipts: tuple[Event, ...]
    heals: tuple[Event, ...]
    healed: tuple[Event, ...]

    @property
    def injected_at(self) -> int | None:
        """When it was injected, in nanoseconds."""
        return self.injects[0].t if self.injects else None

    @property
    def healed_at(self) -> int | None:
        """When it began to be undone, in nanoseconds."""
        return min((event.t for event in self.heals + self.healed), default=None)

    @property
    def victims(self) -> tuple[Process, ...]:
        """The processes that were hit."""
        named = (victim for event in self.injects for victim in event.data.get("victims", ()))
        return tuple(Process(victim["pid"], victim.get("born")) for victim in named)


def operation(event: Event) -> str | None:
    """Return which operation a suspicion, or a word about it, is concerned with."""
    return event.op or event.data.get("op")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Suspicion:
    """Nothing moved, or a wait was overdue; and its end: moved, judged, unjudged or None."""

    began: Event
    ended: Event | None


def runner(event: Event) -> Process:
    """Return the process that wrote `event` about itself."""
    return Process(event.pid, event.data.get("born"))


def buried(death: Event) -> Process:
    """Return the process whose death an event tells."""
    return Process(death.data["child"], death.data.get("born"))


_PLACES: Final[dict[tuple[str, str | None], str]] = {
    ("invoke", "submit"): "submit",
    ("ok", "submit"): "answer",
    ("info", "submit"): "answer",
    ("fail", "submit"): "answer",
    ("ok", "job"): "outcomes",
    ("fail", "job"): "outcomes",
    ("invoke", "cancel"): "cancel",
    ("ok", "cancel"): "cancel_answer",
    ("started", None): "starts",
    ("finished", None): "finishes",
    ("raised", None): "raises",
}


def _place(event: Event) -> str | None:
    if event.kind == "effect" and event.data.get("effect") == "callback":
        return "callbacks"
    return _PLACES.get((event.kind, event.op))


def job_records(events: Iterable[Event]) -> dict[int, JobRecord]:
    """Return every job that any of the events names, by number; the events are in order of time."""
    found: dict[int, dict[str, list[Event]]] = {}
    for event in events:
        if event.job is not None and (place := _place(event)):
            found.setdefault(event.job, {}).setdefault(place, []).append(event)
    return {number: _job(number, found[number]) for number in sorted(found)}


def _job(number: int, found: dict[str, list[Event]]) -> JobRecord:
    def first(place: str) -> Event | None:
        return next(iter(found.get(place, ())), None)

    def every(place: str) -> tuple[Event, ...]:
        return tuple(found.get(place, ()))

    return JobRecord(
        number=number,
        submit=first("submit"),
        answer=first("answer"),
        outcomes=every("outcomes"),
        starts=every("starts"),
        finishes=every("finishes"),
        raises=every("raises"),
        callbacks=every("callbacks"),
        cancel=first("cancel"),
        cancel_answer=first("cancel_answer"),
    )
