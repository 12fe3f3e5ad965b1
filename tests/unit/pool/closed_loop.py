"""Callers who ask, wait for the answer, think, and ask again; workers who take one job after the other.

Time is virtual. Callers who do not think keep every worker busy, so that hardly any choice shows in
the counts; callers who think leave some idle, and then every choice does.
"""

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

    def __init__(
        self, strategy: Strategy, rng: Random, *, workers: int, callers: int, think_ns: int = 0
    ) -> None:
        self.strategy = strategy
        self.rng = rng
        self.workers = {number: born(number) for number in range(workers)}
        self.given: Counter[int] = Counter()
        self.now_ns = 0
        self._held: dict[int, deque[int]] = {number: deque() for number in self.workers}
        self._events: list[tuple[int, int, int, int]] = []
        self._idle = deque(range(callers))
        self._order = 0
        self._think_ns = think_ns
        strategy.set_members(list(self.workers.values()))

    def run(self, jobs: int) -> None:
        """Let this many jobs be given out."""
        while jobs:
            while self._idle and jobs:
                self._give(self._idle.popleft())
                jobs -= 1
            self._next_event()

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
        self._at(self.rng.randint(500_000, 1_500_000), worker.number, worker.epoch)

    def _at(self, delay_ns: int, number: int, epoch: int) -> None:
        self._order += 1
        heapq.heappush(self._events, (self.now_ns + delay_ns, self._order, number, epoch))

    def _next_event(self) -> None:
        """A worker has done its job, or a caller (whose number is below 0) has thought enough."""
        at_ns, _, number, epoch = heapq.heappop(self._events)
        self.now_ns = at_ns
        worker = self.workers.get(number)
        if number < 0:
            self._idle.append(-1 - number)
        elif worker is not None and worker.epoch == epoch:
            self._finish(worker)

    def _finish(self, worker: Worker) -> None:
        worker.checkin(self.now_ns)
        caller = self._held[worker.number].popleft()
        if self._think_ns:
            self._at(self.rng.randint(0, 2 * self._think_ns), -1 - caller, 0)
        else:
            self._idle.append(caller)
        if self._held[worker.number]:
            self._start(worker)
