"""Chance under simulation: one seed, three streams that do not disturb each other."""

import random
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True)
class Streams:
    """Three generators from one seed.

    A draw from one never moves another: a job that draws once more does not change the order of
    steps, and a lossier network does not change the jobs.

    Attributes:
        schedule: for the order of task steps.
        user: for the code under test, and for what the test itself draws.
        network: for latency, loss and reordering.
    """

    schedule: random.Random
    user: random.Random
    network: random.Random

    @classmethod
    def of(cls, seed: int) -> Self:
        """Return the streams of `seed`: the same in every process, whatever its hash seed."""
        return cls(*(random.Random(f"{seed}/{name}") for name in cls.__slots__))  # noqa: S311 - no secret
