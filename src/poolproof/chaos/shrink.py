"""Shrinking: from a plan that fails to one of which nothing can be taken away.

Hypothesis has no public way to start its shrinker from a given example, and a seed has no size. So
what failed is data, and is cut by delta debugging (A. Zeller and R. Hildebrandt, "Simplifying and
isolating failure-inducing input", IEEE TSE 2002), part by part in a given order, until every part is
one-minimal: remove any one element, and it passes.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

T = TypeVar("T")
P = TypeVar("P")

MOST_RUNS: Final = 2000
"""How many plays a shrink may take; what is left then is said not to be proven minimal."""
CONFIRMATIONS: Final = 10


class _SpentError(Exception):
    """The runs are used up."""


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
class Shrunk(Generic[P]):
    """What became of a plan.

    Attributes:
        plan: the smallest that failed in the same way.
        runs: how many plays it took.
        one_minimal: whether each of its parts was shown to be needed; False if the runs were used up.
        again: how often of `CONFIRMATIONS` it failed again in the same way.
    """

    plan: P
    runs: int
    one_minimal: bool
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
) -> Shrunk[P]:
    """Make a failing plan as small as it gets.

    Args:
        plan: what failed.
        fails: plays a candidate; returns the candidate as it was really played (its schedule recorded
            anew) if it failed in the same way, else None.
        cuts: what is taken away, in this order; the whole order again until nothing changes.
        most_runs: a bound on the plays, the confirmations excluded.
    """
    left = [most_runs]

    def tried(candidate: P) -> P | None:
        if not left[0]:
            raise _SpentError
        left[0] -= 1
        return fails(candidate)

    minimal = True
    try:
        while (smaller := _once(plan, tried, cuts)) is not None:
            plan = smaller
    except _SpentError:
        minimal = False
    again = sum(fails(plan) is not None for _ in range(CONFIRMATIONS))
    return Shrunk(plan=plan, runs=most_runs - left[0], one_minimal=minimal, again=again)


def _once(plan: P, tried: Callable[[P], P | None], cuts: Sequence[Cut[P]]) -> P | None:
    """Return the first smaller plan that fails; None if not one of all cuts does: it is minimal then."""
    for cut in cuts:
        for candidate in cut.smaller(plan):
            if (played := tried(candidate)) is not None:
                return played
    return None


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
