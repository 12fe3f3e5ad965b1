"""The seam between the pool machine and what it drives: one of our stacks, or any target of `check`."""

from collections.abc import Callable, Sequence
from typing import Any, Literal, Protocol, runtime_checkable

from poolproof.stateful.model import Outcome

Offer = Literal["cancel", "checkout", "kill", "pause", "resize", "spoil", "advance"]
"""What a subject can do beside `submit`: rules for what it does not offer are left out."""

SPOILINGS = ("duplicate", "delay", "drop", "truncate", "corrupt")
"""What can be done to the next frame of a worker, where there are frames."""


class Subject(Protocol):
    """A pool under a state machine. Every method but `close` is called while it is open, on one loop.

    Attributes:
        offers: what it can do.
        simulated: whether it lives in virtual time.
        recovers: whether it promises that a death harms only the jobs that were under way. Of one that
            does not, all that is required is that it serves again in the end.
    """

    recovers: bool
    offers: frozenset[Offer]
    simulated: bool

    async def open(self) -> None:
        """Start the pool; return when it serves."""
        ...

    async def submit(self, job: int) -> None:
        """Hand a job over, and go on without its outcome."""
        ...

    def outcomes(self) -> dict[int, Outcome]:
        """Return how each job that is over has ended."""
        ...

    def starts(self) -> dict[int, int]:
        """Return how often each job was started, as the jobs themselves say."""
        ...

    async def settled(self, jobs: Sequence[int]) -> bool:
        """Wait until each of these jobs is over; False if that cannot be expected any more."""
        ...

    async def cancel(self, job: int) -> bool:
        """Ask for a job's cancellation; True if the pool says that it will certainly not begin."""
        ...

    def workers(self) -> int:
        """Return how many workers live."""
        ...

    async def kill(self, worker: int) -> None:
        """End a worker at once, as a crash would."""
        ...

    async def pause(self, worker: int) -> None:
        """Let a worker stand still, without ending it."""
        ...

    async def heal(self) -> None:
        """Let every worker that stands still go on, and spoil nothing more."""
        ...

    async def checkout(self) -> Any:
        """Have a worker alone; return the lease, or None if none was free in time."""
        ...

    def lent(self) -> list[tuple[int, int]]:
        """Return the workers that are checked out now: number and incarnation."""
        ...

    async def checkin(self, lease: Any) -> None:
        """Give a worker back; harmless if it has ended."""
        ...

    async def resize(self, size: int) -> None:
        """Change the number of workers."""
        ...

    async def spoil(self, worker: int, how: str) -> None:
        """Spoil the next frame that a worker sends."""
        ...

    async def advance(self, seconds: float) -> None:
        """Let virtual time pass."""
        ...

    async def close(self) -> bool:
        """Shut the pool down and leave nothing behind; False if the shutdown did not end in time."""
        ...


@runtime_checkable
class TellsStarts(Protocol):
    """A subject that tells of each start as it comes: so a fault that is anchored to it hits that very job.

    Of one that does not, starts are counted whenever a job was submitted or has ended.
    """

    def on_start(self, tell: Callable[[], None]) -> None:
        """Call `tell` whenever a job has begun; said before `open`."""
        ...
