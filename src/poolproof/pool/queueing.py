"""The line in which jobs wait for a worker: bounded, in order or newest first, and honest about whom it sheds.

    order    who is served next    who is shed when the line is full
    fifo     who waits longest     the newcomer: all others came first
    lifo     who came last         who waits longest: the likeliest to miss its deadline anyway

Under overload `lifo` serves some in time where `fifo` would serve all too late.
Maurer: Fail at Scale (ACM Queue 13/8, 2015), adaptive LIFO.
"""

import heapq
from collections import OrderedDict
from collections.abc import Iterator
from typing import Final, Generic, Literal, Protocol, TypeVar

Order = Literal["fifo", "lifo"]

_SLACK: Final = 64


class Waiting(Protocol):
    """What a line needs to know of a job."""

    @property
    def number(self) -> int:
        """Which job it is; no other in the line has the same."""
        ...

    @property
    def deadline_ns(self) -> int:
        """When it is too late for it, CLOCK_MONOTONIC; 0 if never."""
        ...


J = TypeVar("J", bound=Waiting)


class Line(Generic[J]):
    """A waiting line; times are `now_ns`, CLOCK_MONOTONIC nanoseconds.

    Every job that joins comes out once: by `take`, shed by `join`, by `expired`, or by `leave`.

    Attributes:
        order: `fifo` or `lifo`.
        limit: how many may wait; 0 for nobody.
        longest: how long the line ever was.
        shed: how many were shed.
    """

    __slots__ = ("_deadlines", "_jobs", "_late", "limit", "longest", "order", "shed")

    def __init__(self, order: Order = "fifo", *, limit: int) -> None:
        assert limit >= 0
        self.order: Order = order
        self.limit = limit
        self.longest = 0
        self.shed = 0
        self._jobs: OrderedDict[int, J] = OrderedDict()
        # A job that left otherwise stays here until its deadline, or until too many such do.
        self._deadlines: list[tuple[int, int]] = []
        self._late: list[J] = []

    def __len__(self) -> int:
        return len(self._jobs)

    def __iter__(self) -> Iterator[J]:
        """Iterate over those who wait, the longest first."""
        return iter(self._jobs.values())

    def __contains__(self, job: J) -> bool:
        return job.number in self._jobs

    def join(self, job: J, now_ns: int) -> J | None:
        """Let a job wait; return the one that is shed for it, which may be itself.

        Nobody is shed while one whose deadline has passed stands in the line.
        """
        assert job.number not in self._jobs
        victim = None
        if self._deadlines and self._deadlines[0][0] <= now_ns:
            self._part(now_ns)
        if len(self._jobs) >= self.limit:
            self.shed += 1
            if self.order == "fifo" or not self._jobs:
                return job
            _, victim = self._jobs.popitem(last=False)
        self._jobs[job.number] = job
        self.longest = max(self.longest, len(self._jobs))
        if job.deadline_ns:
            self._watch(job)
        return victim

    def give_back(self, job: J) -> None:
        """Let a job that was taken, but not begun, be the next again; it is never shed for the limit.

        The line may so be longer than its limit, by what was taken before.
        """
        assert job.number not in self._jobs
        self._jobs[job.number] = job
        self._jobs.move_to_end(job.number, last=self.order == "lifo")
        if job.deadline_ns:
            self._watch(job)

    def take(self, now_ns: int) -> J | None:
        """Take out who is served next, never one whose deadline has passed; None if nobody waits."""
        deadlines = self._deadlines
        if deadlines and deadlines[0][0] <= now_ns:
            self._part(now_ns)
        if not self._jobs:
            return None
        number, job = self._jobs.popitem(last=self.order == "lifo")
        if deadlines and deadlines[0][1] == number:
            heapq.heappop(deadlines)
        return job

    def leave(self, job: J) -> bool:
        """Take out a job that waits no longer, as it was cancelled; return whether it was here."""
        return self._jobs.pop(job.number, None) is not None

    def expired(self, now_ns: int) -> list[J]:
        """Return all whose deadline has passed since the last call, the earliest deadline first."""
        self._part(now_ns)
        late, self._late = self._late, []
        return late

    def next_deadline_ns(self) -> int:
        """Return the earliest deadline of those who wait, 0 if nobody has one."""
        while self._deadlines and not self._waits(*self._deadlines[0]):
            heapq.heappop(self._deadlines)
        return self._deadlines[0][0] if self._deadlines else 0

    def _part(self, now_ns: int) -> None:
        """Set those apart whose deadline has passed."""
        while self._deadlines and self._deadlines[0][0] <= now_ns:
            deadline_ns, number = heapq.heappop(self._deadlines)
            if self._waits(deadline_ns, number):
                self._late.append(self._jobs.pop(number))

    def _waits(self, deadline_ns: int, number: int) -> bool:
        """Return whether this is no remainder of a job that left, or came again with another deadline."""
        job = self._jobs.get(number)
        return job is not None and job.deadline_ns == deadline_ns

    def _watch(self, job: J) -> None:
        heapq.heappush(self._deadlines, (job.deadline_ns, job.number))
        if len(self._deadlines) > 2 * len(self._jobs) + _SLACK:
            self._deadlines = sorted({entry for entry in self._deadlines if self._waits(*entry)})
