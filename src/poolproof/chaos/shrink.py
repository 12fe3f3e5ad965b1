"""Shrinking: from a plan that fails to one of which nothing can be taken away.

Hypothesis has no public way to start its shrinker from a given example, and a seed has no size. So
what failed is data, and is cut by delta debugging (A. Zeller and R. Hildebrandt, "Simplifying and
isolating failure-inducing input", IEEE TSE 2002), part by part in a given order, until every part is
one-minimal: remove any one element, and it passes.
"""

import time
from collections.abc import Awaitable, Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeVar, cast

T = TypeVar("T")
P = TypeVar("P")

MOST_RUNS: Final = 2000
"""How many plays a shrink may take; what is left then is said not to be proven minimal."""
SECONDS: Final = 60.0
"""How long it may take; what is left then is said the same of."""
CONFIRMATIONS: Final = 10


# No slots: Python 3.11 cannot make a subscripted one with them.
@dataclass(frozen=True)
class Cut(Generic[P]):
    """One way to make plans smaller: it yields candidates, the smallest first, each smaller than `plan`.

    Attributes:
        name: what it takes away: faults, jobs, workers, deviations, values.
        smaller: yields the candidates of a plan.
    """

    name: str
    smaller: Callable[[P], Iterator[P]]


@dataclass(frozen=True, kw_only=True)
class Reduced(Generic[P]):
    """What is left of a plan.

    Attributes:
        plan: the smallest that failed in the same way.
        runs: how many plays it took.
        one_minimal: whether each of its parts was shown to be needed; False if a bound was hit.
    """

    plan: P
    runs: int
    one_minimal: bool


@dataclass(frozen=True, kw_only=True)
class Shrunk(Reduced[P]):
    """What is left of a plan that fails every time.

    Attributes:
        again: how often of `CONFIRMATIONS` it failed again in the same way.
    """

    again: int

    @property
    def confirmed(self) -> bool:
        """Whether it failed every time; if not, the harness is flaky, and the pool is not accused by it."""
        return self.again == CONFIRMATIONS


def shrink(
    plan: P,
    fails: Callable[[P], P | None],
    cuts: Sequence[Cut[P]],
    *,
    most_runs: int = MOST_RUNS,
    seconds: float = SECONDS,
) -> Shrunk[P]:
    """Make a failing plan as small as it gets, as `reduce` does, and see how often the rest fails again."""
    left = reduce(plan, fails, cuts, most_runs=most_runs, seconds=seconds)
    again = sum(fails(left.plan) is not None for _ in range(CONFIRMATIONS))
    return Shrunk(plan=left.plan, runs=left.runs, one_minimal=left.one_minimal, again=again)


def reduce(
    plan: P,
    fails: Callable[[P], P | None],
    cuts: Sequence[Cut[P]],
    *,
    most_runs: int = MOST_RUNS,
    seconds: float = SECONDS,
) -> Reduced[P]:
    """Take parts away from a failing plan until none can go, or a bound is hit.

    Args:
        plan: what failed.
        fails: plays a candidate; returns the candidate as it was really played (its schedule recorded
            anew) if it failed in the same way, else None.
        cuts: what is taken away, in this order; the whole order again until nothing changes.
        most_runs: a bound on the plays.
        seconds: a bound on the real time.
    """
    steps = reducing(plan, cuts, most_runs=most_runs, seconds=seconds)
    try:
        candidate = next(steps)
        while True:
            candidate = steps.send(fails(candidate))
    except StopIteration as end:
        return cast("Reduced[P]", end.value)


async def reduce_async(
    plan: P,
    fails: Callable[[P], Awaitable[P | None]],
    cuts: Sequence[Cut[P]],
    *,
    most_runs: int = MOST_RUNS,
    seconds: float = SECONDS,
) -> Reduced[P]:
    """Do what `reduce` does, where a plan is played by a coroutine."""
    steps = reducing(plan, cuts, most_runs=most_runs, seconds=seconds)
    try:
        candidate = next(steps)
        while True:
            candidate = steps.send(await fails(candidate))
    except StopIteration as end:
        return cast("Reduced[P]", end.value)


def reducing(
    plan: P, cuts: Sequence[Cut[P]], *, most_runs: int, seconds: float
) -> Generator[P, P | None, Reduced[P]]:
    """Yield what is to be played next, take what became of it, and return what is left."""
    reduction = _Reduction(plan, most_runs, time.monotonic() + seconds)
    changed = True
    while changed:
        before = reduction.plan
        for cut in cuts:
            yield from reduction.cut(cut)
        changed = reduction.plan is not before and not reduction.spent
    return Reduced(plan=reduction.plan, runs=reduction.runs, one_minimal=not reduction.spent)


class _Reduction(Generic[P]):
    def __init__(self, plan: P, most_runs: int, until: float) -> None:
        self.plan, self.runs, self.spent = plan, 0, False
        self._most_runs, self._until = most_runs, until
        self._rejected: set[str] = set()

    def cut(self, cut: Cut[P]) -> Generator[P, P | None]:
        """Make one cut until it takes nothing more."""
        before = None
        while before is not self.plan and not self.spent:
            before = self.plan
            yield from self._first(cut)

    def _first(self, cut: Cut[P]) -> Generator[P, P | None]:
        """Take the first smaller plan that fails."""
        for candidate in cut.smaller(self.plan):
            if repr(candidate) in self._rejected:
                continue
            if self.runs == self._most_runs or time.monotonic() > self._until:
                self.spent = True
                return
            self.runs += 1
            if (played := (yield candidate)) is not None:
                self.plan = played
                return
            self._rejected.add(repr(candidate))


def fewer(items: Sequence[T]) -> Iterator[tuple[T, ...]]:
    """Yield the items without some of them: first nothing is left, then a half, a quarter, ... one is left out."""
    size = len(items)
    while size:
        for start in range(0, len(items), size):
            yield (*items[:start], *items[start + size :])
        size = 0 if size == 1 else (size + 1) // 2


def lower(value: int, least: int) -> Iterator[int]:
    """Yield smaller numbers than `value`: the least, then half-way, then one less."""
    for candidate in dict.fromkeys((least, (value + least) // 2, value - 1)):
        if least <= candidate < value:
            yield candidate


def each_lower(items: Sequence[T], smaller: Callable[[T], Iterator[T]]) -> Iterator[tuple[T, ...]]:
    """Yield the items with one of them made smaller."""
    for index, item in enumerate(items):
        for candidate in smaller(item):
            yield (*items[:index], candidate, *items[index + 1 :])
