"""What a waiting line must do, told with a plain list; and lines that do not."""

# ruff: noqa: ARG002 (an ablation does not look at what it should)

from dataclasses import dataclass
from typing import ClassVar, Final

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from poolproof.pool.queueing import Line, Order
from poolproof.supervision.overriding import override

LIMIT: Final = 3


@dataclass(eq=False)
class Job:
    number: int
    deadline_ns: int = 0


class Model:
    """A list, the next to be served first."""

    def __init__(self, order: Order) -> None:
        self.order = order
        self.jobs: list[Job] = []
        self.late: list[Job] = []

    def part(self, now_ns: int) -> None:
        late = [job for job in self.jobs if job.deadline_ns and job.deadline_ns <= now_ns]
        self.jobs = [job for job in self.jobs if job not in late]
        self.late += sorted(late, key=lambda job: (job.deadline_ns, job.number))

    def join(self, job: Job, now_ns: int) -> Job | None:
        self.part(now_ns)
        full = len(self.jobs) >= LIMIT
        if self.order == "fifo":
            if full:
                return job
            self.jobs.append(job)
            return None
        victim = self.jobs.pop() if full else None
        self.jobs.insert(0, job)
        return victim


class Waiting(RuleBasedStateMachine):
    """Line against the model; `kind` is what is played."""

    kind: ClassVar[type[Line[Job]]]

    @initialize(order=st.sampled_from(["fifo", "lifo"]))
    def begin(self, order: Order) -> None:
        self.real = self.kind(order, limit=LIMIT)
        self.model = Model(order)
        self.now_ns = 1
        self.number = 0

    @rule(delay=st.integers(1, 4))
    def wait(self, delay: int) -> None:
        self.now_ns += delay

    @rule(patience=st.integers(0, 3))
    def join(self, patience: int) -> None:
        self.number += 1
        job = Job(self.number, self.now_ns + patience if patience else 0)

        assert self.real.join(job, self.now_ns) is self.model.join(job, self.now_ns)

    @rule(back=st.sampled_from([None, 0, 9]))
    def take(self, back: int | None) -> None:
        """A job is given out; perhaps it comes back not begun, and perhaps it has more time now."""
        self.model.part(self.now_ns)
        expected = self.model.jobs.pop(0) if self.model.jobs else None
        taken = self.real.take(self.now_ns)

        assert taken is expected
        if taken is not None and back is not None:
            taken.deadline_ns += back
            self.real.give_back(taken)
            self.model.jobs.insert(0, taken)

    @precondition(lambda self: self.model.jobs)
    @rule(place=st.integers(0, 5))
    def leave(self, place: int) -> None:
        job = self.model.jobs.pop(place % len(self.model.jobs))

        assert self.real.leave(job)
        assert not self.real.leave(job)

    @rule()
    def expired(self) -> None:
        self.model.part(self.now_ns)
        late, self.model.late = self.model.late, []

        found = self.real.expired(self.now_ns)
        assert {job.number for job in found} == {job.number for job in late}
        assert len(found) == len(late)

    @invariant()
    def same_jobs_wait(self) -> None:
        if hasattr(self, "real"):
            waiting = list(self.real) if self.model.order == "fifo" else [*self.real][::-1]
            assert waiting == self.model.jobs
            assert len(self.real) == len(self.model.jobs)

    @invariant()
    def next_deadline_is_the_earliest(self) -> None:
        if hasattr(self, "real"):
            deadlines = [job.deadline_ns for job in self.model.jobs if job.deadline_ns]
            assert self.real.next_deadline_ns() == min(deadlines, default=0)


def machine_for(kind: type[Line[Job]]) -> type[RuleBasedStateMachine]:
    """Return the machine that plays this kind against the model."""
    return type(kind.__name__, (Waiting,), {"kind": kind})


class Unbounded(Line[Job]):
    """Nobody is ever shed."""

    @override
    def join(self, job: Job, now_ns: int) -> Job | None:
        self.limit = 1000
        return super().join(job, now_ns)


class OneTooMany(Line[Job]):
    """The bound is off by one."""

    @override
    def join(self, job: Job, now_ns: int) -> Job | None:
        self.limit = LIMIT + 1
        return super().join(job, now_ns)


class ShedsTheNewest(Line[Job]):
    """Whatever the order, the newcomer is shed."""

    @override
    def join(self, job: Job, now_ns: int) -> Job | None:
        order, self.order = self.order, "fifo"
        victim = super().join(job, now_ns)
        self.order = order
        return victim


class ShedsWhileTheDeadStandInLine(Line[Job]):
    """Those whose deadline has passed count for the bound."""

    @override
    def join(self, job: Job, now_ns: int) -> Job | None:
        return super().join(job, 0)


class ServesTheDead(Line[Job]):
    """A job is taken after its deadline."""

    @override
    def take(self, now_ns: int) -> Job | None:
        return super().take(0)


class AlwaysInOrder(Line[Job]):
    """`lifo` is served as `fifo`."""

    @override
    def take(self, now_ns: int) -> Job | None:
        order, self.order = self.order, "fifo"
        job = super().take(now_ns)
        self.order = order
        return job


class CancelledStay(Line[Job]):
    """Who leaves still stands in the line."""

    @override
    def leave(self, job: Job) -> bool:
        return job in self


class GivenBackToTheEnd(Line[Job]):
    """Who comes back waits once more, behind all others."""

    @override
    def give_back(self, job: Job) -> None:
        order: Order = "lifo" if self.order == "fifo" else "fifo"
        mine, self.order = self.order, order
        super().give_back(job)
        self.order = mine


class GivenBackUnwatched(Line[Job]):
    """Nobody watches the deadline of who comes back."""

    @override
    def give_back(self, job: Job) -> None:
        super().give_back(job)
        self._deadlines = [entry for entry in self._deadlines if entry[1] != job.number]


class ForgetsTheLate(Line[Job]):
    """Those whose deadline has passed are dropped without a word."""

    @override
    def _part(self, now_ns: int) -> None:
        super()._part(now_ns)
        self._late.clear()


class OldDeadlinesCount(Line[Job]):
    """Who comes again with more time is judged by the time it had before."""

    @override
    def _waits(self, deadline_ns: int, number: int) -> bool:
        return number in self._jobs


ABLATIONS: Final = (
    Unbounded,
    OneTooMany,
    ShedsTheNewest,
    ShedsWhileTheDeadStandInLine,
    ServesTheDead,
    AlwaysInOrder,
    CancelledStay,
    GivenBackToTheEnd,
    GivenBackUnwatched,
    ForgetsTheLate,
    OldDeadlinesCount,
)
