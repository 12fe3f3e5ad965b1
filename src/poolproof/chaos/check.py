"""The main job: every applicable fault and every crash point against one target, judged, confirmed, and cut small."""

import asyncio
import dataclasses
import platform
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

import msgspec
import psutil

import poolproof
from poolproof.chaos import crashpoints
from poolproof.chaos.accept import Acceptance
from poolproof.chaos.confirm import Violation, confirm
from poolproof.chaos.result import FaultRow, PointEntry, Result, counted, ranges
from poolproof.chaos.saved import SOURCES
from poolproof.chaos.tally import (
    NO_TIME,
    SWEEP,
    Tally,
    inapplicable_row,
    judged_unharmed,
    varied,
    verdict_of,
)
from poolproof.chaos.trials import Profile, Trials, declared, slots
from poolproof.checkers import Trial, judge
from poolproof.faults import FAULTS
from poolproof.faults.base import MISSING, Fault, inapplicable
from poolproof.host import Host
from poolproof.plan import FaultSpec, Plan, Target

CONFIRM_SHARE = 0.25
"""The part of the whole time that is kept for confirming what was found."""


ENDING_SHARE = 0.04
"""The part that is kept for ending what still runs: trees, and what they hold. The import of the target counts, too."""

SWEEP_FIRST_SHARE = 0.1
"""What part of the whole time the sweep may be expected to take and still go before the faults."""

TYPICAL_POINTS = 200
"""For that expectation: multiprocessing.Pool has 174, ProcessPoolExecutor 190, pebble 207, loky 323."""

SWEEP_PLACES = 2
"""How many more trials run at once while nothing but a sweep does: 174 points took 7.7 s with 4 places, 6.4 with 6."""


class Progress(Protocol):
    """Who is told how far a check has come."""

    def phase(self, name: str, total: int) -> None:
        """A phase begins, of so many steps."""

    def step(self, name: str) -> None:
        """One step of that phase is done."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What `check` was asked for; see `poolproof check --help`."""

    target: Target
    faults: tuple[str, ...]
    crash_points: Literal["off", "kill", "all"] = "kill"
    jobs: int | None = None
    seed: int = 0
    seconds: float = 120.0
    directory: Path
    run: str
    private: Path
    accept: tuple[Acceptance, ...] = ()
    null: bool = False


async def check(options: Options, progress: Progress) -> Result:
    """Break the target in every way that was asked for, and return what became of its promises.

    Raises:
        TargetError: the target could not be found, built, recognised or started.
    """
    began = time.monotonic()
    async with Host(options.target, run=options.run, directory=options.private) as host:
        left = options.seconds * (1 - ENDING_SHARE) - (time.monotonic() - began)
        whole = slots(left, reserve=options.seconds * CONFIRM_SHARE)
        trials = Trials(host, options.directory / "trials", whole)
        inquiry = Inquiry(options, trials, progress)
        await inquiry.run()
        await inquiry.confirm()
        crashpoints.save_sources(inquiry.tally.points, options.directory / SOURCES)
        return inquiry.result(time.monotonic() - began, host.version)


class Inquiry:
    """One check while it runs: what has been tried, and what was found by it."""

    def __init__(self, options: Options, trials: Trials, progress: Progress) -> None:
        self.options = options
        self.trials = trials
        self.progress = progress
        self.tally = Tally()
        self.point_seconds = 0.0

    def plan(self, **changes: Any) -> Plan:
        """Return a plan of the size that was asked for."""
        workers = self.options.target.workers
        jobs = self.options.jobs or 2 * workers
        plan = Plan(
            target=self.options.target,
            warmup=jobs,
            bystanders=jobs,
            fresh=jobs,
            seed=self.options.seed,
            null=self.options.null,
        )
        return msgspec.structs.replace(plan, **changes)

    async def run(self) -> None:
        """Try everything that was asked for, as far as the time goes."""
        self.progress.phase("reference", 2)
        profile = await self.trials.profiled(self.plan())
        self.progress.step("reference")
        self.options = dataclasses.replace(
            self.options, target=declared(self.options.target, profile)
        )
        await self._lives(profile)
        self.progress.step("reference")
        if any(
            finding.verdict == "invalid"
            for _, findings in self.tally.found["none"][:1]
            for finding in findings
        ):
            self._not_tried("the unharmed pool already breaks a promise: mend that first")
            return
        widening = asyncio.create_task(self.trials.slots.widen(_idle_share))
        try:
            await self._break_and_sweep(profile)
        finally:
            widening.cancel()

    async def _break_and_sweep(self, profile: Profile) -> None:
        """Try the faults first, which tell more; a sweep that takes little goes before them, with the machine its own.

        Some faults leave trees behind that compute without end until they are judged: a sweep beside them takes twice
        as long (measured: 17.8 s instead of 7.7).
        """
        async with asyncio.TaskGroup() as tasks:
            guess = TYPICAL_POINTS * _duration(profile.reference) / (psutil.cpu_count() or 1)
            if guess <= SWEEP_FIRST_SHARE * self.options.seconds:
                async with self.trials.slots.wider(SWEEP_PLACES):
                    await self._sweep(profile)
                tasks.create_task(self._break(profile))
            else:
                tasks.create_task(self._break(profile))
                await asyncio.sleep(0)
                await self.trials.slots.all_parked()
                await self._sweep(profile)
            tasks.create_task(self._confirm_all(self.tally.point_violations()))

    async def _lives(self, profile: Profile) -> None:
        """Judge the reference, and a second one in which the pool lives twice."""
        reference = dataclasses.replace(profile.reference, plan=self.plan())
        twice = await self.trials.play(self.plan(lives=2))
        self.tally.found["none"] = judged_unharmed([reference, twice])
        told = tuple(finding for _, findings in self.tally.found["none"] for finding in findings)
        self.tally.row("none", "nothing: the pool starts, works and stops", told)

    def _not_tried(self, why: str) -> None:
        for kind in self.options.faults:
            self.tally.rows[kind] = FaultRow(
                fault=kind, does=FAULTS[kind].does, verdict="not tried", note=why
            )

    async def _break(self, profile: Profile) -> None:
        """Try every fault; what a kind breaks is confirmed as soon as all of its trials are over."""
        wanted: dict[Fault, list[FaultSpec]] = {}
        for kind in self.options.faults:
            fault = FAULTS[kind]
            if reason := inapplicable(fault, profile.facts):
                self.tally.rows[kind] = inapplicable_row(fault, reason)
            else:
                wanted[fault] = fault.specs(self.options.target.workers)
        self.progress.phase("faults", sum(map(len, wanted.values())))
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._confirm_all(self.tally.fault_violations("none")))
            for fault, specs in wanted.items():
                tasks.create_task(self._break_by(fault, specs, profile))

    async def _break_by(self, fault: Fault, specs: Sequence[FaultSpec], profile: Profile) -> None:
        await asyncio.gather(*(self._try(profile, fault, spec) for spec in specs))
        self.tally.summarise(fault.kind)
        await self._confirm_all(self.tally.fault_violations(fault.kind))

    async def _try(self, profile: Profile, fault: Fault, spec: FaultSpec) -> None:
        async with self.trials.slots.opened():
            if self.trials.slots.may_begin():
                plan = self.plan(faults=(spec,))
                trial = await self.trials.play(plan, reference=profile.reference)
                if trial.events:
                    self._take(fault, trial)
        self.progress.step("faults")

    def _take(self, fault: Fault, trial: Trial) -> None:
        received = any(event.kind == "receipt" for event in trial.events)
        reason = None if received or trial.plan.null else fault.moot(trial.events)
        if reason is None:
            self.tally.found.setdefault(fault.kind, []).append(
                (trial, judge(trial, trial.reference))
            )
        else:
            self.tally.rows[fault.kind] = inapplicable_row(fault, reason)

    async def _sweep(self, profile: Profile) -> None:
        if self.options.crash_points == "off":
            return
        began = time.monotonic()
        plan = self.plan(warmup=0, jobs=2, bystanders=self.options.target.workers)
        places: tuple[crashpoints.Place, ...] = ()
        if "processes" in profile.facts and profile.own_paths:
            places = await crashpoints.record(self.trials, plan, profile.own_paths)
        if not places:
            self.tally.rows[SWEEP] = self._no_sweep(profile)
            return
        effects: tuple[crashpoints.Effect, ...] = ("kill",)
        if self.options.crash_points == "all":
            effects = ("kill", "raise", "hang")
        self.progress.phase("crash points", len(places) * len(effects))
        self.tally.points = await crashpoints.sweep(
            self.trials, plan, places, effects, lambda: self.progress.step("crash points")
        )
        if not await self.trials.still_sound(plan):
            self.tally.points |= await crashpoints.again(
                self.trials, plan, places, self.tally.points
            )
        self.point_seconds = time.monotonic() - began

    def _no_sweep(self, profile: Profile) -> FaultRow:
        late = self.trials.slots.remaining() <= 0
        why = NO_TIME if late else "its workers run no Python code of its own; --own names some"
        if "processes" not in profile.facts:
            late, why = False, MISSING["processes"]
        return FaultRow(
            fault=SWEEP,
            does="death at each line of the pool's own code",
            verdict="not tried" if late else "not applicable",
            note=why,
        )

    async def confirm(self) -> None:
        """Play the violations of an unharmed pool again, as all others were, and put them all in order."""
        if not self.tally.violations:
            await self._confirm_all(self.tally.fault_violations("none"))
        self.tally.violations = varied(self.tally.violations)

    async def _confirm_all(self, violations: list[Violation]) -> None:
        """Play each violation again, cut its plan, and save what is left."""
        self.tally.violations += violations
        if violations:
            self.progress.phase("confirming", len(violations))
        await asyncio.gather(*(self._confirm(violation) for violation in violations))

    async def _confirm(self, violation: Violation) -> None:
        await confirm(violation, self.trials, self.options.directory / "plans")
        self.progress.step("confirming")

    def result(self, seconds: float, version: str) -> Result:
        """Return everything as data."""
        options = self.options
        profile = self.trials.profile
        entries = self.tally.entries(options.accept)
        table = counted(
            self.tally.sorted_points(),
            seconds=self.point_seconds,
            own=profile.own if profile else (),
        )
        return Result(
            target=options.target.name,
            verdict=verdict_of(entries),
            seed=options.seed,
            environment=_environment(options.target, version, profile),
            checks=entries,
            crash_points=table,
            faults=self.tally.in_order(("none", *options.faults, SWEEP)),
            run=options.run,
            directory=str(options.directory),
            seconds=round(seconds, 1),
            promises=dict(options.target.promises),
        )


def _duration(trial: Trial) -> float:
    """Return how many seconds a trial took, from its first event to its last."""
    return (trial.events[-1].t - trial.events[0].t) / 1e9 if trial.events else 0.0


def _idle_share() -> float:
    """Return the share of the machine's processors that was idle since the last call."""
    return 1 - psutil.cpu_percent(None) / 100


def _environment(target: Target, version: str, profile: Profile | None) -> dict[str, str | int]:
    return {
        "poolproof": poolproof.__version__,
        "python": version,
        "interpreter": target.python,
        "controller": platform.python_version(),
        "platform": platform.platform(),
        "cores": psutil.cpu_count() or 1,
        "workers": target.workers,
        "adapter": profile.adapter if profile else "",
        "own": ", ".join(profile.own) if profile else "",
        "cwd": target.cwd,
        "argv": " ".join(sys.argv[1:]),
    }


__all__ = ["Options", "PointEntry", "Progress", "check", "ranges"]
