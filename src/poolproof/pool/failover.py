"""Where a pool may fall back to: only as declared, only downwards, and never unseen.

The plan's way is from the pool to one worker to the mock. What was answered by a fallback is no
success of the layer that was asked for: every answer of one carries its record.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Final, NamedTuple

from poolproof.errors import UsageError

# From the most real to the least.
DESCENT: Final = ("full", "bridge_mock", "mock")


class Step(NamedTuple):
    """A place to run jobs in.

    Attributes:
        layer: `full`, `bridge_mock` or `mock`.
        size: how many workers.
    """

    layer: str
    size: int


class Fallback(NamedTuple):
    """A fallback that took place; goes into the history and into every result it made possible.

    Attributes:
        origin: what was left.
        target: what runs now.
        reason: why, for people.
        at_ns: when, CLOCK_MONOTONIC.
    """

    origin: Step
    target: Step
    reason: str
    at_ns: int


def refusal(origin: Step, target: Step) -> str | None:
    """Return why there may be no fallback from one to the other, None if there may.

    It must go down: to a less real layer, or to fewer workers of the same.

    Raises:
        UsageError: there is no such layer.
    """
    down = _depth(target.layer) - _depth(origin.layer)
    if down > 0 or (down == 0 and target.size < origin.size):
        return None
    return (
        f"expected a fallback to a less real layer or to fewer workers, got one from {origin.size} on "
        f"{origin.layer} to {target.size} on {target.layer}; what is at least as real fails as well"
    )


class Failover:
    """The declared way down, and how far it was gone.

    Attributes:
        fallbacks: all that took place, the first first; at most one for each step.

    Example:
        >>> failover = Failover([Step("full", 4), Step("full", 1), Step("mock", 1)])
        >>> failover.fall("no worker starts", now_ns=7).target
        Step(layer='full', size=1)
    """

    __slots__ = ("_steps", "fallbacks")

    def __init__(self, steps: Sequence[Step]) -> None:
        """Declare the way; the first step is what is asked for.

        Raises:
            UsageError: a step does not go down, or there is none.
        """
        if not steps:
            raise UsageError("expected at least the layer that is asked for, got no step")
        for origin, target in pairwise(steps):
            if reason := refusal(origin, target):
                raise UsageError(reason)
        self._steps = tuple(steps)
        self.fallbacks: list[Fallback] = []

    @property
    def step(self) -> Step:
        """Where jobs run now."""
        return self._steps[len(self.fallbacks)]

    @property
    def as_asked(self) -> bool:
        """Whether it is still what was asked for; else no answer may pass for one of that layer."""
        return not self.fallbacks

    def fall(self, reason: str, now_ns: int) -> Fallback | None:
        """Take the next step down and return its record; None if no further one was declared."""
        if len(self.fallbacks) + 1 == len(self._steps):
            return None
        target = self._steps[len(self.fallbacks) + 1]
        fallback = Fallback(self.step, target, reason, now_ns)
        self.fallbacks.append(fallback)
        return fallback


def _depth(layer: str) -> int:
    if layer not in DESCENT:
        raise UsageError(f"expected a layer among {', '.join(DESCENT)}, got {layer!r}")
    return DESCENT.index(layer)
