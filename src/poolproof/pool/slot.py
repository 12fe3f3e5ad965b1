"""One worker as its pool uses it: its link, what it holds, and how much it may hold ahead."""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from poolproof.pool.job import Job
from poolproof.pool.settings import NS, PoolSettings
from poolproof.pool.worker import Worker
from poolproof.transport.base import Each, Request, WorkerLink

if TYPE_CHECKING:
    from poolproof.pool.lease import Lease

_MEMORY: Final = 4
"""The service time is an exponential mean: the newest batch counts for a quarter."""


class Slot:
    """A worker's link and its jobs.

    How many jobs a worker may hold (its window) follows from how long they take: as many as are
    about `ahead` seconds of work, so that tiny jobs travel in batches, while a job that takes
    longer than that has no other behind it.

    Attributes:
        worker: its state machine.
        link: its transport.
        jobs: what it holds, by request id, in the order in which it was sent.
        backlog: jobs that wait for this worker and no other.
        lease: who has checked it out.
        wanted_by: the checkout that gets it as soon as it holds nothing.
        stalled: it takes long over a request: it gets no other until it answers.
        oldest: the request that was its first when it was last looked at.
        window: how many jobs it may hold now.
        idle_since_ns: since when it has held nothing.
        emptied: who is told as soon as it is empty.
    """

    __slots__ = (
        "_ahead_ns",
        "_busy_ns",
        "_service_ns",
        "_settings",
        "_since_ns",
        "backlog",
        "emptied",
        "idle_since_ns",
        "jobs",
        "lease",
        "link",
        "oldest",
        "stalled",
        "wanted_by",
        "window",
        "worker",
    )

    def __init__(
        self, worker: Worker, link: WorkerLink, settings: PoolSettings, now_ns: int
    ) -> None:
        self.worker = worker
        self.link = link
        self.jobs: dict[int, Job] = {}
        self.backlog: OrderedDict[int, Job] = OrderedDict()
        self.lease: Lease | None = None
        self.wanted_by: Job | None = None
        self.stalled = False
        self.oldest = 0
        self.window = 1
        self.idle_since_ns = now_ns
        self.emptied: Callable[[], object] | None = None
        self._settings = settings
        self._ahead_ns = settings.ahead * NS
        self._service_ns = 0.0
        self._busy_ns = 0
        self._since_ns = now_ns

    @property
    def number(self) -> int:
        """Which of the pool's workers it is."""
        return self.worker.number

    @property
    def idle(self) -> bool:
        """Whether a checkout can have it at once."""
        return not self.jobs and self.lease is None and self.worker.accepting

    def send(self, jobs: Sequence[Job], first: int, now_ns: int) -> None:
        """Send jobs for which there is room, under request ids from `first`."""
        if not self.jobs:
            self._since_ns = now_ns
        self.worker.checkout(now_ns, len(jobs))
        self.send_leased(jobs, first)

    def send_leased(self, jobs: Sequence[Job], first: int) -> None:
        """Send jobs of whoever has checked the worker out: they take no room."""
        held, epoch = self.jobs, self.worker.epoch
        requests: list[Request] = []
        for request, job in enumerate(jobs, first):
            job.slot, job.request = self, request
            held[request] = job
            asked = (request, job.payload, job.deadline_ns, job.attempt, epoch, job.session)
            if job.count:  # it comes alone
                if requests:
                    self.link.send(requests)
                requests = []
                self.link.send((Each(asked),))
            else:
                requests.append(asked)
        if requests:
            self.link.send(requests)

    def lend(self, lease: "Lease", now_ns: int) -> None:
        """Let the worker, which holds nothing, be checked out."""
        self.lease = lease
        self.worker.set_slots(1, now_ns)
        self.worker.checkout(now_ns)

    def checkin(self, now_ns: int) -> None:
        """Take the worker back; calls that its holder has abandoned take room until answered."""
        self.lease = None
        self.worker.in_flight += len(self.jobs)
        self.worker.checkin(now_ns)
        self._since_ns = self.idle_since_ns = now_ns
        self.set_window(now_ns)

    @property
    def empty(self) -> bool:
        """Whether nobody would miss it: it holds no job, and nobody holds it."""
        return not self.jobs and self.lease is None

    def waiting(self) -> tuple[Job, ...]:
        """Return who waits for this worker and no other."""
        return (*self.backlog.values(), *([self.wanted_by] if self.wanted_by else ()))

    def answered(self, count: int, now_ns: int) -> None:
        """Take note of `count` answers that came together: room, and how long a job takes."""
        self.stalled = False
        took, service = self._took(now_ns) / count, self._service_ns
        if not self.jobs:
            self.idle_since_ns = now_ns
        self._service_ns = service + (took - service) / _MEMORY if service else took
        if self.lease is None:
            self.worker.checkin(now_ns, count)
            # A job longer than what may be held ahead has a window of 1 whatever else there is.
            if self.window > 1 or self.jobs or self._service_ns <= self._ahead_ns:
                self.set_window(now_ns)

    def stall(self, now_ns: int) -> None:
        """Take no more jobs until the next answer."""
        self.stalled = True
        if self.worker.state in {"ready", "busy"}:
            self.set_window(now_ns)

    def _took(self, now_ns: int) -> int:
        """Return how long the worker was at what it has just answered.

        It says so itself where it can: seen from here, the time includes the way there and back.
        """
        since, self._since_ns = self._since_ns, now_ns
        busy, self._busy_ns = self._busy_ns, self.link.busy_ns
        return self._busy_ns - busy or now_ns - since

    def set_window(self, now_ns: int) -> None:
        """Fit the window to the service time, to the bytes under way, and to who waits for it."""
        settings = self._settings
        if (
            self.wanted_by is not None
            or self.stalled
            or self.link.in_flight_bytes > settings.ahead_bytes
        ):
            window = len(self.jobs)
        else:
            window = int(self._ahead_ns / (self._service_ns or NS))
        self.window = max(1, min(window, settings.most_ahead))
        if self.window != self.worker.slots:
            self.worker.set_slots(self.window, now_ns)
