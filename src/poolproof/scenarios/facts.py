"""What a scenario has come to know: each job's fate, what was done and who witnessed it, figures over time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from poolproof.scenarios.data import Deed

Role = Literal["steady", "load", "step", "expected", "fresh"]
"""Of a job: before the harm; of the load; of a step; of a step that wants an error; after the heal."""


@dataclass(slots=True)
class JobFacts:
    """One job, as its caller and its worker have seen it.

    Attributes:
        number: which job.
        role: what it was for.
        asked: when it was submitted, in seconds of the stage's clock.
        ended: when its caller knew; None while it waits.
        ok: whether that was an answer.
        right: whether that answer was the job's own.
        error: the name of the error that it was otherwise.
        message: what that said.
        happened: False only where the pool said that it certainly was not run.
    """

    number: int
    role: Role
    asked: float
    ended: float | None = None
    ok: bool = False
    right: bool = False
    error: str = ""
    message: str = ""
    happened: bool = True


@dataclass(slots=True)
class Facts:
    """All that one play has come to know.

    Attributes:
        jobs: every job, by number.
        starts: how often each job was begun, by its workers' own word.
        duplicated: the jobs that were begun more often than they may be.
        ours: whether the pool promises what our own does.
        receipts: for each deed that was done, the evidence that it took effect; none is an empty list.
        healed: the evidence that everything is undone; None if it is not.
        steady: whether the pool was steady before anything was done.
        recovery_seconds: from the heal until it was steady again; None if it never was.
        live, wanted: workers in the end, and how many there should be.
        deaths: workers that have died.
        living: when it became known how many workers live, and how many, in order.
        born: when a worker was first seen that had not been there.
        most_rss_bytes: the most memory that a worker had; None where it has none of its own.
        closed: whether the shutdown ended in time.
        began, over: when the load began, and when it was over, on the stage's clock.
        seconds: how long all of it took.
        deeds: when each deed was begun, and which.
        heals: when everything was undone.
    """

    jobs: dict[int, JobFacts] = field(default_factory=dict[int, JobFacts])
    starts: Mapping[int, int] = field(default_factory=dict[int, int])
    duplicated: tuple[int, ...] = ()
    ours: bool = True
    receipts: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    healed: str | None = None
    steady: bool = False
    recovery_seconds: float | None = None
    live: int = 0
    wanted: int = 0
    deaths: int = 0
    living: Sequence[tuple[float, int]] = ()
    born: Sequence[float] = ()
    most_rss_bytes: int | None = None
    closed: bool = False
    began: float = 0.0
    over: float = 0.0
    seconds: float = 0.0
    deeds: list[tuple[float, Deed]] = field(default_factory=list[tuple[float, Deed]])
    heals: list[float] = field(default_factory=list[float])

    def role(self, *roles: Role) -> list[JobFacts]:
        """Return the jobs of these roles."""
        return [job for job in self.jobs.values() if job.role in roles]

    def repairs(self) -> list[float]:
        """Return for how many seconds there were too few workers, each time that this ended."""
        found: list[float] = []
        since: float | None = None
        for at, living in self.living:
            if living < self.wanted:
                since = at if since is None else since
            elif since is not None:
                found.append(at - since)
                since = None
        return found
