"""A plan that fails on real processes, shrunk to its cause: on mock where it fails there, too, and confirmed on full.

Real processes do not take the same turns twice, so what is shown there is a share: k of n plays, with
an interval. In virtual time the same plan is exact and a thousand times faster. So it is demoted first.
"""

import time
from dataclasses import dataclass
from typing import Final

import msgspec

from poolproof.chaos.shrink import reduce
from poolproof.errors import UsageError
from poolproof.stateful.plans import Maker, SimulatedPlan, size, stack_of
from poolproof.stateful.playing import VacuousPlanError, outcome
from poolproof.stateful.promises import BrokenPromiseError
from poolproof.stateful.shrinking import CUTS, proof, search_plan, shrink_plan
from poolproof.stateful.subject import Subject
from poolproof.stats import Interval, wilson

TIMES: Final = 10
SECONDS: Final = 60.0
MOCK_SECONDS: Final = 10.0
MOCK_SEEDS: Final = 300
TRIES: Final = 3
"""A candidate is played so often on real processes, at most, until `NEEDED` plays have failed."""
NEEDED: Final = 2

Promise = type[BrokenPromiseError]


@dataclass(frozen=True, slots=True, kw_only=True)
class Demoted:
    """What became of a plan that fails on real processes.

    Attributes:
        promise: which promise is broken.
        found: the plan that was found failing.
        plan: the least of it, on full.
        mock: the least of it on mock, with its order of steps; None where it does not fail there.
        hits: in how many of the last plays on full it broke the same promise.
        times: how many these were.
        mock_runs: how many plays shrinking took on mock.
        full_runs: how many it took on real processes, confirmations excluded.
        seconds: how long all of it took.
        one_minimal: whether nothing more can be taken away; False if time was over before.
    """

    promise: Promise
    found: SimulatedPlan
    plan: SimulatedPlan
    mock: SimulatedPlan | None
    hits: int
    times: int
    mock_runs: int
    full_runs: int
    seconds: float
    one_minimal: bool

    @property
    def interval(self) -> Interval:
        """The 95 % Wilson interval of the share of plays that fail on full."""
        return wilson(self.hits, self.times)

    def story(self) -> tuple[str, ...]:
        """Return it for people, line by line."""
        where = "on mock, where it fails, too" if self.mock else "on full: it does not fail on mock"
        low, high = self.interval
        return (
            f"{self.promise.invariant}: shrunk {where}, from {size(self.found)} to {size(self.mock or self.plan)}",
            proof(self.one_minimal),
            f"in {self.mock_runs} plays on mock and {self.full_runs} on full, {self.seconds:.1f} s",
            f"on full it fails {self.hits} of {self.times} times (95 % Wilson interval {low:.0%} to {high:.0%})",
        )


def demote(
    plan: SimulatedPlan,
    make: Maker = stack_of,
    *,
    times: int = TIMES,
    seconds: float = SECONDS,
    seeds: int = MOCK_SEEDS,
) -> Demoted | None:
    """Shrink a plan that fails on full: on mock if it fails there in the same way; then confirm it on full.

    Args:
        plan: on the layer full.
        make: makes the pool of a plan, on the plan's layer.
        times: how often the plan is tried until it fails, and how often what is left is confirmed.
        seconds: when shrinking is given up, in real time; what is left by then is confirmed.
        seeds: how many orders of steps are tried on mock.

    Returns:
        What is left; None if it did not fail once.

    Raises:
        UsageError: the plan is of another layer.
        VacuousPlanError: it did not fail, and in no play was all of it done.
        Exception: the harness failed; nothing is said about the pool.
    """
    if plan.layer != "full":
        raise UsageError(f"expected a plan on the layer full, got {plan.layer}: see shrink_plan")
    demotion = _Demotion(plan, make, seeds, until=time.monotonic() + seconds)
    return demotion.run(times)


class _Demotion:
    def __init__(self, plan: SimulatedPlan, make: Maker, seeds: int, *, until: float) -> None:
        self._plan, self._make, self._seeds, self._until = plan, make, seeds, until
        self._began = time.monotonic()
        self._full_runs = self._mock_runs = 0

    def run(self, times: int) -> Demoted | None:
        if (promise := self._sighted(times)) is None:
            return None
        mock = self._on_mock(promise)
        if mock is not None:
            plan = msgspec.structs.replace(mock, layer="full", schedule={})
            if hits := self._hits(plan, promise, times):
                return self._told(promise, plan, mock, hits, times, minimal=True)
        plan, minimal = self._on_full(promise)
        hits = self._hits(plan, promise, times)
        return self._told(promise, plan, None, hits, times, minimal=minimal)

    def _told(
        self,
        promise: Promise,
        plan: SimulatedPlan,
        mock: SimulatedPlan | None,
        hits: int,
        times: int,
        *,
        minimal: bool,
    ) -> Demoted:
        return Demoted(
            promise=promise,
            found=self._plan,
            plan=plan,
            mock=mock,
            hits=hits,
            times=times,
            mock_runs=self._mock_runs,
            full_runs=self._full_runs,
            seconds=time.monotonic() - self._began,
            one_minimal=minimal,
        )

    def _sighted(self, times: int) -> Promise | None:
        """Play the plan until it fails; return which promise it breaks."""
        errors: list[Exception | None] = []
        for _ in range(times):
            error = self._played(self._plan)
            if isinstance(error, BrokenPromiseError):
                return type(error)
            errors.append(error)
        if (vacuous := errors[0]) is not None and all(errors):
            raise vacuous
        return None

    def _played(self, plan: SimulatedPlan) -> Exception | None:
        self._full_runs += 1
        return outcome(plan, self._make)

    def _hits(self, plan: SimulatedPlan, promise: Promise, times: int) -> int:
        return sum(type(outcome(plan, self._make)) is promise for _ in range(times))

    def _on_mock(self, promise: Promise) -> SimulatedPlan | None:
        """Look for the same failure on mock, and shrink it there."""
        plan = msgspec.structs.replace(self._plan, layer="mock")
        try:
            found = search_plan(
                plan, self._counted, wanted=promise, seeds=self._seeds, seconds=MOCK_SECONDS
            )
        except VacuousPlanError:
            return None
        return shrink_plan(plan, found.played, self._counted).plan if found else None

    def _counted(self, plan: SimulatedPlan) -> Subject:
        self._mock_runs += 1
        return self._make(plan)

    def _on_full(self, promise: Promise) -> tuple[SimulatedPlan, bool]:
        """Shrink on real processes, by candidates that fail most of the time."""

        def fails(candidate: SimulatedPlan) -> SimulatedPlan | None:
            hits = 0
            for left in reversed(range(TRIES)):
                error = self._played(candidate)
                hits += type(error) is promise
                if hits == NEEDED or hits + left < NEEDED or isinstance(error, VacuousPlanError):
                    break
            return candidate if hits == NEEDED else None

        reduced = reduce(self._plan, fails, CUTS, seconds=self._until - time.monotonic())
        return reduced.plan, reduced.one_minimal
