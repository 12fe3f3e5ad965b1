"""What a job passes through in the pool's own process, piece by piece; for `run_performance_tests.sh --micro`.

Each function takes nothing and can be called for ever: pyperf decides how often.
"""

from dataclasses import dataclass
from random import Random
from typing import Final

from poolproof.latency import Histogram
from poolproof.ledger import INVOKE, JOB, OK, Ledger
from poolproof.pool.balancing import STRATEGIES
from poolproof.pool.circuit_breaker import CircuitBreaker
from poolproof.pool.queueing import Line
from poolproof.pool.worker import Worker
from poolproof.transport.protocol import REQUESTS, TO_WORKER, Receiver, Sender

JOBS: Final = 64
MOST_BYTES: Final = 1 << 20
REQUESTED: Final = [(number + 1, b"x" * 100, 0, 0, 0, None) for number in range(JOBS)]


@dataclass(frozen=True, slots=True)
class Waiting:
    number: int
    deadline_ns: int = 0


sender = Sender(MOST_BYTES)
ledger = Ledger()
line: Line[Waiting] = Line(limit=JOBS)
waiting = [Waiting(number, 1_000_000 + number) for number in range(JOBS)]
breaker = CircuitBreaker()
histogram = Histogram()
latencies = [1_000_000 + 977 * number for number in range(JOBS)]
workers = [Worker(number=number, epoch=1, now_ns=0, slots=JOBS) for number in range(8)]
for worker in workers:
    worker.begun(now_ns=1)
strategy = STRATEGIES["least_loaded"].make(Random(8))
strategy.set_members(workers)


def frame() -> None:
    """64 requests of 100 bytes, made into a frame, and read out of it."""
    sender.sequence = 0
    for _kind, _message in Receiver(TO_WORKER, MOST_BYTES).feed(
        bytes(sender.frame(REQUESTS, REQUESTED))
    ):
        pass


def events() -> None:
    """Both events of 64 jobs, noted and told to nobody."""
    for number in range(JOBS):
        ledger.note((number, INVOKE, JOB, number, None))
        ledger.note((number, OK, JOB, number, None))
    ledger.flush()


def queue() -> None:
    """64 jobs with deadlines join the line, and are taken."""
    for job in waiting:
        line.join(job, 0)
    while line.take(0) is not None:
        pass


def permit() -> None:
    """The breaker lets a job pass, and is told of its success."""
    breaker.succeeded(breaker.admit(0), 0)


def pick() -> None:
    """A worker is chosen out of 8."""
    strategy.pick()


def recorded() -> None:
    """64 latencies come into a histogram."""
    histogram.record(latencies)
