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
from poolproof.chaos.result import Entry, FaultRow, PointEntry, Result, counted, ranges
from poolproof.chaos.trials import Profile, Trials, slots
from poolproof.checkers import Finding, Trial, combine, judge
from poolproof.faults import FAULTS
from poolproof.faults.base import Fault, inapplicable
from poolproof.host import Host
from poolproof.plan import FaultSpec, Plan, Target

CONFIRM_SHARE = 0.25
"""The part of the whole time that is kept for confirming what was found."""
CONSEQUENCES = ("unresolved-job", "shutdown-hang", "leak", "starvation")
"""What a pool that serves nobody any more breaks besides: told in `also`, not as violations of their own."""


class Progress(Protocol):
    """Who is told how far a check has come."""

    def phase(self, name: str, total: int) -> None: ...
    def step(self) -> None: ...


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
        whole = slots(options.seconds * (1 - CONFIRM_SHARE))
        trials = Trials(host, options.directory / "trials", whole)
        inquiry = Inquiry(options, trials, progress)
        await inquiry.run()
        whole.end = began + options.seconds
        await inquiry.confirm()
        return inquiry.result(time.monotonic() - began, host.version)


class Inquiry:
    """One check while it runs: what has been tried, and what was found by it."""

    def __init__(self, options: Options, trials: Trials, progress: Progress) -> None:
        self.options = options
        self.trials = trials
        self.progress = progress
        self.found: dict[str, list[tuple[Trial, tuple[Finding, ...]]]] = {}
        self.rows: dict[str, FaultRow] = {}
        self.points: dict[PointEntry, Trial | None] = {}
        self.point_seconds = 0.0
        self.violations: list[Violation] = []

    def plan(self, **changes: Any) -> Plan:
        """Return a plan of the size that was asked for."""
        workers = self.options.target.workers
        jobs = self.options.jobs or 2 * workers
        size = {"warmup": jobs, "bystanders": jobs, "fresh": jobs, "seed": self.options.seed}
        return Plan(target=self.options.target, **{**size, "null": self.options.null, **changes})

    async def run(self) -> None:
        """Try everything that was asked for, as far as the time goes."""
        self.progress.phase("reference", 2)
        profile = await self.trials.profiled(self.plan())
        self.progress.step()
        self.options = dataclasses.replace(self.options, target=self._declared(profile))
        await self._lives(profile)
        self.progress.step()
        if any(finding.verdict == "invalid" for _, findings in self.found["none"][:1] for finding in findings):
            self._not_tried("the unharmed pool already breaks a promise: mend that first")
            return
        await self._break(profile)
        if self.options.crash_points != "off":
            await self._sweep(profile)

    def _declared(self, profile: Profile) -> Target:
        """Return the target with what it declares of itself beside what the command line declares."""
        told = profile.reference.start[1]
        assert told is not None
        promises = {**told.data["promises"], **self.options.target.promises}
        if contract := {**told.data["contract"], **promises.get("contract", {})}:
            promises["contract"] = contract
        return msgspec.structs.replace(self.options.target, promises=promises)

    async def _lives(self, profile: Profile) -> None:
        """Judge the reference, and a second one in which the pool lives twice: what grows from life to life leaks."""
        reference = Trial(self.plan(), profile.reference.events)
        twice = await self.trials.play(self.plan(lives=2))
        leaks = tuple(finding for finding in judge(twice) if finding.invariant == "leak")
        others = tuple(finding for finding in judge(reference) if finding.invariant != "leak")
        self.found["none"] = [(reference, others), (twice, leaks)]
        self._row("none", "nothing: the pool starts, works and stops", 2, (*others, *leaks))

    def _not_tried(self, why: str) -> None:
        for kind in self.options.faults:
            self.rows[kind] = FaultRow(fault=kind, does=FAULTS[kind].does, verdict="not tried", note=why)

    async def _break(self, profile: Profile) -> None:
        wanted: list[tuple[Fault, FaultSpec]] = []
        for kind in self.options.faults:
            fault = FAULTS[kind]
            if reason := inapplicable(fault, profile.facts):
                row = FaultRow(fault=kind, does=fault.does, verdict="not applicable", note=reason)
                self.rows[kind] = row
            else:
                wanted += [(fault, spec) for spec in _specs(fault, self.options.target.workers)]
        self.progress.phase("faults", len(wanted))
        await asyncio.gather(*(self._try(profile, fault, spec) for fault, spec in wanted))
        for kind in dict.fromkeys(fault.kind for fault, _ in wanted):
            self._summarise(kind)

    async def _try(self, profile: Profile, fault: Fault, spec: FaultSpec) -> None:
        async with self.trials.slots.opening:
            if self.trials.slots.remaining() > 0:
                plan = self.plan(faults=(spec,))
                trial = await self.trials.play(plan, reference=profile.reference)
                self.found.setdefault(fault.kind, []).append((trial, judge(trial, profile.reference)))
        self.progress.step()

    def _summarise(self, kind: str) -> None:
        tried = self.found.get(kind, [])
        if not tried:
            self.rows[kind] = FaultRow(fault=kind, does=FAULTS[kind].does, verdict="not tried", note="no time left")
            return
        self._row(kind, FAULTS[kind].does, len(tried), tuple(f for _, findings in tried for f in findings))

    def _row(self, kind: str, does: str, trials: int, findings: Sequence[Finding]) -> None:
        verdict = combine(finding.verdict for finding in findings)
        telling = dict.fromkeys(
            finding.invariant if verdict == "invalid" else finding.reason
            for finding in findings
            if finding.verdict == verdict and verdict != "valid"
        )
        note = ", ".join(telling)
        self.rows[kind] = FaultRow(fault=kind, does=does, verdict=verdict, trials=trials, note=note)

    async def _sweep(self, profile: Profile) -> None:
        began = time.monotonic()
        plan = self.plan(warmup=0, jobs=2, bystanders=self.options.target.workers)
        if "processes" not in profile.facts or not profile.own_paths:
            return
        places = await crashpoints.record(self.trials, plan, profile.own_paths)
        effects: tuple[crashpoints.Effect, ...] = ("kill",)
        if self.options.crash_points == "all":
            effects = ("kill", "raise", "hang")
        self.progress.phase("crash points", len(places) * len(effects))
        self.points = await crashpoints.sweep(self.trials, plan, places, effects, self.progress.step)
        self.point_seconds = time.monotonic() - began

    async def confirm(self) -> None:
        """Play each violation again, cut its plan, and save what is left."""
        self.violations = [*self._fault_violations(), *self._point_violations()]
        self.progress.phase("confirming", len(self.violations))
        await asyncio.gather(*(self._confirm(violation) for violation in self.violations))

    async def _confirm(self, violation: Violation) -> None:
        await confirm(violation, self.trials, self.options.directory / "plans")
        self.progress.step()

    def _fault_violations(self) -> list[Violation]:
        found: dict[tuple[str, str, str], Violation] = {}
        for kind, tried in self.found.items():
            for trial, findings in tried:
                for finding, also in primary(findings):
                    key = (finding.invariant, kind, finding.effect)
                    violation = found.setdefault(key, Violation(kind, finding, trial, also=also))
                    violation.hits += 1
                    violation.trials = len(tried)
        return list(found.values())

    def _point_violations(self) -> list[Violation]:
        found: dict[tuple[str, str, str], Violation] = {}
        tried = {effect: sum(point.effect == effect for point in self.points) for effect in ("kill", "raise", "hang")}
        for point, trial in self.points.items():
            if trial is None:
                continue
            for finding, also in primary(judge(trial, trial.reference)):
                fault = f"crash-point:{point.effect}"
                key = (finding.invariant, fault, finding.effect if finding.invariant == "leak" else point.ending)
                violation = found.setdefault(key, Violation(fault, finding, trial, also=also))
                violation.hits += 1
                violation.trials = tried[point.effect]
                violation.points.append(point)
        return list(found.values())

    def result(self, seconds: float, version: str) -> Result:
        """Return everything as data."""
        options = self.options
        profile = self.trials.profile
        entries = [violation.entry() for violation in self.violations] + self._quiet_entries()
        for entry in entries:
            for acceptance in options.accept:
                if acceptance.covers(entry):
                    entry.accepted = acceptance.reason
        table = counted(
            sorted(self.points, key=lambda point: (point.file, point.line)),
            seconds=self.point_seconds,
            own=profile.own if profile else (),
        )
        verdict = combine(e.verdict for e in entries if not e.accepted)
        if verdict == "not applicable":
            verdict = "unknown"
        return Result(
            target=options.target.name,
            verdict=verdict,
            seed=options.seed,
            environment=_environment(options.target, version, profile),
            checks=tuple(entries),
            crash_points=table,
            faults=tuple(self.rows[kind] for kind in ("none", *options.faults) if kind in self.rows),
            run=options.run,
            directory=str(options.directory),
            seconds=round(seconds, 1),
            promises=dict(options.target.promises),
        )

    def _quiet_entries(self) -> list[Entry]:
        """Return a row for each kind of fault and invariant that was not broken, the worst verdict of its trials."""
        entries: list[Entry] = []
        for kind, tried in self.found.items():
            for invariant in dict.fromkeys(f.invariant for _, findings in tried for f in findings):
                same = [f for _, findings in tried for f in findings if f.invariant == invariant]
                verdict = combine(f.verdict for f in same)
                if verdict in ("invalid", "by contract"):
                    continue
                worst = next(f for f in same if f.verdict == verdict)
                entries.append(
                    Entry(
                        invariant=invariant,
                        verdict=verdict,
                        fault=kind,
                        reason=worst.reason,
                        evidence=worst.evidence,
                        trials=len(tried),
                    )
                )
        for kind, row in self.rows.items():
            if row.verdict == "not applicable":
                entries.append(Entry(invariant="any", verdict="not applicable", fault=kind, reason=row.note))
        return entries


def primary(findings: Sequence[Finding]) -> list[tuple[Finding, tuple[str, ...]]]:
    """Return the broken promises of one trial, each with what only follows from it.

    A pool that serves nobody any more leaves jobs unresolved and hangs in shutdown, of course; and so does, to a
    lesser degree, one that has lost a job: one cause is one violation.
    """
    broken = [finding for finding in findings if finding.verdict in ("invalid", "by contract")]
    for first in ("no-recovery", "starvation", "unresolved-job"):
        causes = [finding for finding in broken if finding.invariant == first]
        if causes:
            consequences = [f for f in broken if f.invariant in CONSEQUENCES and f.invariant != first]
            also = tuple(dict.fromkeys(f.invariant for f in consequences))
            rest = [(f, ()) for f in broken if f not in causes and f not in consequences]
            return [(cause, also) for cause in causes] + rest
    return [(finding, ()) for finding in broken]


def _specs(fault: Fault, workers: int) -> list[FaultSpec]:
    """Return one spec for each variant; `idle:each` stands for every idle worker in turn."""
    victims: list[str] = []
    for variant in fault.variants:
        victims += [f"idle:{index}" for index in range(workers)] if variant == "idle:each" else [variant]
    return [FaultSpec(kind=fault.kind, victim=victim) for victim in victims]


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
