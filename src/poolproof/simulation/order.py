"""What is ready, and which of it goes next: callbacks in their order, steps as the policy picks.

A step may be held back, but it never overtakes a callback that was queued before it: asyncio
documents that order, and sound programs (its own task groups among them) rely on it.
"""

from collections import deque
from collections.abc import Callable, Iterable
from contextvars import Context
from typing import Any, Final

from poolproof.simulation.schedule import Deviation, Policy
from poolproof.simulation.tasks import Call

Step = tuple[Callable[..., object], tuple[Any, ...], Context]
# A step that was put off has its turn after so many others at the latest: a task that spins until
# another has run is then no livelock.
PATIENCE: Final = 1000


class Order:
    """The ready steps and callbacks of a loop whose order a policy decides.

    Attributes:
        deviations: the picks so far that were not 0, by step.
    """

    def __init__(self, policy: Policy, number_of: Callable[[Step], int]) -> None:
        self.deviations: list[Deviation] = []
        self._policy = policy
        self._number_of = number_of
        self._arrivals = 0
        self._callbacks: deque[tuple[int, Call]] = deque()
        self._steps: deque[tuple[int, int, Step]] = deque()
        self._put_off: deque[tuple[int, int, Step]] = deque()
        self._count = 0
        self._waited = 0

    def arrive(self, ready: deque[Step | Call]) -> None:
        """Take all of `ready`, in its order, and leave it empty."""
        while ready:
            item = ready.popleft()
            self._arrivals += 1
            if isinstance(item, tuple):
                self._steps.append((self._arrivals, self._number_of(item), item))
            else:
                self._callbacks.append((self._arrivals, item))

    def waiting(self) -> list[Step | Call]:
        """Return all that has arrived and not yet had its turn."""
        steps = [step for _, _, step in (*self._steps, *self._put_off)]
        return [*(call for _, call in self._callbacks), *steps]

    def callback(self) -> Call | None:
        """Take the callback that is due before any choice: no step was queued before it."""
        if self._callbacks and (not self._steps or self._callbacks[0][0] < self._steps[0][0]):
            return self._callbacks.popleft()[1]
        return None

    def step(self) -> tuple[list[Call], int, Step] | None:
        """Pick a step; return it with its task's number and the callbacks that go before it, or None."""
        if self._waited >= PATIENCE:
            self._steps.extendleft(reversed(self._put_off))
            self._put_off.clear()
        if not self._steps and not self._put_off:
            return None
        arrival, number, step = self._take(self._pick())
        self._waited = self._waited + 1 if self._put_off else 0
        return list(self._callbacks_before(arrival)), number, step

    def _pick(self) -> int:
        step, self._count = self._count, self._count + 1
        ready = [number for _, number, _ in (*self._steps, *self._put_off)]
        pick = self._policy.pick(step, ready) if len(ready) > 1 else 0
        if pick:
            self.deviations.append((step, pick))
        return pick

    def _take(self, pick: int) -> tuple[int, int, Step]:
        if pick >= len(self._steps):
            index = pick - len(self._steps)
            self._put_off.extend(self._steps)
            self._steps.clear()
            chosen = self._put_off[index]
            del self._put_off[index]
            return chosen
        self._put_off.extend(self._steps.popleft() for _ in range(pick))
        return self._steps.popleft()

    def _callbacks_before(self, arrival: int) -> Iterable[Call]:
        while self._callbacks and self._callbacks[0][0] < arrival:
            yield self._callbacks.popleft()[1]
