"""When each operation of an open load is due: pure functions from shape, rate, duration and seed to times.

A shape is a rate over time, in straight pieces. Arrivals are where its integral, the number that is due by then,
passes the next whole number (`even`), or the next point of a Poisson process of rate 1 (`poisson`): callers who know
nothing of each other, which is what an open load stands for.
"""

import math
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import Final, Literal, get_args

from poolproof.errors import UsageError

Shape = Literal["steady", "ramp", "spike", "staircase"]
Arrivals = Literal["poisson", "even"]

SHAPES: Final[tuple[Shape, ...]] = get_args(Shape)
MOST_ARRIVALS: Final = 20_000_000
"""How many arrivals one run may plan; each takes 8 bytes of memory in two processes."""
STEPS: Final = 5
SPIKE_TIMES: Final = 20.0
"""A spike is so many times its base: the planned one goes from 100 to 2,000 a second."""
_NS: Final = 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A time with a rate that changes evenly.

    Attributes:
        seconds: how long.
        first, last: the rate when it begins and ends, in operations a second.
    """

    seconds: float
    first: float
    last: float

    @property
    def total(self) -> float:
        """How many operations are due in it."""
        return self.seconds * (self.first + self.last) / 2

    def when(self, due: float) -> float:
        """Return after how many seconds `due` operations of this piece are due; 0 <= due <= total."""
        slope = (self.last - self.first) / self.seconds
        # The root of slope/2 t^2 + first t = due, in the form that is exact for a slope of 0, too.
        root = math.sqrt(max(0.0, self.first**2 + 2 * slope * due))
        return 2 * due / (self.first + root) if due else 0.0


def pieces(
    shape: Shape, rate: float, seconds: float, *, rise: float | None = None
) -> tuple[Piece, ...]:
    """Return the pieces of a shape.

    Args:
        shape: `steady`; `ramp`, from nothing to the rate and on; `spike`, a third of the time at the
            rate between two thirds at a twentieth of it; `staircase`, five equal steps up to the rate.
        rate: the highest rate, in operations a second.
        seconds: how long in all.
        rise: how long a ramp rises; a third of the time if not given.

    Raises:
        UsageError: a number that cannot be, or more arrivals than a run may plan.
    """
    if not (0 < rate < math.inf and 0 < seconds < math.inf):
        raise UsageError(f"expected a rate and a time above 0, got {rate:g}/s for {seconds:g} s")
    if rate * seconds > MOST_ARRIVALS:
        raise UsageError(
            f"expected at most {MOST_ARRIVALS:,} arrivals, got {rate:g}/s for {seconds:g} s;"
            " take a shorter time"
        )
    third = seconds / 3
    match shape:
        case "steady":
            return (Piece(seconds=seconds, first=rate, last=rate),)
        case "ramp":
            return _ramp(rate, seconds, third if rise is None else rise)
        case "spike":
            rates = (rate / SPIKE_TIMES, rate, rate / SPIKE_TIMES)
            return tuple(Piece(seconds=third, first=one, last=one) for one in rates)
        case "staircase":
            steps = [rate * (step + 1) / STEPS for step in range(STEPS)]
            return tuple(Piece(seconds=seconds / STEPS, first=one, last=one) for one in steps)


def _ramp(rate: float, seconds: float, rise: float) -> tuple[Piece, ...]:
    if not 0 < rise <= seconds:
        raise UsageError(f"expected a ramp to rise for up to {seconds:g} s, got {rise:g} s")
    up = Piece(seconds=rise, first=0.0, last=rate)
    rest = Piece(seconds=seconds - rise, first=rate, last=rate)
    return (up, rest) if rest.seconds else (up,)


def arrivals(
    shape: Shape,
    rate: float,
    seconds: float,
    seed: int = 0,
    *,
    rise: float | None = None,
    spacing: Arrivals = "poisson",
) -> "array[int]":
    """Return when each operation is due, in nanoseconds from the beginning, in ascending order.

    Equal arguments give equal times, in every process. See `pieces`; `spacing` is how far they are
    from each other: as chance has it, or even.

    Raises:
        UsageError: as `pieces`.
    """
    steps = _even() if spacing == "even" else _poisson(Random(seed))  # noqa: S311 - chance, no secret
    return array("q", _times(pieces(shape, rate, seconds, rise=rise), steps))


def _even() -> Iterator[float]:
    yield 0.5
    while True:
        yield 1.0


def _poisson(rng: Random) -> Iterator[float]:
    while True:
        yield rng.expovariate(1.0)


def _times(parts: Sequence[Piece], steps: Iterator[float]) -> Iterator[int]:
    due, began = next(steps), 0.0
    for part in parts:
        while due < part.total:
            yield int((began + part.when(due)) * _NS)
            due += next(steps)
        due -= part.total
        began += part.seconds
