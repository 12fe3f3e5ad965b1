"""Which worker gets the next job: strategies in a registry, each with a stated bound of fairness.

A strategy is told the members when one is born or has died; for each job it looks only at what the
workers say of themselves (`accepting`, `in_flight`), so that nobody has to keep lists up to date.
To add one: a class with the three methods of `Strategy`, and `@strategy(name, Bound(...))`.
"""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import chain
from random import Random
from typing import Final, Protocol, TypeVar

from poolproof.errors import UsageError
from poolproof.pool.worker import Worker
from poolproof.supervision.overriding import override

RING_POINTS: Final = 64
LOAD_FACTOR: Final = 1.25


@dataclass(frozen=True, slots=True)
class Bound:
    """How evenly a strategy spreads the jobs of 50 callers who each wait for their answer.

    It holds for 4000 jobs of like cost (within a factor of three, at random) on 2 to 16 workers, both
    when all are busy all the time and when half are idle; before a death, after it, and after the
    replacement. Measured over 15 seeds, with a third of the distance to spare.

    Attributes:
        max_over_mean: the most jobs that one worker gets, over the mean.
        jain: the least that Jain's index may be.
    """

    max_over_mean: float
    jain: float

    def holds(self, jobs: Collection[int]) -> bool:
        """Return whether these jobs a worker lie within the bound."""
        return max_over_mean(jobs) <= self.max_over_mean and jain_index(jobs) >= self.jain


def max_over_mean(jobs: Collection[int]) -> float:
    """Return the largest share over the mean share: 1 is even, `len(jobs)` is all on one."""
    return max(jobs) * len(jobs) / sum(jobs)


def jain_index(jobs: Collection[int]) -> float:
    """Return Jain's index of fairness, (sum x)^2 / (n sum x^2): 1 is even, 1/n is all on one.

    Jain, Chiu, Hawe: A Quantitative Measure of Fairness (DEC TR-301, 1984).
    """
    return sum(jobs) ** 2 / (len(jobs) * sum(count * count for count in jobs))


class Strategy(Protocol):
    """How a pool chooses among its workers."""

    def set_members(self, workers: Sequence[Worker]) -> None:
        """Take the workers there are now, in ascending order of their numbers."""
        ...

    def pick(self, session: str | None = None) -> Worker | None:
        """Return the worker for one job, or None if none accepts any."""
        ...

    def share(self, count: int) -> list[tuple[Worker, int]]:
        """Return who gets how many of `count` equal jobs; fewer in all if there is no room for more."""
        ...


@dataclass(frozen=True, slots=True)
class Registered:
    """A strategy in the registry: how it is made, and the bound it keeps."""

    make: Callable[[Random], Strategy]
    bound: Bound


STRATEGIES: Final[dict[str, Registered]] = {}
S = TypeVar("S", bound=Callable[[Random], Strategy])


def strategy(name: str, bound: Bound) -> Callable[[S], S]:
    """Put a strategy into the registry.

    Raises:
        UsageError: the name is taken.
    """

    def register(make: S) -> S:
        if name in STRATEGIES:
            raise UsageError(f"expected a new name of a balancing strategy, got {name!r} again")
        STRATEGIES[name] = Registered(make, bound)
        return make

    return register


def make(name: str, rng: Random) -> Strategy:
    """Return a new strategy by its name; all its chance comes from `rng`.

    Raises:
        UsageError: there is none of that name.
    """
    if name not in STRATEGIES:
        known = ", ".join(sorted(STRATEGIES))
        raise UsageError(f"expected a balancing strategy among {known}, got {name!r}")
    return STRATEGIES[name].make(rng)


def fill(count: int, loads: Sequence[int], rooms: Sequence[int]) -> list[int]:
    """Return how many of `count` jobs each gets, so that the fullest is as empty as it can be.

    Like water: all are filled up to one level, as far as each has room; what is left over for a
    part of them goes to the first in order.
    """
    if count == 1:  # the usual case where jobs come one by one, and forty times as fast
        return _one(loads, rooms)
    if len(rooms) == 1:
        return [min(count, rooms[0])]

    def given(level: int) -> list[int]:
        return [min(room, max(0, level - load)) for load, room in zip(loads, rooms, strict=True)]

    highest = max((load + room for load, room in zip(loads, rooms, strict=True)), default=0)
    levels = range(highest + 1)
    level = bisect_right(levels, count, key=lambda level: sum(given(level))) - 1
    shares = given(level)
    left = count - sum(shares)
    for place, more in enumerate(given(level + 1)):
        if left and more > shares[place]:
            shares[place] = more
            left -= 1
    return shares


def _one(loads: Sequence[int], rooms: Sequence[int]) -> list[int]:
    """Return the shares of a single job: it goes to the first of the emptiest with room."""
    shares = [0] * len(loads)
    free = [(load, place) for place, load in enumerate(loads) if rooms[place] > 0]
    if free:
        shares[min(free)[1]] = 1
    return shares


class _Circle:
    """The members in a circle: whoever was chosen last is looked at last."""

    __slots__ = ("_last", "_members", "_next")

    def __init__(self) -> None:
        self._members: list[Worker] = []
        self._next = 0
        self._last = -1

    def set_members(self, workers: Sequence[Worker]) -> None:
        """Take the members; the turn stays with whoever comes after the one chosen last."""
        self._members = list(workers)
        self._next = bisect_right([worker.number for worker in workers], self._last)

    def share(self, count: int) -> list[tuple[Worker, int]]:
        """Return who gets how many, so that the fullest worker is as empty as it can be."""
        order = [self._members[place] for place in self._places()]
        workers = [worker for worker in order if worker.accepting]
        rooms = [worker.slots - worker.in_flight for worker in workers]
        shares = fill(count, self._loads(workers), rooms)
        found = [(worker, jobs) for worker, jobs in zip(workers, shares, strict=True) if jobs]
        if found:
            self._turn_to(self._members.index(found[-1][0]))
        return found

    def _loads(self, workers: Sequence[Worker]) -> list[int]:
        return [worker.in_flight for worker in workers]

    def _places(self) -> chain[int]:
        return chain(range(self._next, len(self._members)), range(self._next))

    def _turn_to(self, place: int) -> Worker:
        worker = self._members[place]
        self._last = worker.number
        self._next = place + 1
        return worker

    def _least_loaded(self) -> Worker | None:
        members, turn = self._members, self._next
        if turn < len(members) and members[turn].accepting and not members[turn].in_flight:
            return self._turn_to(turn)
        best, least = -1, -1
        for place in self._places():
            worker = members[place]
            if worker.accepting and (best < 0 or worker.in_flight < least):
                best, least = place, worker.in_flight
                if not least:
                    break
        return None if best < 0 else self._turn_to(best)


@strategy("round_robin", Bound(max_over_mean=1.01, jain=0.999))
class RoundRobin(_Circle):
    """The next worker in order that accepts a job."""

    __slots__ = ()

    def __init__(self, rng: Random) -> None:  # noqa: ARG002 (it leaves nothing to chance)
        super().__init__()

    def pick(self, session: str | None = None) -> Worker | None:  # noqa: ARG002
        """Return the next in order that accepts."""
        for place in self._places():
            if self._members[place].accepting:
                return self._turn_to(place)
        return None

    @override
    def _loads(self, workers: Sequence[Worker]) -> list[int]:
        return [0] * len(workers)


@strategy("least_loaded", Bound(max_over_mean=1.07, jain=0.999))
class LeastLoaded(_Circle):
    """The worker with the fewest jobs in flight; among equals, the one whose turn it is.

    The turn matters: in a pool that is mostly idle all are equal, and the first would get it all.
    """

    __slots__ = ()

    def __init__(self, rng: Random) -> None:  # noqa: ARG002 (it leaves nothing to chance)
        super().__init__()

    def pick(self, session: str | None = None) -> Worker | None:  # noqa: ARG002
        """Return the one with the fewest jobs in flight."""
        return self._least_loaded()


@strategy("power_of_two_choices", Bound(max_over_mean=1.15, jain=0.995))
class PowerOfTwoChoices(_Circle):
    """The less loaded of two that are drawn: nearly as even as the least loaded, and O(1).

    Mitzenmacher: The Power of Two Choices in Randomized Load Balancing (IEEE TPDS 12, 2001).
    """

    __slots__ = ("_draw",)

    def __init__(self, rng: Random) -> None:
        super().__init__()
        self._draw = rng.random

    def pick(self, session: str | None = None) -> Worker | None:  # noqa: ARG002
        """Return the less loaded of two drawn; if neither accepts, the least loaded of all."""
        members = self._members
        count = len(members)
        if count > 1:
            first = int(self._draw() * count)
            # Drawn from the others: never the same one twice.
            second = (first + 1 + int(self._draw() * (count - 1))) % count
            one, other = members[first], members[second]
            if one.accepting and not (other.accepting and other.in_flight < one.in_flight):
                return one
            if other.accepting:
                return other
        return self._least_loaded()


@strategy("consistent_hash", Bound(max_over_mean=1.45, jain=0.95))
class ConsistentHash(_Circle):
    """The same worker for the same session, as long as it is not too full.

    When a worker is gone only its sessions move. None holds more than `LOAD_FACTOR` times the mean
    of jobs in flight, else the next on the ring is asked.
    Mirrokni, Thorup, Zadimoghaddam: Consistent Hashing with Bounded Loads (SODA 2018).
    A job without a session goes to the least loaded.
    """

    __slots__ = ("_owners", "_points")

    def __init__(self, rng: Random) -> None:  # noqa: ARG002 (it leaves nothing to chance)
        super().__init__()
        self._points: list[int] = []
        self._owners: list[Worker] = []

    @override
    def set_members(self, workers: Sequence[Worker]) -> None:
        """Take the members, and put each on the ring by its number, which its replacement keeps."""
        super().set_members(workers)
        ring = sorted(
            (_point(f"{worker.number}/{copy}"), worker.number, worker)
            for worker in workers
            for copy in range(RING_POINTS)
        )
        self._points = [point for point, _, _ in ring]
        self._owners = [worker for _, _, worker in ring]

    def pick(self, session: str | None = None) -> Worker | None:
        """Return the first on the ring from the session's point on that is not too full."""
        if session is None or not self._members:
            return self._least_loaded()
        in_flight = sum(worker.in_flight for worker in self._members)
        most = math.ceil(LOAD_FACTOR * (in_flight + 1) / len(self._members))
        start = bisect_left(self._points, _point(session))
        for place in chain(range(start, len(self._owners)), range(start)):
            worker = self._owners[place]
            if worker.accepting and worker.in_flight < most:
                return worker
        return self._least_loaded()


def _point(name: str) -> int:
    """Return a name's place on the ring: the same in every process, whatever its hash seed."""
    return int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "big")
