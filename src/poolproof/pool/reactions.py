"""What the hot path asks of its pool, for all that is not the plain way of a job."""

from collections.abc import Sequence
from typing import Protocol

from poolproof.pool.job import Job
from poolproof.pool.slot import Slot
from poolproof.transport.base import End, WireError


class Reactions(Protocol):
    """What the pool does about all that is not the plain way of a job."""

    def on_error(self, job: Job, slot: Slot, error: WireError) -> None:
        """A worker answered a job with an error."""

    def on_death(self, slot: Slot, end: End) -> None:
        """A worker has ended; its jobs are still where they were."""

    def on_lend(self, slot: Slot, job: Job) -> None:
        """A checkout gets a worker."""

    def on_expired(self, jobs: Sequence[Job], now_ns: int) -> None:
        """The deadlines of these have passed."""

    def on_unbegun(self, slot: Slot) -> None:
        """A worker has not even begun what it was sent."""

    def on_shed(self, job: Job) -> None:
        """There is no room for this one in the line."""

    def on_shortage(self, waiting: int) -> None:
        """Somebody waits, and every worker is busy."""

    def on_session_refused(self, job: Job, answer: str) -> None:
        """The worker of a strict session is gone (`lost`), or there are too many sessions (`full`)."""

    def on_worn(self, slot: Slot) -> None:
        """A worker may have done as many jobs as it may."""
