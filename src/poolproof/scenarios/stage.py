"""The seam between a scenario and what it harms: one of our stacks, or a foreign pool in its host."""

import random
from collections.abc import Mapping, Sequence
from typing import Protocol

from poolproof.scenarios.data import Body, Deed, Step
from poolproof.scenarios.facts import JobFacts, Role


class Stage(Protocol):
    """A pool under a scenario; every method but `close` is called while it is open.

    Attributes:
        offers: the deeds that can be done to it.
        ours: whether it promises what our own stack does, beyond not being silent.
        pace: how many seconds of the stage's clock one of the scenario's is.
    """

    offers: frozenset[Deed]
    ours: bool
    pace: float

    async def open(self) -> None:
        """Start the pool; return when it serves."""
        ...

    def clock(self) -> float:
        """Return seconds."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Let so many of the scenario's seconds pass: what happens meanwhile is what is asked for."""
        ...

    def submit(
        self,
        role: Role,
        *,
        body: Body = "echo",
        work: float = 0.0,
        deadline: float = 10.0,
        key: str = "",
        checked: bool = False,
    ) -> JobFacts:
        """Ask for one job, and go on without its outcome."""
        ...

    async def settled(self, jobs: Sequence[JobFacts], seconds: float) -> bool:
        """Wait until each of these has an outcome, at most so many seconds; tell whether it has."""
        ...

    def starts(self) -> Mapping[int, int]:
        """Return how often each job was begun, as the workers themselves say."""
        ...

    def duplicated(self) -> Sequence[int]:
        """Return the jobs that were begun more often than they may be."""
        ...

    def live(self) -> int:
        """Return how many workers live and serve."""
        ...

    def deaths(self) -> int:
        """Return how many workers have died so far."""
        ...

    def living(self) -> Sequence[tuple[float, int]]:
        """Return when it became known how many workers live, and how many, in order."""
        ...

    def born(self) -> Sequence[float]:
        """Return when a worker was first seen that had not been there."""
        ...

    def most_rss_bytes(self) -> int | None:
        """Return the most memory that a worker was seen to have."""
        ...

    async def do(self, step: Step, rng: random.Random) -> None:
        """Do one deed, once; `wait`, `submit` and `heal` are not the stage's."""
        ...

    def receipt(self, deed: str) -> str | None:
        """Return the evidence, by another witness, that a deed took effect; None while there is none."""
        ...

    async def heal(self) -> None:
        """Undo everything."""
        ...

    async def healed(self) -> str | None:
        """Return the evidence that everything is undone."""
        ...

    async def close(self) -> bool:
        """Shut the pool down and leave nothing; False if that did not end in time."""
        ...
