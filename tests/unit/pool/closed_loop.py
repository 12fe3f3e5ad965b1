"""Callers who each wait for their answer, and workers who take one job after the other; time is virtual."""

import heapq
from collections import Counter, deque
from random import Random

from poolproof.pool.balancing import Strategy
from poolproof.pool.worker import Worker


def born(number: int, *, epoch: int = 1, slots: int = 64, now_ns: int = 0) -> Worker:
    worker = Worker(number=number, epoch=epoch, now_ns=now_ns, slots=slots)
    worker.begun(now_ns)
    return worker


class ClosedLoop:
    """A pool of workers behind a strategy, seen from outside.

    Attributes:
        given: jobs by the worker's number, since the last `forget`.
    """

    def __init__(self, strategy: Strategy, rng: Random, *, workers: int, callers: int) -> None:
        self.strategy = strategy
        self.rng = rng
        self.workers = {number: born(number) for number in range(workers)}
        self.given: Counter[int] = Counter()
        self.now_ns = 0
        self._held: dict[int, deque[int]] = {number: deque() for number in self.workers}
        self._ends: list[tuple[int, int, int, int]] = []
        self._idle = deque(range(callers))
        self._order = 0
        strategy.set_members(list(self.workers.values()))

    def run(self, jobs: int) -> None:
        """Let this many jobs be given out."""
        while jobs:
            while self._idle and jobs:
                self._give(self._idle.popleft())
                jobs -= 1
            self._finish_next()

    def kill(self, number: int) -> None:
        """End a worker suddenly; who waited for it asks again."""
        worker = self.workers.pop(number)
        worker.died("killed", self.now_ns)
        self._idle.extend(self._held.pop(number))
        self.strategy.set_members(list(self.workers.values()))

    def replace(self, number: int) -> None:
        self.workers[number] = born(number, epoch=2, now_ns=self.now_ns)
        self._held[number] = deque()
        self.workers = dict(sorted(self.workers.items()))
        self.strategy.set_members(list(self.workers.values()))

    def forget(self) -> None:
        self.given.clear()

    def counts(self) -> list[int]:
        return [self.given[number] for number in self.workers]

    def _give(self, caller: int) -> None:
        worker = self.strategy.pick(f"session {caller}")
        assert worker
        worker.checkout(self.now_ns)
        self.given[worker.number] += 1
        held = self._held[worker.number]
        held.append(caller)
        if len(held) == 1:
            self._start(worker)

    def _start(self, worker: Worker) -> None:
        self._order += 1
        end_ns = self.now_ns + self.rng.randint(500_000, 1_500_000)
        heapq.heappush(self._ends, (end_ns, self._order, worker.number, worker.epoch))

    def _finish_next(self) -> None:
        end_ns, _, number, epoch = heapq.heappop(self._ends)
        worker = self.workers.get(number)
        if worker is None or worker.epoch != epoch:
            return
        self.now_ns = end_ns
        worker.checkin(end_ns)
        self._idle.append(self._held[number].popleft())
        if self._held[number]:
            self._start(worker)
