"""The corpus: sound asyncio pools, and each bug planted in one of them as a small diff.

One file in broken/ each, as in the zoo: `key: value` lines, then a unified diff without line numbers.
"""

import functools
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from poolproof.isolation.resources.asynchronous import tasks
from poolproof.simulation import Played, Schedule, play
from tests.chaos.races import invariants, workloads
from tests.chaos.zoo.ablations import Ablation

RACES: Final = Path(__file__).parent
Workload = Callable[[ModuleType], Coroutine[Any, Any, None]]

WORKLOADS: Final[dict[str, tuple[str, ...]]] = {
    "leases": ("lend",),
    "fence": ("hold", "crowd", "come_back"),
    "jobs": ("shift", "close_early"),
    "flights": ("ask_the_cache",),
    "channel": ("talk",),
    "health": ("cut_and_heal",),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Race:
    """A pool and what is done with it.

    Attributes:
        name: what it does wrong, in words with hyphens; for a sound pool, its file and workload.
        workload: the function of `workloads` that brings it out.
        source: the pool's text.
        invariant: the promise that it breaks; None for a sound one.
        note: what is wrong with it, in a sentence.
        changed_lines: how many lines the diff takes out or puts in.
    """

    name: str
    workload: str
    source: str
    invariant: type[invariants.BrokenPromiseError] | None = None
    note: str = ""
    changed_lines: int = 0

    @property
    def module(self) -> ModuleType:
        """The pool's text, run."""
        return _module(self.name, self.source)

    def play(self, schedule: Schedule) -> Played[None]:
        """Run the workload once."""
        workload: Workload = getattr(workloads, self.workload)
        return play(_taking_all(workload(self.module)), schedule)

    def is_found(self, played: Played[None]) -> bool:
        """Return whether the run broke the promise that this pool breaks."""
        return self.invariant is not None and type(played.error) is self.invariant


async def _taking_all(work: Coroutine[Any, Any, None]) -> None:
    """Judge promises alone: what the tasks of a broken pool have raised, nobody else takes."""
    try:
        await work
    finally:
        for task in tasks():
            if task.done() and not task.cancelled():
                task.exception()


@functools.cache
def _module(name: str, source: str) -> ModuleType:
    module = ModuleType(f"races.{name.replace('-', '_')}")
    exec(compile(source, f"races/{name}.py", "exec"), vars(module))
    return module


def module_of(base: str) -> ModuleType:
    """Return a sound pool's module."""
    return _module(base, (RACES / f"{base}.py").read_text(encoding="utf-8"))


def _read(file: Path) -> Race:
    head, _, diff = file.read_text(encoding="utf-8").partition("\n\n--- ")
    facts = dict(line.split(": ", 1) for line in head.splitlines())
    base, name, *lines = diff.splitlines()
    if name != f"+++ {file.stem}":
        raise ValueError(f"expected +++ {file.stem}, got {name!r} in {file}")
    ablation = Ablation(
        name=file.stem,
        base=f"../races/{base}",
        diff=tuple(lines),
        note=facts["note"],
        invariant=facts["invariant"],
        faults=(),
    )
    return Race(
        name=file.stem,
        workload=facts["workload"],
        source=ablation.source(),
        invariant=getattr(invariants, facts["invariant"]),
        note=facts["note"],
        changed_lines=sum(line[:1] in "+-" for line in lines if line),
    )


BROKEN: Final = tuple(_read(file) for file in sorted((RACES / "broken").glob("*.diff")))
SOUND: Final = tuple(
    Race(name=f"{base}, {workload}", workload=workload, source=(RACES / f"{base}.py").read_text())
    for base, names in WORKLOADS.items()
    for workload in names
)


SEARCHED: Final = ("random", "pct", "delay")


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """How many seeds it took to find a bug, and the run that showed it, if any."""

    seeds: int
    found: Played[None] | None


def search_alone(race: Race, policy: Any, *, most: int) -> Search:
    """Try seeds 0, 1, 2, ... of one policy until one breaks the promise."""
    length = max(race.play(Schedule()).steps, 1)
    for seed in range(most):
        played = race.play(Schedule(policy=policy, seed=seed, length=length))
        if race.is_found(played):
            return Search(seeds=seed + 1, found=played)
    return Search(seeds=most, found=None)
