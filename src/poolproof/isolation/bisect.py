"""Finds who spoilt a test, and by which resource: the shortest order in which it still fails, and what differs then.

The search and the comparison are pure; `bisect` only carries out the runs that they ask for.
"""

import difflib
import math
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, Literal, Protocol

import msgspec

from poolproof.errors import TargetError, UsageError
from poolproof.isolation.runs.fingerprint import State
from poolproof.isolation.runs.ordering import Order
from poolproof.isolation.runs.records import Leak, Record

SCHEMA: Final = 1
MOST_RUNS: Final = 64
MOST_RESOURCES: Final = 10
# What differs only because other code ran, ranks last: it is rarely why.
_RARELY_WHY: Final = ("module", "interpreter warning", "temporary-file", "file", "thread")
_OUR_OWN: Final = ("temporary-file pytest-of-", "temporary-file poolproof-")

Kind = Literal["polluted", "needs others", "fails alone", "not reproduced", "unsteady"]
Search = Generator[tuple[str, ...], bool, tuple[str, ...]]


class Resource(msgspec.Struct, frozen=True, kw_only=True):
    """What the victim found otherwise: where it passed, and where it failed.

    Attributes:
        resource: the kind of resource, as a slug.
        what: which of them.
        passing: how it was before the victim where that passed; "" for absent.
        failing: how it was where that failed.
        where: where it was made, if the guard saw it.
    """

    resource: str
    what: str
    passing: str = ""
    failing: str = ""
    where: str = ""


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """One order that was tried: what ran before the victim, whether it then failed, and the state that it found."""

    before: tuple[str, ...]
    bad: bool
    message: str = ""
    state: Mapping[str, str] = {}
    leaks: Mapping[str, tuple[Leak, ...]] = {}


class Bisection(msgspec.Struct, frozen=True, kw_only=True):
    """What was found out about a victim.

    Attributes:
        kind: `polluted` by others, `needs others` to pass, `fails alone`, `not reproduced`, or `unsteady`: the same
            order gave both outcomes, or the bound of runs was hit.
        others: the fewest tests that, before it, make it fail (or pass, if it needs them).
        resources: what they changed that it found otherwise, the likeliest first.
        runs: how many runs of pytest it took...
        bound: ...and how many one culprit among so many `candidates` takes at most.
    """

    schema: int = SCHEMA
    victim: str
    kind: Kind
    others: tuple[str, ...] = ()
    resources: tuple[Resource, ...] = ()
    runs: int = 0
    bound: int = 0
    candidates: int = 0
    message: str = ""


def search(candidates: Sequence[str]) -> Search:
    """Search for the fewest candidates that matter: yield which to try, be sent whether they did it.

    All together do, none does not. One culprit among n takes at most ceil(log2 n) + 1 trials; several that only do it
    together are found by delta debugging (A. Zeller, IEEE Trans. Software Eng. 28(2), 2002, the `dd` of section 4).
    """
    guilty, suspects, proven = tuple(candidates), tuple(candidates), True
    while len(suspects) > 1:
        half = suspects[: len(suspects) // 2]
        if (yield half):
            guilty, suspects, proven = half, half, True
        else:
            suspects, proven = suspects[len(half) :], False
    if proven or (yield suspects):
        return suspects
    return (yield from _together(guilty, ()))


def _together(changed: tuple[str, ...], kept: tuple[str, ...]) -> Search:
    """Return the fewest of `changed` that matter beside `kept`."""
    if len(changed) == 1:
        return changed
    middle = len(changed) // 2
    left, right = changed[:middle], changed[middle:]
    if (yield left + kept):
        return (yield from _together(left, kept))
    if (yield right + kept):
        return (yield from _together(right, kept))
    some = yield from _together(left, right + kept)
    return some + (yield from _together(right, some + kept))


def telling(trials: Sequence[Trial], *, guilty: bool = True) -> Iterator[Resource]:
    """Yield what was otherwise in every trial that went the guilty way than in any that did not, likeliest first.

    Each innocent test was absent from one of the former or present in one of the latter, so that only what the
    culprits did can be in all of the former and in none of the latter.
    """
    failing = [trial.state for trial in trials if trial.state and trial.bad is guilty]
    passing = [trial.state for trial in trials if trial.state and trial.bad is not guilty]
    if not failing or not passing:
        return
    names = {name for state in failing + passing for name in state}
    found: list[tuple[bool, int, str]] = []
    for name in names:
        now = {state.get(name, "") for state in failing}
        if not now & {state.get(name, "") for state in passing} and not name.startswith(_OUR_OWN):
            found.append((name.startswith(_RARELY_WHY), len(now), name))
    for _, _, name in sorted(found)[:MOST_RESOURCES]:
        resource, _, what = name.partition(" ")
        before, after = passing[-1].get(name, ""), failing[-1].get(name, "")
        yield Resource(resource=resource, what=what, passing=before, failing=after)


def resources(trials: Sequence[Trial], others: Sequence[str], *, guilty: bool) -> list[Resource]:
    """Return what the others did: what is telling, with where the guard saw it made, then what only the guard saw."""
    last = next(
        (t for t in reversed(trials) if t.bad is guilty and set(others) <= set(t.before)), None
    )
    leaks = [leak for test in others for leak in (last.leaks.get(test, ()) if last else ())]
    found: list[Resource] = []
    for resource in telling(trials, guilty=guilty):
        seen = [leak for leak in leaks if _same(leak, resource)]
        found.append(msgspec.structs.replace(resource, where=seen[0].where if seen else ""))
        leaks = [leak for leak in leaks if leak not in seen]
    return found + [Resource(resource=k.resource, what=k.what, where=k.where) for k in leaks]


def _same(leak: Leak, resource: Resource) -> bool:
    """Tell whether the guard and the comparison speak of the same thing."""
    name = resource.what.rpartition(".")[2]
    return leak.resource == resource.resource and (not name or name in leak.what)


class Player(Protocol):
    """Runs the suite; `child.Suite` does."""

    async def run(
        self,
        order: Order,
        *,
        workers: int = 0,
        guard: str = "report",
        heard: Callable[[int], None] = ...,
    ) -> Record:
        """Run it once, in this order."""
        ...


class Bisector:
    """Carries out the runs of one bisection, and remembers what each of them showed.

    Args:
        suite: runs the tests.
        victim: the test that is not always what it was.
        place: a directory for the states that the victim finds.
        step: is called before each run, with what will run before the victim.
    """

    def __init__(
        self, suite: Player, victim: str, place: Path, step: Callable[[int], None]
    ) -> None:
        self._suite, self._victim, self._place, self._step = suite, victim, place, step
        self._known: dict[tuple[str, ...], bool] = {}
        self.trials: list[Trial] = []
        self.runs = 0

    async def find(
        self,
        *,
        workers: int = 0,
        seeds: Sequence[int | None] = (None,),
        record: Record | None = None,
    ) -> Bisection:
        """Find what the victim's outcome depends on.

        Args:
            workers: make the first run under xdist, with so many workers.
            seeds: the orders to try until the victim fails; None is the suite's own.
            record: a run that was recorded earlier, instead.

        Raises:
            UsageError: there is no such test.
        """
        first = _known(record, self._victim) if record else await self._first(seeds[0], workers)
        alone = await self.trial(())
        for seed in () if record else seeds[1:]:
            if first.tests[self._victim].bad is not alone.bad:
                break
            first = await self._first(seed, workers)
        return await self._explain(first, alone, elsewhere=bool(workers) or record is not None)

    async def _explain(self, first: Record, alone: Trial, *, elsewhere: bool) -> Bisection:
        """Say why the victim's outcome alone is another one; `elsewhere`: the first run was not of this one process."""
        found, before = first.tests[self._victim], first.before(self._victim)
        self._order = {test: number for number, test in enumerate(before)}
        self._bound = runs_at_most(len(before)) + elsewhere
        if found.bad is alone.bad or not before:
            kind: Kind = "fails alone" if alone.bad else "not reproduced"
            return self._result(kind, before, message=alone.message or found.message)
        if elsewhere and not await self._does(before, guilty=found.bad):
            return self._result("not reproduced", before, message=found.message)
        others = await self._search(before, guilty=found.bad)
        if others is None:
            return self._result("unsteady", before, message=found.message)
        return self._result(
            "polluted" if found.bad else "needs others",
            before,
            others=others,
            resources=resources(self.trials, others, guilty=found.bad),
            message=found.message if found.bad else alone.message,
        )

    def _result(
        self,
        kind: Kind,
        before: Sequence[str],
        *,
        message: str,
        others: tuple[str, ...] = (),
        resources: Sequence[Resource] = (),
    ) -> Bisection:
        return Bisection(
            victim=self._victim,
            kind=kind,
            others=others,
            resources=tuple(resources),
            runs=self.runs,
            bound=self._bound,
            candidates=len(before),
            message=message,
        )

    async def _search(self, before: tuple[str, ...], *, guilty: bool) -> tuple[str, ...] | None:
        """Return the fewest that matter; None if the answers contradict each other, or are too many."""
        asked = search(before)
        try:
            wanted = next(asked)
            while self.runs < MOST_RUNS:
                wanted = asked.send(await self._does(wanted, guilty=guilty))
        except StopIteration as found:
            others = tuple(sorted(found.value, key=self._order.__getitem__))
            return others if await self._does(others, guilty=guilty) else None
        return None

    async def _does(self, before: Sequence[str], *, guilty: bool) -> bool:
        chosen = tuple(sorted(before, key=self._order.__getitem__))
        if chosen not in self._known:
            self._known[chosen] = (await self.trial(chosen)).bad is guilty
        return self._known[chosen]

    async def trial(self, before: Sequence[str]) -> Trial:
        """Run these tests and then the victim, in one process.

        Raises:
            TargetError: the process ended before it came to the victim.
        """
        order = Order(tests=(*before, self._victim), watch=self._victim, state=self._state())
        record = await self._played(order, len(before), workers=0)
        if self._victim not in record.tests:
            died = [test.test for test in record.tests.values() if test.outcome == "crashed"]
            raise TargetError(
                f"expected {self._victim} to run after {len(before)} others, got the end of pytest"
                f" (exit code {record.exit}) in {died[-1] if died else 'no test'}"
            )
        return self._noted(record, before, order)

    async def _first(self, seed: int | None, workers: int) -> Record:
        order = Order(seed=seed, watch=self._victim, state=self._state())
        record = _known(await self._played(order, -1, workers=workers), self._victim)
        self._noted(record, record.before(self._victim), order)
        return record

    def _state(self) -> str:
        return str(self._place / f"state-{self.runs:03}.json")

    async def _played(self, order: Order, before: int, *, workers: int) -> Record:
        self._step(before)
        self.runs += 1
        return await self._suite.run(order, workers=workers, guard="")

    def _noted(self, record: Record, before: Sequence[str], order: Order) -> Trial:
        found = record.tests[self._victim]
        trial = Trial(
            before=tuple(before),
            bad=found.bad,
            message=found.message,
            state=_read_state(Path(order.state)),
            leaks={name: test.leaks for name, test in record.tests.items() if test.leaks},
        )
        self.trials.append(trial)
        return trial


def _read_state(path: Path) -> State:
    return msgspec.json.decode(path.read_bytes(), type=State) if path.exists() else {}


def _known(record: Record, victim: str) -> Record:
    """Return the record; raise UsageError if the victim is not in it."""
    if victim not in record.tests:
        name = "::" + victim.rpartition("::")[2]
        near = [test for test in record.tests if test.endswith(name)]
        near = near or difflib.get_close_matches(victim, record.tests, n=1, cutoff=0.4)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise UsageError(
            f"expected a test that ran among the {len(record.tests)} of this suite, got {victim}{hint}"
        )
    return record


def runs_at_most(candidates: int) -> int:
    """Return how many runs one culprit among so many takes: all, the victim alone, the halves, and the proof."""
    return 3 + math.ceil(math.log2(max(1, candidates)))
