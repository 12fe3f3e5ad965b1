"""What a pool does, as it does it: counted from its history, with its workers' memory and CPU."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Final, Self, TypeVar

from poolproof.history import Packed
from poolproof.latency import Histogram, Latencies
from poolproof.ledger import (
    BIRTH,
    CHECKOUT,
    DEATH,
    FAIL,
    INFO,
    INVOKES,
    JOB,
    OK,
    OKS,
)
from poolproof.pool.pool import Pool
from poolproof.pool.settings import NS
from poolproof.transport.base import Usage

T = TypeVar("T")
INTERVAL: Final = 0.1
"""The plan's: how often, in seconds, memory, CPU and the queue are looked at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerUsage:
    """One worker's process.

    Attributes:
        pid: its process.
        rss_bytes: its resident memory, at the last look.
        most_rss_bytes: the most that was seen.
        cpu_share: how much of one core it used since the look before.
    """

    pid: int
    rss_bytes: int
    most_rss_bytes: int
    cpu_share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolStats:
    """What a pool has done since its monitor was started.

    Attributes:
        seconds: for how long.
        checkouts: workers lent, and jobs submitted, each of which has a worker's slot for a while.
        checkins: workers given back, and jobs answered.
        errors: jobs and checkouts that ended with an error, by its name.
        max_queue_depth: how many waited at most.
        worker_restarts: workers started in the place of one that had died.
        worker_deaths: workers that have ended.
        latencies: of the jobs that were answered.
        workers: each worker's memory and CPU, by number; empty where workers are no processes.
    """

    seconds: float
    checkouts: int
    checkins: int
    errors: Mapping[str, int]
    max_queue_depth: int
    worker_restarts: int
    worker_deaths: int
    latencies: Latencies
    workers: Mapping[int, WorkerUsage] = field(default_factory=dict[int, WorkerUsage])

    @property
    def jobs_per_second(self) -> float:
        """Jobs answered, over the time."""
        return self.latencies.count / self.seconds if self.seconds else 0.0


class PoolMonitor:
    """Follows one pool's history until it is stopped; `stats` is true at every moment.

    Example:
        >>> async with PoolMonitor(pool) as monitor:
        ...     await pool.map(range(1000))
        >>> monitor.stats().latencies.p99
    """

    def __init__(self, pool: Pool, *, interval: float = INTERVAL) -> None:
        self._pool, self._interval = pool, interval
        self._histogram = Histogram()
        self._errors: Counter[str] = Counter()
        self._lent = self._given_back = self._restarts = self._deaths = self._deepest = 0
        self._dead: set[int] = set()
        self._usage: dict[int, WorkerUsage] = {}
        self._cpu: dict[int, tuple[int, float, int]] = {}
        self._began_ns = self._ended_ns = 0
        self._unfollow: Callable[[], None] | None = None
        self._task: asyncio.Task[None] | None = None
        self._clock = pool.clock

    def start(self) -> Self:
        """Begin to follow."""
        self._began_ns = self._clock()
        self._unfollow = self._pool.ledger.follow(self._read)
        self._task = asyncio.get_running_loop().create_task(self._look_repeatedly())
        return self

    async def stop(self) -> PoolStats:
        """Follow no more; return what was seen, which stays. Harmless twice."""
        if self._unfollow is not None and self._task is not None:
            self._look()
            self._unfollow()
            self._unfollow = None
            self._ended_ns = self._clock()
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        return self.stats()

    async def __aenter__(self) -> Self:
        return self.start()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()

    def stats(self) -> PoolStats:
        """Return what was seen so far."""
        if self._unfollow is not None:
            self._pool.ledger.flush()
        return PoolStats(
            seconds=((self._ended_ns or self._clock()) - self._began_ns) / NS,
            checkouts=self._lent,
            checkins=self._given_back,
            errors=dict(self._errors),
            max_queue_depth=self._deepest,
            worker_restarts=self._restarts,
            worker_deaths=self._deaths,
            latencies=self._histogram.summary(),
            workers=dict(self._usage),
        )

    async def stream(self, interval: float = 1.0) -> AsyncGenerator[PoolStats, None]:
        """Yield what was seen so far, every `interval` seconds, until the monitor is stopped."""
        while self._unfollow is not None:
            await asyncio.sleep(interval)
            yield self.stats()

    # From the history.

    def _read(self, batch: Sequence[Packed]) -> None:
        for event in batch:
            kind = event[1]
            if kind == OKS:
                count = len(event[4])
                self._given_back += count
                self._histogram.record(event[5])
            elif kind == INVOKES:
                self._lent += event[4]
            else:
                self._read_single(event, kind)
        self._deepest = max(self._deepest, self._pool.queue_depth)

    def _read_single(self, event: tuple[Any, ...], kind: int) -> None:
        op, number = event[2], event[3]
        if kind in {FAIL, INFO} and number is not None and op in {JOB, CHECKOUT}:
            self._errors[event[5]] += 1
        elif op == CHECKOUT and kind == OK:
            self._lent += 1
        elif op == CHECKOUT and kind == INFO:
            self._given_back += 1
        elif number is None:
            return
        elif kind == DEATH:
            self._deaths += 1
            self._dead.add(number)
        elif kind == BIRTH and number in self._dead:
            self._restarts += 1
            self._dead.discard(number)

    # From the workers.

    async def _look_repeatedly(self) -> None:
        while True:
            self._look()
            await asyncio.sleep(self._interval)

    def _look(self) -> None:
        now = self._clock()
        for slot in self._pool.slots():
            usage, pid = slot.link.usage(), slot.link.pid
            if usage is not None and pid is not None:
                self._note_usage(slot.number, pid, usage, now)

    def _note_usage(self, number: int, pid: int, usage: Usage, now: int) -> None:
        old_pid, cpu, then = self._cpu.get(number, (pid, usage.cpu_seconds, now))
        same = old_pid == pid and now > then
        share = (usage.cpu_seconds - cpu) * NS / (now - then) if same else 0.0
        self._cpu[number] = (pid, usage.cpu_seconds, now)
        before = self._usage.get(number)
        most = before.most_rss_bytes if before is not None and before.pid == pid else 0
        self._usage[number] = WorkerUsage(
            pid=pid,
            rss_bytes=usage.rss_bytes,
            most_rss_bytes=max(most, usage.rss_bytes),
            cpu_share=share,
        )


def start_pool_monitor(pool: Pool, *, interval: float = INTERVAL) -> PoolMonitor:
    """Start to monitor a pool; end it by `stop`."""
    return PoolMonitor(pool, interval=interval).start()


async def with_pool_monitoring(
    pool: Pool, function: Callable[[], Awaitable[T]], *, interval: float = INTERVAL
) -> tuple[T, PoolStats]:
    """Await `function()` while the pool is monitored; return its result and what was seen."""
    async with PoolMonitor(pool, interval=interval) as monitor:
        result = await function()
    return result, monitor.stats()
