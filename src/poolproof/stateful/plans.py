"""A simulated run as data: pool, jobs, faults anchored to events, and the order of steps; played, searched, shrunk.

The plan is the artefact, not the seed: it survives edits. A fault comes after an event ("after the
third start"), not at a time, so that taking a job away does not move all that follows.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace as replaced
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

import msgspec

from poolproof import simulation
from poolproof.chaos.orders import FoundOrder, search, shrink_order
from poolproof.chaos.shrink import Cut, Shrunk, each_lower, fewer, lower, shrink
from poolproof.errors import UsageError
from poolproof.simulation import Played, Schedule, SimulationStalledError
from poolproof.stateful.judging import Judge, stalled
from poolproof.stateful.model import PoolModel
from poolproof.stateful.promises import broken
from poolproof.stateful.stack_subject import StackSubject
from poolproof.stateful.subject import Subject
from poolproof.transport.base import Layer

SCHEMA: Final = 1
Moment = Literal["submit", "start", "end"]
Harm = Literal["kill", "pause", "heal", "resize"]
Maker: TypeAlias = "Callable[[SimulatedPlan], Subject]"


class SimulatedJob(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One job: its client asks for its jobs one after the other; `cancel` gives it up while it is under way."""

    client: int = 0
    cancel: bool = False


class AnchoredFault(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is done, to which worker (for resize: the new size), after how many of which event."""

    kind: Harm
    worker: int
    after: Moment
    count: int


class SimulatedPlan(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything that a simulated run needs.

    Attributes:
        layer: mock or bridge_mock.
        workers: how many the pool has.
        settings: of the pool, as in `[tool.poolproof]`.
        jobs: what is asked for.
        faults: what is done to it.
        schedule: the order of task steps, as `simulation.to_json` writes it.
        schema: the version of this form.
    """

    layer: Layer = "mock"
    workers: int = 2
    settings: dict[str, Any] = {}
    jobs: tuple[SimulatedJob, ...] = ()
    faults: tuple[AnchoredFault, ...] = ()
    schedule: dict[str, Any] = {}
    schema: int = SCHEMA


def save(plan: SimulatedPlan, path: Path) -> None:
    """Write the plan as JSON that people can read and edit."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(plan)) + b"\n")


def load(path: Path) -> SimulatedPlan:
    """Read a plan.

    Raises:
        UsageError: there is none, or it is none of this version.
    """
    try:
        plan = msgspec.json.decode(path.read_bytes(), type=SimulatedPlan)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise UsageError(f"expected a simulated plan in {path}, got {error}") from None
    if plan.schema != SCHEMA or plan.layer == "full":
        raise UsageError(
            f"expected schema {SCHEMA} and a layer without processes in {path}, got {plan.schema}, {plan.layer}"
        )
    return plan


def stack_of(plan: SimulatedPlan) -> Subject:
    """Return our own stack as the plan wants it."""
    return StackSubject(plan.layer, plan.workers, **plan.settings)


def play_plan(plan: SimulatedPlan, make: Maker = stack_of) -> Played[None]:
    """Play the plan once; a promise that is broken is the result's `error`, a `BrokenPromiseError`."""
    played = simulation.play(_Run(plan, make).run(), simulation.from_json(plan.schedule))
    if isinstance(played.error, SimulationStalledError):
        return replaced(played, error=stalled(played.error))
    return played


class _Run:
    """One play: clients that ask, and faults that come when their events have happened."""

    def __init__(self, plan: SimulatedPlan, make: Maker) -> None:
        self._plan, self._subject = plan, make(plan)
        self._model = PoolModel()
        self._judge = Judge(self._subject, self._model)
        self._happened: Counter[Moment] = Counter()
        self._due = list(plan.faults)
        self._seen: Counter[int] = Counter()
        self._harms: list[asyncio.Task[None]] = []

    async def run(self) -> None:
        await self._subject.open()
        try:
            clients = sorted({job.client for job in self._plan.jobs})
            await asyncio.gather(*(self._client(client) for client in clients))
            self._due.clear()
            await asyncio.gather(*self._harms)
            await self._judge.require_recovery(2 * self._plan.workers)
        finally:
            in_time = await self._subject.close()
        if not in_time:
            raise broken("shutdown-hang")("everything is healed, and the shutdown does not end")

    async def _client(self, client: int) -> None:
        for job in self._plan.jobs:
            if job.client == client:
                await self._ask(job)

    async def _ask(self, job: SimulatedJob) -> None:
        number = await self._judge.submit()
        self._come("submit")
        self._notice()
        if job.cancel:
            self._model.jobs[number].harmed = True
            if await self._subject.cancel(number):
                self._model.cancelled(number, self._subject.starts().get(number, 0))
        await self._subject.settled([number])
        self._notice()
        self._come("end")
        self._judge.look()

    def _notice(self) -> None:
        """Count the starts that have come since the last look."""
        starts = Counter(self._subject.starts())
        for _ in (starts - self._seen).elements():
            self._come("start")
        self._seen = starts

    def _come(self, moment: Moment) -> None:
        self._happened[moment] += 1
        ripe = [f for f in self._due if f.after == moment and self._happened[moment] >= f.count]
        for fault in ripe:
            self._due.remove(fault)
            self._harms.append(asyncio.create_task(self._harm(fault)))

    async def _harm(self, fault: AnchoredFault) -> None:
        living = self._subject.workers()
        whom = fault.worker % living if living else 0
        if fault.kind == "heal":
            await self._subject.heal()
            self._model.healed()
        elif fault.kind == "resize":
            await self._subject.resize(max(1, fault.worker))
        elif living:
            pauses, lasts = fault.kind == "pause", not self._subject.recovers
            self._model.harmed("paused" if pauses else "killed" if lasts else None)
            await (self._subject.pause if pauses else self._subject.kill)(whom)


def search_plan(
    plan: SimulatedPlan, make: Maker = stack_of, *, seeds: int = 1000, seconds: float = 20.0
) -> FoundOrder | None:
    """Search for an order of steps in which the plan breaks a promise."""
    return search(_under(plan, make), seeds=seeds, seconds=seconds)


def _under(plan: SimulatedPlan, make: Maker) -> Callable[[Schedule], Played[None]]:
    def play(schedule: Schedule) -> Played[None]:
        return play_plan(_ordered(plan, schedule), make)

    return play


def _ordered(plan: SimulatedPlan, schedule: Schedule) -> SimulatedPlan:
    return msgspec.structs.replace(plan, schedule=simulation.to_json(schedule))


def shrink_plan(
    plan: SimulatedPlan, found: Played[None], make: Maker = stack_of
) -> Shrunk[SimulatedPlan]:
    """Take away faults, then jobs, workers, deviations, and make values lower, as long as the same promise breaks."""
    kind = type(found.error)
    order = shrink_order(_under(plan, make), found)

    def fails(candidate: SimulatedPlan) -> SimulatedPlan | None:
        played = play_plan(candidate, make)
        return _ordered(candidate, played.lifted) if type(played.error) is kind else None

    shrunk = shrink(_ordered(plan, order.plan), fails, _CUTS)
    return replaced(shrunk, runs=shrunk.runs + order.runs)


def _cut(field: str, smaller: Callable[[Any], Iterator[Any]]) -> Cut[SimulatedPlan]:
    def candidates(plan: SimulatedPlan) -> Iterator[SimulatedPlan]:
        for value in smaller(getattr(plan, field)):
            yield msgspec.structs.replace(plan, **{field: value})

    return Cut(field, candidates)


def _fewer_deviations(schedule: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for deviations in fewer(schedule.get("deviations", ())):
        yield {**schedule, "deviations": list(deviations)}


def _lower_faults(faults: tuple[AnchoredFault, ...]) -> Iterator[tuple[AnchoredFault, ...]]:
    def smaller(fault: AnchoredFault) -> Iterator[AnchoredFault]:
        for count in lower(fault.count, 1):
            yield msgspec.structs.replace(fault, count=count)
        for worker in lower(fault.worker, 0):
            yield msgspec.structs.replace(fault, worker=worker)

    return each_lower(faults, smaller)


def _plainer_jobs(jobs: tuple[SimulatedJob, ...]) -> Iterator[tuple[SimulatedJob, ...]]:
    def plainer(job: SimulatedJob) -> Iterator[SimulatedJob]:
        if job.cancel:
            yield msgspec.structs.replace(job, cancel=False)
        for client in lower(job.client, 0):
            yield msgspec.structs.replace(job, client=client)

    return each_lower(jobs, plainer)


_CUTS: Final = (
    _cut("faults", fewer),
    _cut("jobs", fewer),
    _cut("workers", lambda workers: lower(workers, 1)),
    _cut("schedule", _fewer_deviations),
    _cut("faults", _lower_faults),
    _cut("jobs", _plainer_jobs),
)
