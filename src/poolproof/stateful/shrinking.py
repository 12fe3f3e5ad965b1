"""Searching for an order of steps in which a plan breaks a promise, and shrinking both to what that needs."""

from collections.abc import Callable, Iterator
from dataclasses import replace as replaced
from typing import Any, Final

import msgspec

from poolproof import simulation
from poolproof.chaos.orders import FoundOrder, search, shrink_order
from poolproof.chaos.shrink import CONFIRMATIONS, Cut, Shrunk, each_lower, fewer, lower, shrink
from poolproof.errors import UsageError
from poolproof.simulation import Played, Schedule
from poolproof.stateful.plans import (
    AnchoredFault,
    Maker,
    SimulatedJob,
    SimulatedPlan,
    size,
    stack_of,
)
from poolproof.stateful.playing import VacuousPlanError, play_plan
from poolproof.stateful.promises import BrokenPromiseError


def search_plan(
    plan: SimulatedPlan,
    make: Maker = stack_of,
    *,
    wanted: type[BrokenPromiseError] = BrokenPromiseError,
    seeds: int = 1000,
    seconds: float = 20.0,
) -> FoundOrder | None:
    """Search for an order of steps in which the plan breaks a promise, or a given one.

    Raises:
        VacuousPlanError: no promise was broken, and in no order was all of the plan done.
        Exception: the harness failed; nothing is said about the pool.
    """
    vacuous: list[Exception] = []
    whole = 0

    def is_wanted(played: Played[Any]) -> bool:
        nonlocal whole
        if isinstance(played.error, VacuousPlanError):
            vacuous.append(played.error)
        elif played.error is not None and not isinstance(played.error, BrokenPromiseError):
            raise played.error
        else:
            whole += 1
        return isinstance(played.error, wanted)

    found = search(_under(plan, make), wanted=is_wanted, seeds=seeds, seconds=seconds)
    if found is None and not whole:
        raise vacuous[0]
    return found


def _under(plan: SimulatedPlan, make: Maker) -> Callable[[Schedule], Played[None]]:
    def play(schedule: Schedule) -> Played[None]:
        return play_plan(_ordered(plan, schedule), make)

    return play


def _ordered(plan: SimulatedPlan, schedule: Schedule) -> SimulatedPlan:
    return msgspec.structs.replace(plan, schedule=simulation.to_json(schedule))


def shrink_plan(
    plan: SimulatedPlan, found: Played[None], make: Maker = stack_of
) -> Shrunk[SimulatedPlan]:
    """Take away faults, then jobs, workers, deviations, and make values lower, as long as the same promise breaks.

    Raises:
        UsageError: the run that was found broke no promise.
    """
    kind = type(found.error)
    if not issubclass(kind, BrokenPromiseError):
        raise UsageError(f"expected a run that broke a promise, got {found.error!r}")
    order = shrink_order(_under(plan, make), found)

    def fails(candidate: SimulatedPlan) -> SimulatedPlan | None:
        played = play_plan(candidate, make)
        return _ordered(candidate, played.lifted) if type(played.error) is kind else None

    shrunk = shrink(_ordered(plan, order.plan), fails, CUTS)
    return replaced(shrunk, runs=shrunk.runs + order.runs)


def proof(one_minimal: bool) -> str:  # noqa: FBT001 - what it says in words
    """Return what is known of what is left, for people."""
    return (
        "remove any one and it passes" if one_minimal else "a bound was hit before it was minimal"
    )


def story(plan: SimulatedPlan, shrunk: Shrunk[SimulatedPlan]) -> tuple[str, ...]:
    """Return what became of a plan, for people."""
    return (
        f"shrunk from {size(plan)} to {size(shrunk.plan)} in {shrunk.runs} plays",
        proof(shrunk.one_minimal),
        f"fails again {shrunk.again} of {CONFIRMATIONS} times",
    )


def _cut(field: str, smaller: Callable[[Any], Iterator[Any]]) -> Cut[SimulatedPlan]:
    def candidates(plan: SimulatedPlan) -> Iterator[SimulatedPlan]:
        for value in smaller(getattr(plan, field)):
            yield msgspec.structs.replace(plan, **{field: value})

    return Cut(field, candidates)


def _fewer_jobs(plan: SimulatedPlan) -> Iterator[SimulatedPlan]:
    """Yield it with fewer jobs, its faults anchored at the same share of them: else none of these would come."""
    for jobs in fewer(plan.jobs):
        share = len(jobs) / len(plan.jobs)
        faults = tuple(
            msgspec.structs.replace(fault, count=max(1, int(fault.count * share)))
            for fault in plan.faults
        )
        yield msgspec.structs.replace(plan, jobs=jobs, faults=faults)


def _fewer_deviations(schedule: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for deviations in fewer(schedule.get("deviations", ())):
        yield {**schedule, "deviations": list(deviations)}


def _lower_faults(faults: tuple[AnchoredFault, ...]) -> Iterator[tuple[AnchoredFault, ...]]:
    def smaller(fault: AnchoredFault) -> Iterator[AnchoredFault]:
        for count in lower(fault.count, 1):
            yield msgspec.structs.replace(fault, count=count)
        for worker in lower(fault.worker, 0):
            yield msgspec.structs.replace(fault, worker=worker)

    return each_lower(faults, smaller)


def _plainer_jobs(jobs: tuple[SimulatedJob, ...]) -> Iterator[tuple[SimulatedJob, ...]]:
    def plainer(job: SimulatedJob) -> Iterator[SimulatedJob]:
        if job.cancel:
            yield msgspec.structs.replace(job, cancel=False)
        for client in lower(job.client, 0):
            yield msgspec.structs.replace(job, client=client)

    return each_lower(jobs, plainer)


CUTS: Final = (
    _cut("faults", fewer),
    Cut("jobs", _fewer_jobs),
    _cut("workers", lambda workers: lower(workers, 1)),
    _cut("schedule", _fewer_deviations),
    _cut("faults", _lower_faults),
    _cut("jobs", _plainer_jobs),
)
