"""When a worker has served long enough: by age, by jobs, by its own memory."""

import math
from dataclasses import dataclass
from typing import Literal

from poolproof.pool.worker import Worker

Reason = Literal["age", "jobs", "memory"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How long a worker may serve; 0 for as long as it likes.

    Attributes:
        age_ns: since it was made.
        jobs: that it was given.
        rss_bytes: of the worker itself, as its transport measured it, never of the pool's process.
        spread: up to which share the first two are shortened, differently for each worker, so that
            workers of one age do not all go at once.
    """

    age_ns: int = 0
    jobs: int = 0
    rss_bytes: int = 0
    spread: float = 0.1

    def __post_init__(self) -> None:
        assert min(self.age_ns, self.jobs, self.rss_bytes) >= 0
        assert 0 <= self.spread < 1

    @property
    def fewest_jobs(self) -> float:
        """The fewest jobs with which a worker may be due: before that, nobody needs to ask."""
        return self.jobs * (1 - self.spread) if self.jobs else math.inf


def due(worker: Worker, limits: Limits, now_ns: int, rss_bytes: int | None = None) -> Reason | None:
    """Return why a worker is to be recycled, None if it is not; a memory not measured (None) is no reason."""
    if limits.rss_bytes and rss_bytes is not None and rss_bytes > limits.rss_bytes:
        return "memory"
    share = 1 - limits.spread * _scatter(worker)
    if limits.jobs and worker.jobs >= max(1, limits.jobs * share):
        return "jobs"
    if limits.age_ns and now_ns - worker.born_ns >= limits.age_ns * share:
        return "age"
    return None


def _scatter(worker: Worker) -> float:
    """Return a number in [0, 1) that differs between neighbours: multiples of the golden ratio, mod 1.

    Knuth: The Art of Computer Programming, volume 3, 6.4: they are spread evenly, however many.
    """
    return (worker.number + worker.epoch) * 0.6180339887498949 % 1
