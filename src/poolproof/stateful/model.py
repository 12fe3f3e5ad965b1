"""The sequential model of a pool: what was asked of it, what was done to it, and what it may answer."""

import dataclasses
from collections.abc import Iterator
from typing import Literal, NamedTuple


class Outcome(NamedTuple):
    """How a job ended for its caller.

    Attributes:
        kind: `ok`, `error`, or `cancelled`.
        right: whether the value is the job's own; True where there is none.
        text: the value or the error, for people.
        happened: False only where the pool says that the job certainly was not run.
    """

    kind: Literal["ok", "error", "cancelled"]
    right: bool = True
    text: str = ""
    happened: bool = True


@dataclasses.dataclass(slots=True)
class JobFacts:
    """What the model knows of one job.

    Attributes:
        number: which job.
        harmed: whether something was done to the pool while it was under way, so that an error is its right.
        cancelled: whether its caller gave it up, and the pool has said so.
        starts_then: how often it had been started by then.
        outcome: what its caller got; None while it waits.
    """

    number: int
    harmed: bool = False
    cancelled: bool = False
    starts_then: int = 0
    outcome: Outcome | None = None


@dataclasses.dataclass(slots=True)
class PoolModel:
    """What one case has asked of its pool and done to it.

    Attributes:
        jobs: every job, by number.
        lasting: what still stands in the way of jobs: a worker that is `paused`, `spoiled` or `lent`.
        leases: the workers that are checked out now, each once.
    """

    jobs: dict[int, JobFacts] = dataclasses.field(default_factory=dict[int, JobFacts])
    lasting: set[str] = dataclasses.field(default_factory=set[str])
    leases: list[tuple[int, int]] = dataclasses.field(default_factory=list[tuple[int, int]])

    def submitted(self) -> int:
        """Note a new job; return its number, from 1."""
        number = len(self.jobs) + 1
        self.jobs[number] = JobFacts(number, harmed=bool(self.lasting))
        return number

    def harmed(self, lasting: str | None = None) -> None:
        """Note that something was done to the pool: whoever has a job under way may get an error.

        Args:
            lasting: what now stands in the way of those who come later, too.
        """
        if lasting:
            self.lasting.add(lasting)
        for job in self.jobs.values():
            job.harmed |= job.outcome is None

    def healed(self) -> None:
        """Note that no worker stands still any more, and none is spoiled."""
        self.lasting -= {"paused", "spoiled"}

    def cancelled(self, number: int, starts: int) -> None:
        """Note that the pool said that this job, started so often, is cancelled."""
        self.jobs[number].cancelled, self.jobs[number].starts_then = True, starts

    def ended(self, number: int, outcome: Outcome) -> None:
        """Note a job's outcome; the first one counts."""
        if self.jobs[number].outcome is None:
            self.jobs[number].outcome = outcome

    def waiting(self) -> list[int]:
        """Return the jobs without an outcome."""
        return [job.number for job in self.jobs.values() if job.outcome is None]

    def broken(self, starts: dict[int, int]) -> Iterator[tuple[str, str]]:
        """Yield each promise that is broken now: its slug, and what happened.

        Args:
            starts: how often each job was started, as the jobs themselves say.
        """
        for job in self.jobs.values():
            yield from _broken_by(job, starts.get(job.number, 0))
        for unknown in sorted(set(starts) - set(self.jobs)):
            yield "phantom-result", f"job {unknown} was started, and nobody has asked for it"
        for worker in sorted({lease for lease in self.leases if self.leases.count(lease) > 1}):
            yield "double-grant", f"worker {worker[0]} is checked out by two at the same time"


def _broken_by(job: JobFacts, starts: int) -> Iterator[tuple[str, str]]:
    outcome = job.outcome
    if starts > 1:
        yield "duplicate-run", f"job {job.number} was started {starts} times"
    if job.cancelled and starts > job.starts_then:
        yield "cancelled-run", f"job {job.number} was started after its cancellation was granted"
    if outcome is None:
        return
    if not outcome.right:
        yield "wrong-result", f"job {job.number}: its caller got {outcome.text}"
    if outcome.kind == "ok" and starts == 0:
        yield "phantom-result", f"job {job.number} has a result, and was never started"
    if outcome.kind == "error" and not outcome.happened and starts:
        yield (
            "false-denial",
            f"job {job.number}: {outcome.text} says that it was not run, and it was",
        )
    if outcome.kind != "ok" and not job.harmed and not job.cancelled:
        yield (
            "unexplained-error",
            f"job {job.number}: {outcome.text}, and nothing was done to the pool",
        )
