"""Playing a plan once: clients that ask, faults that come when their events have happened, and what came of it."""

import asyncio
from collections import Counter
from dataclasses import replace as replaced

from poolproof import simulation
from poolproof.errors import PoolproofError
from poolproof.simulation import Played, SimulationStalledError
from poolproof.stateful.judging import Judge, stalled
from poolproof.stateful.model import PoolModel
from poolproof.stateful.plans import (
    AnchoredFault,
    Maker,
    Moment,
    SimulatedJob,
    SimulatedPlan,
    stack_of,
)
from poolproof.stateful.promises import BrokenPromiseError, broken
from poolproof.stateful.subject import TellsStarts


class VacuousPlanError(PoolproofError):
    """Nothing broke, and not all of the plan was done: the run proves nothing. Its verdict is `unknown`."""

    exit_code = 3


def play_plan(plan: SimulatedPlan, make: Maker = stack_of) -> Played[None]:
    """Play a plan in virtual time once; what is wrong is the result's `error`.

    That is a `BrokenPromiseError` if the pool broke a promise, and a `VacuousPlanError` if it broke
    none and not every fault was done; anything else is an error of the harness.
    """
    played = simulation.play(_Run(plan, make).run(), simulation.from_json(plan.schedule))
    if isinstance(played.error, SimulationStalledError):
        return replaced(played, error=stalled(played.error))
    return played


def outcome(
    plan: SimulatedPlan, make: Maker = stack_of
) -> BrokenPromiseError | VacuousPlanError | None:
    """Play a plan on its layer once, `full` in real time; return what was wrong, if anything.

    Raises:
        Exception: the harness failed; nothing is said about the pool.
    """
    if plan.layer != "full":
        return judged(play_plan(plan, make).error)
    try:
        asyncio.run(_Run(plan, make).run())
    except (BrokenPromiseError, VacuousPlanError) as error:
        return error
    return None


def judged(error: Exception | None) -> BrokenPromiseError | VacuousPlanError | None:
    """Return what a play says about the pool, if anything.

    Raises:
        Exception: the error itself, if it is the harness's.
    """
    if error is None or isinstance(error, BrokenPromiseError | VacuousPlanError):
        return error
    raise error


class _Run:
    """One play."""

    def __init__(self, plan: SimulatedPlan, make: Maker) -> None:
        self._plan, self._subject = plan, make(plan)
        self._model = PoolModel()
        self._judge = Judge(self._subject, self._model)
        self._happened: Counter[Moment] = Counter()
        self._due = list(plan.faults)
        self._missed: list[str] = []
        self._seen: Counter[int] = Counter()
        self._harms: list[asyncio.Task[None]] = []

    async def run(self) -> None:
        if isinstance(self._subject, TellsStarts):
            self._subject.on_start(self._notice)
        await self._subject.open()
        try:
            clients = sorted({job.client for job in self._plan.jobs})
            await asyncio.gather(*(self._client(client) for client in clients))
            self._end_of_faults()
            await asyncio.gather(*self._harms)
            await self._judge.require_recovery(2 * self._plan.workers)
        finally:
            in_time = await self._subject.close()
        if not in_time:
            raise broken("shutdown-hang")("everything is healed, and the shutdown does not end")
        self._require_all_done()

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
        if fault.kind == "heal":
            await self._subject.heal()
            self._model.healed()
        elif fault.kind not in self._subject.offers:
            self._missed.append(f"{_named(fault)}: this pool offers no {fault.kind}")
        elif fault.kind == "resize":
            await self._subject.resize(max(1, fault.worker))
        elif not living:
            self._missed.append(f"{_named(fault)}: no worker lived then")
        else:
            pauses, lasts = fault.kind == "pause", not self._subject.recovers
            self._model.harmed("paused" if pauses else "killed" if lasts else None)
            await (self._subject.pause if pauses else self._subject.kill)(fault.worker % living)

    def _end_of_faults(self) -> None:
        """Let no fault come any more: what is asked for from now on is asked of a healed pool."""
        self._missed += [
            f"{_named(fault)}: only {self._happened[fault.after]} came" for fault in self._due
        ]
        self._due.clear()

    def _require_all_done(self) -> None:
        missed = list(self._missed) if self._plan.jobs else ["no job was asked for", *self._missed]
        if missed:
            raise VacuousPlanError(
                f"expected all of the plan to be done, got a sound run without {len(missed)} of it: "
                f"{'; '.join(missed)}; such a run proves nothing: change the plan"
            )


def _named(fault: AnchoredFault) -> str:
    what = f"to {fault.worker}" if fault.kind == "resize" else f"of worker {fault.worker}"
    return f"{fault.kind} {what} after {fault.after} {fault.count}"
