"""The order of task steps, as data: a policy with its seed, or sparse deviations from first-in-first-out.

At each step the loop offers the tasks that are ready, those put off last. A policy answers with the
index of the one to run: 0 is the order of the stock loop. To pick another puts off those before
it: they wait until no other step is ready, so one deviation can hold a task back for long.
"""

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol, get_args

from poolproof.errors import UsageError

PolicyName = Literal["fifo", "random", "pct", "delay"]
Deviation = tuple[int, int]
POLICIES: Final[tuple[str, ...]] = get_args(PolicyName)


class Policy(Protocol):
    """Which of the ready tasks goes next."""

    def pick(self, step: int, ready: Sequence[int]) -> int:
        """Return an index into `ready`, the numbers of at least two tasks; `step` counts from 0."""
        ...


@dataclass(frozen=True, slots=True)
class Schedule:
    """An order of task steps, and the seed of all chance in the run.

    Attributes:
        policy: `fifo` is the order of the stock loop. `random` picks evenly among the ready. `pct`
            gives tasks random priorities, and lowers one at `depth` - 1 random steps (Burckhardt et
            al., ASPLOS 2010). `delay` deviates from first-in-first-out at no more than `depth`
            random steps (after Emmi, Qadeer and Rakamaric, POPL 2011).
        seed: of the three streams of randomness, also under `fifo`.
        deviations: for `fifo` alone: (step, pick) where this run leaves first-in-first-out. A pick
            past the last ready task takes the last.
        depth: how many orderings `pct` aims at, how often `delay` may deviate.
        length: about how many steps the run has: where `pct` and `delay` spread their changes.
        buggify: whether the points of `buggify` may fire.

    Raises:
        UsageError: a policy that does not exist, a number out of bounds, deviations that are not in
            order or beside another policy than `fifo`.
    """

    policy: PolicyName = "fifo"
    seed: int = 0
    deviations: tuple[Deviation, ...] = ()
    depth: int = 3
    length: int = 200
    buggify: bool = False

    def __post_init__(self) -> None:
        if self.policy not in POLICIES:
            _refuse(f"a policy among {', '.join(POLICIES)}", self.policy)
        if self.depth < 1 or self.length < 1:
            _refuse("depth and length of at least 1", f"{self.depth} and {self.length}")
        if self.deviations and self.policy != "fifo":
            _refuse("deviations only from fifo", f"policy {self.policy} with deviations")
        steps = [step for step, _ in self.deviations]
        if any(step < 0 or pick < 1 for step, pick in self.deviations) or steps != sorted(
            set(steps)
        ):
            _refuse("deviations (step >= 0, pick >= 1), steps ascending", self.deviations)

    @property
    def in_order(self) -> bool:
        """Whether every step runs first in, first out."""
        return self.policy == "fifo" and not self.deviations


def from_json(data: dict[str, Any]) -> Schedule:
    """Return the schedule that `to_json` has written.

    Raises:
        UsageError: an unknown key, or what `Schedule` refuses.
    """
    if unknown := set(data) - set(Schedule.__slots__):
        _refuse(f"keys among {', '.join(Schedule.__slots__)}", ", ".join(sorted(unknown)))
    deviations = tuple((int(step), int(pick)) for step, pick in data.get("deviations", ()))
    fields: dict[str, Any] = {**data, "deviations": deviations}
    return Schedule(**fields)


def to_json(schedule: Schedule) -> dict[str, Any]:
    """Return the schedule as JSON: its policy, its seed and its deviations; the rest where it counts."""
    data: dict[str, Any] = {"policy": schedule.policy, "seed": schedule.seed}
    if schedule.policy in {"pct", "delay"}:
        data |= {"depth": schedule.depth, "length": schedule.length}
    if schedule.buggify:
        data["buggify"] = True
    return data | {"deviations": [list(deviation) for deviation in schedule.deviations]}


def _refuse(expected: str, got: object) -> None:
    raise UsageError(f"schedule: expected {expected}, got {got}")


class Replay:
    """First in, first out, but for given deviations."""

    def __init__(self, deviations: Iterable[Deviation]) -> None:
        self._picks = dict(deviations)

    def pick(self, step: int, ready: Sequence[int]) -> int:
        """Return the recorded pick, or the last of `ready` where fewer are ready now."""
        return min(self._picks.get(step, 0), len(ready) - 1)


class RandomWalk:
    """Each ready task is as likely as another."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng

    def pick(self, step: int, ready: Sequence[int]) -> int:  # noqa: ARG002 - the protocol's
        """Return any index."""
        return self._rng.randrange(len(ready))


class Priorities:
    """PCT: the task of the highest priority runs, and at a few random steps that one becomes the lowest."""

    def __init__(self, rng: random.Random, depth: int, length: int) -> None:
        self._rng = rng
        self._changes = {rng.randrange(length) for _ in range(depth - 1)}
        self._priority: dict[int, float] = {}

    def pick(self, step: int, ready: Sequence[int]) -> int:
        """Return the index of the highest priority, after this step's change if it has one."""
        best = self._highest(ready)
        if step in self._changes:
            self._priority[ready[best]] = -1.0 - step
            best = self._highest(ready)
        return best

    def _highest(self, ready: Sequence[int]) -> int:
        return max(range(len(ready)), key=lambda index: self._of(ready[index]))

    def _of(self, task: int) -> float:
        if task not in self._priority:
            self._priority[task] = self._rng.random()
        return self._priority[task]


class Delays:
    """First in, first out, but for a bounded number of random steps."""

    def __init__(self, rng: random.Random, depth: int, length: int) -> None:
        self._rng = rng
        self._left = sorted((rng.randrange(length) for _ in range(depth)), reverse=True)

    def pick(self, step: int, ready: Sequence[int]) -> int:
        """Return 0, or any other index at the first choice after each drawn step."""
        if not self._left or step < self._left[-1]:
            return 0
        self._left.pop()
        return self._rng.randrange(1, len(ready))


def policy_of(schedule: Schedule, rng: random.Random) -> Policy:
    """Return what decides by `schedule`, drawing from `rng` alone."""
    makers: dict[str, Callable[[], Policy]] = {
        "fifo": lambda: Replay(schedule.deviations),
        "random": lambda: RandomWalk(rng),
        "pct": lambda: Priorities(rng, schedule.depth, schedule.length),
        "delay": lambda: Delays(rng, schedule.depth, schedule.length),
    }
    return makers[schedule.policy]()
