"""The runs that verify a suite: in which mode each is made, one after another, and how long they will take."""

import random
from collections.abc import Mapping, Sequence
from typing import Final, Literal

import msgspec

from poolproof.isolation.runs.ordering import Order
from poolproof.isolation.runs.records import Record

Mode = Literal["alone", "batch", "serial", "parallel", "shuffled"]

MODES: Final[Mapping[Mode, str]] = {
    "alone": "each test in a process of its own",
    "batch": "each class, or module, in a process of its own",
    "serial": "all in one process, in their order",
    "parallel": "all under xdist",
    "shuffled": "all in one process, in a random order",
}


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One run that is to be made."""

    mode: Mode
    seed: int | None = None
    workers: int = 0

    @property
    def order(self) -> Order:
        """The order in which its tests are played."""
        apart = {"alone": "test", "batch": "batch"}.get(self.mode, "")
        return Order(seed=self.seed, apart=apart)


def step_of(order: Order, workers: int) -> Step:
    """Return the step of a run that was played in this order."""
    modes: dict[str, Mode] = {"test": "alone", "batch": "batch"}
    mode = modes.get(order.apart) or ("parallel" if workers else "serial")
    return Step(
        mode="shuffled" if order.seed is not None else mode, seed=order.seed, workers=workers
    )


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One run that was made."""

    step: Step
    record: Record

    @property
    def mode(self) -> Mode:
        """How its tests were run."""
        return self.step.mode


def rounds(repeat: int, workers: int, seed: int) -> tuple[Step, ...]:
    """Return the runs that verify a suite: alone once, and all other modes `repeat` times.

    Args:
        repeat: 3 as a gate, 10 to look for flakes.
        workers: 0 for one process, which leaves out the parallel runs.
        seed: what the seeds of the shuffled runs are drawn from.
    """
    draw = random.Random(seed)  # noqa: S311 - an order, no secret
    found = [Step(mode="serial"), Step(mode="alone")]
    for number in range(repeat):
        found += [Step(mode="serial")] * (number > 0)
        found += [Step(mode="parallel", workers=workers)] * (workers > 0)
        found.append(Step(mode="shuffled", seed=draw.randrange(1 << 32)))
    return tuple(found)


def ladder(workers: int, seed: int) -> tuple[Step, ...]:
    """Return the rungs of the validation ladder: alone, by class, together, again, in parallel, in another order."""
    rungs = [Step(mode="alone"), Step(mode="batch"), Step(mode="serial"), Step(mode="serial")]
    rungs += [Step(mode="parallel", workers=workers)] * (workers > 0)
    return (*rungs, Step(mode="shuffled", seed=seed))


def estimate(left: Sequence[Step], runs: Sequence[Run]) -> float:
    """Return how many seconds the runs that are left will take: as their mode did, else as all in one process did."""
    took = {run.mode: run.record.seconds for run in runs}
    other = took.get("serial", max(took.values(), default=0.0))
    return sum(took.get(step.mode, other) for step in left)
