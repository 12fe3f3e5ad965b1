"""The controller of a campaign: hands out seeds, takes in what comes of them, has each new failure cut once."""

import asyncio
import dataclasses
import time
from collections import deque
from collections.abc import AsyncIterator, Iterator
from itertools import islice
from pathlib import Path
from typing import Final, Protocol

import msgspec

from poolproof.campaign.coverage import Covered
from poolproof.campaign.executors import Executor
from poolproof.campaign.grouping import Group, Groups
from poolproof.campaign.kept import Head, Kept
from poolproof.campaign.result import CampaignResult, counted
from poolproof.campaign.tasks import (
    Batch,
    Case,
    Cutting,
    Failed,
    Least,
    Menu,
    Message,
    Sighting,
    Survey,
    Task,
    decode_message,
    encode,
    fault_of,
)
from poolproof.chaos.crashpoints import Effect
from poolproof.errors import PoolproofError, TargetError, UsageError
from poolproof.plan import Target

BATCH: Final = 40
"""Seeds for one host: its start and its reference trial are paid for once in so many."""
CUT_SHARE: Final = 0.25
"""The part of the time in which no new seed is begun, so that what was found can be cut."""
CUT_SECONDS: Final = 60.0
SURVEY_SECONDS: Final = 120.0
UNBOUNDED_SECONDS: Final = 3600.0
"""A bound for one batch where the campaign has none."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What a campaign was asked for; see `poolproof campaign --help`."""

    target: Target
    faults: tuple[str, ...]
    effects: tuple[Effect, ...]
    first: int
    seeds: int
    jobs: int
    directory: Path
    seconds: float | None = None
    null: bool = False


class Watcher(Protocol):
    """Who is told how far the campaign has come."""

    def begun(self, menu: Menu, seeds: int) -> None:
        """What can be done is known; so many seeds are wanted in all."""

    def came(self, cases: dict[int, Case], covered: Covered, groups: Groups) -> None:
        """One more case is there."""

    def new(self, group: Group, case: Case) -> None:
        """A failure was seen that is not known yet."""

    def cut(self, group: Group) -> None:
        """The plan of a failure has been cut."""


class CampaignError(PoolproofError):
    """A process that plays for the campaign failed; nothing is said of the target."""

    exit_code = 4


async def run_campaign(options: Options, executor: Executor, watcher: Watcher) -> CampaignResult:
    """Play what is left to play of a campaign, and return what all of it came to.

    Raises:
        TargetError: the target could not be found, built, recognised or started.
        UsageError: the directory holds a campaign of something else.
        CampaignError: we failed.
    """
    campaign = _Campaign(options, executor, watcher)
    await campaign.begin()
    if not campaign.menu.unplayable:
        await campaign.run()
    return campaign.result()


def _require_same(options: Options, head: Head) -> None:
    asked = {**msgspec.structs.asdict(options.target), **_what_is_done(options)}
    begun = {**msgspec.structs.asdict(head.target), **_what_is_done(head)}
    if asked != begun:
        differs = [
            f"{name} {new!r} instead of {begun[name]!r}"
            for name, new in asked.items()
            if new != begun[name]
        ]
        raise UsageError(
            f"expected the campaign that was begun in {options.directory}, got {', '.join(differs)}; give another --out"
        )


def _what_is_done(asked: Options | Head) -> dict[str, object]:
    return {"faults": asked.faults, "effects": asked.effects, "null": asked.null}


async def _told(executor: Executor, task: Task) -> AsyncIterator[Message]:
    async for line in executor.perform(encode(task)):
        told = decode_message(line)
        if isinstance(told, Failed):
            raise (TargetError if told.exit_code == TargetError.exit_code else CampaignError)(
                told.message
            )
        yield told


class _Campaign:
    """A campaign while it runs."""

    def __init__(self, options: Options, executor: Executor, watcher: Watcher) -> None:
        self.options, self.executor, self.watcher = options, executor, watcher
        self.kept = Kept(options.directory)
        self.began = time.monotonic()
        self.cases: dict[int, Case] = {}
        self.covered = Covered()
        self.known: set[str] = set()
        self._wanted = range(options.first, options.first + options.seeds)
        self._due: deque[Group] = deque()
        self._turn = asyncio.Condition()
        self._playing = 0

    async def begin(self) -> None:
        """Know what can be done, as the campaign was begun or by a survey; take in what earlier runs have kept."""
        if (head := self.kept.head()) is not None:
            _require_same(self.options, head)
        else:
            head = await self._survey()
        self.menu = head.menu
        self.groups = Groups(self.menu)
        self.watcher.begun(self.menu, self.options.seeds)
        self._recall()

    async def _survey(self) -> Head:
        options = self.options
        survey = Survey(
            target=options.target,
            faults=options.faults,
            effects=options.effects,
            seconds=options.seconds or SURVEY_SECONDS,
        )
        menus = [told async for told in _told(self.executor, survey) if isinstance(told, Menu)]
        if not menus:
            raise CampaignError("expected a survey of the target, got no answer from who made it")
        head = Head(
            target=options.target,
            menu=menus[0],
            faults=options.faults,
            effects=options.effects,
            null=options.null,
        )
        self.kept.begin(head)
        return head

    def _recall(self) -> None:
        """Take in what is kept, and what is found but not cut."""
        self.groups.unharmed(self.menu.broken)
        for case in self.kept.cases():
            if case.seed in self._wanted:
                self.cases[case.seed] = case
                self._take_in(case)
        for group in list(self.groups.found.values()):
            if least := self.kept.least(group.fingerprint):
                self.groups.cut(least, fault_of(least.plan))
            elif self.kept.plan(group.fingerprint):
                self._due.append(group)

    def _take_in(self, case: Case) -> list[Group]:
        self.covered.add(case)
        new = self.groups.add(case)
        self.known |= {group.fingerprint for group in new}
        return new

    async def run(self) -> None:
        """Play seeds and cut failures, as many at once as was asked for."""
        seeds = iter([seed for seed in self._wanted if seed not in self.cases])
        async with asyncio.TaskGroup() as tasks:
            for _ in range(self.options.jobs):
                tasks.create_task(self._work(seeds))

    async def _work(self, seeds: Iterator[int]) -> None:
        while (task := await self._next(seeds)) is not None:
            try:
                async for told in _told(self.executor, task):
                    self._hear(told)
                    await asyncio.sleep(0)  # others have something to say, too
            finally:
                async with self._turn:
                    self._playing -= 1
                    self._turn.notify_all()

    async def _next(self, seeds: Iterator[int]) -> Task | None:
        """Return what is to be done next: what was found is cut first; None when nothing can come any more."""
        async with self._turn:
            while True:
                if (task := self._cutting() or self._batch(seeds)) is not None:
                    self._playing += 1
                    return task
                if not self._playing:
                    self._turn.notify_all()
                    return None
                await self._turn.wait()

    def _left(self, share: float = 0.0) -> float:
        """Return the seconds that are left before the given share of the end."""
        if self.options.seconds is None:
            return UNBOUNDED_SECONDS
        return self.options.seconds * (1 - share) - (time.monotonic() - self.began)

    def _cutting(self) -> Cutting | None:
        self._due = deque(one for one in self._due if one.fingerprint in self.groups.found)
        if not self._due or self._left() <= 1:
            return None
        group = self._due.popleft()
        plan = self.kept.plan(group.fingerprint)
        assert plan is not None
        return Cutting(
            menu=self.menu,
            plan=plan,
            fingerprint=group.fingerprint,
            broken=group.broken,
            seconds=min(CUT_SECONDS, self._left()),
        )

    def _batch(self, seeds: Iterator[int]) -> Batch | None:
        seconds = self._left(CUT_SHARE)
        if seconds <= 1 or not (chosen := tuple(islice(seeds, self._size()))):
            return None
        return Batch(
            menu=self.menu,
            seeds=chosen,
            coverage=self.covered.freeze(),
            known=frozenset(self.known),
            seconds=seconds,
            null=self.options.null,
        )

    def _size(self) -> int:
        """Return how many seeds one host gets: all hosts some, and the last ones not too late."""
        return max(1, min(BATCH, -(-self.options.seeds // (2 * self.options.jobs))))

    def _hear(self, told: Message) -> None:
        if isinstance(told, Sighting):
            self.kept.saw(told)
        elif isinstance(told, Case):
            self.kept.add(told)
            self.cases[told.seed] = told
            for group in self._take_in(told):
                self._due.append(group)
                self.watcher.new(group, told)
            self.watcher.came(self.cases, self.covered, self.groups)
        elif isinstance(told, Least):
            self._hear_least(told)

    def _hear_least(self, told: Least) -> None:
        self.kept.cut(told)
        group = self.groups.found.get(told.fingerprint)
        self.groups.cut(told, fault_of(told.plan))
        if group is not None:
            self.watcher.cut(group)

    def result(self) -> CampaignResult:
        """Return what all of it came to."""
        return counted(
            self.menu,
            self.cases,
            self.groups,
            self.kept,
            seeds=self.options.seeds,
            seconds=time.monotonic() - self.began,
        )
