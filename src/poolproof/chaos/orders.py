"""Searching for an order of steps that breaks something, and shrinking it to the few deviations that it needs."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

from poolproof.chaos.shrink import Cut, Shrunk, each_lower, fewer, lower, shrink
from poolproof.simulation import Deviation, Played, Schedule

Play = Callable[[Schedule], Played[Any]]
PORTFOLIO: Final = ("random", "pct", "delay")
SEEDS: Final = 1000
SECONDS: Final = 20.0
FEW: Final = 5
"""So many deviations a person can follow."""
SPARSE_SEEDS: Final = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundOrder:
    """An order of steps in which something broke.

    Attributes:
        policy: which policy of the portfolio came upon it.
        seeds: how many runs it took, of all policies.
        played: the run itself.
    """

    policy: str
    seeds: int
    played: Played[Any]


def raised(played: Played[Any]) -> bool:
    """Tell whether a run has raised anything."""
    return played.error is not None


def search(
    play: Play,
    *,
    wanted: Callable[[Played[Any]], bool] = raised,
    seeds: int = SEEDS,
    seconds: float = SECONDS,
) -> FoundOrder | None:
    """Play under first-in-first-out, then seed after seed under each policy, until a run is wanted.

    Args:
        play: plays once under a schedule; what is wrong is an exception.
        wanted: what is searched for.
        seeds: how many runs at most.
        seconds: how much real time at most.
    """
    until = time.monotonic() + seconds
    first = play(Schedule())
    if wanted(first):
        return FoundOrder(policy="fifo", seeds=1, played=first)
    for number, schedule in enumerate(_portfolio(max(first.steps, 1), seeds), start=2):
        if time.monotonic() > until:
            return None
        played = play(schedule)
        if wanted(played):
            return FoundOrder(policy=schedule.policy, seeds=number, played=played)
    return None


def _portfolio(length: int, seeds: int) -> Iterator[Schedule]:
    for number in range(seeds - 1):
        seed, which = divmod(number, len(PORTFOLIO))
        yield Schedule(policy=PORTFOLIO[which], seed=seed, length=length)


def shrink_order(play: Play, found: Played[Any]) -> Shrunk[Schedule]:
    """Lift a failing run to sparse deviations from first-in-first-out, and take away all that it does not need.

    Each candidate is played, clamped where fewer tasks are ready, and goes on first-in-first-out
    after the last deviation; what fails is recorded anew. A random walk can leave a thicket in which
    every deviation undoes another, so that none can go alone: then the same failure is searched for
    once more among orders that deviate only one to five times, and the smallest of all is taken.
    """
    kind = type(found.error)

    def fails(schedule: Schedule) -> Schedule | None:
        played = play(schedule)
        return played.lifted if type(played.error) is kind else None

    shrunk = shrink(found.lifted, fails, _CUTS)
    if len(shrunk.plan.deviations) > FEW:
        for sparse, runs in _sparse(fails, found.schedule.seed, max(found.steps, 1)):
            other = shrink(sparse, fails, _CUTS)
            shrunk = replace(
                min(shrunk, other, key=lambda one: len(one.plan.deviations)),
                runs=shrunk.runs + other.runs + runs,
            )
            if len(shrunk.plan.deviations) <= FEW:
                break
    return shrunk


def _sparse(
    fails: Callable[[Schedule], Schedule | None], seed: int, length: int
) -> Iterator[tuple[Schedule, int]]:
    """Yield orders of at most `FEW` deviations that fail, and how many runs it took to find each."""
    runs = 0
    for depth in range(1, FEW + 1):
        for number in range(SPARSE_SEEDS):
            runs += 1
            aimed = Schedule(policy="delay", seed=seed + number, depth=depth, length=length)
            if (failed := fails(aimed)) is not None:
                yield failed, runs
                runs = 0


def _fewer(schedule: Schedule) -> Iterator[Schedule]:
    for deviations in fewer(schedule.deviations):
        yield replace(schedule, deviations=deviations)


def _lower_picks(schedule: Schedule) -> Iterator[Schedule]:
    def smaller(deviation: Deviation) -> Iterator[Deviation]:
        step, pick = deviation
        return ((step, less) for less in lower(pick, 1))

    for deviations in each_lower(schedule.deviations, smaller):
        yield replace(schedule, deviations=deviations)


def _earlier(schedule: Schedule) -> Iterator[Schedule]:
    """Yield it with the whole tail one step earlier: what a removed deviation has shifted falls into place."""
    for index, (step, _) in enumerate(schedule.deviations):
        before = schedule.deviations[index - 1][0] if index else -1
        if step - 1 > before:
            tail = tuple((at - 1, pick) for at, pick in schedule.deviations[index:])
            yield replace(schedule, deviations=(*schedule.deviations[:index], *tail))


_CUTS: Final = (Cut("deviations", _fewer), Cut("picks", _lower_picks), Cut("steps", _earlier))
