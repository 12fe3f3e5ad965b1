"""From one sighting to a violation that can be shown: played again, cut to the least that still shows it, and saved."""

import asyncio
import dataclasses
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from poolproof import plan as plans
from poolproof.chaos.crashpoints import points_of
from poolproof.chaos.result import Entry, PointEntry, ranges
from poolproof.chaos.story import story
from poolproof.chaos.stuck import CAUSES
from poolproof.chaos.trials import Trials
from poolproof.checkers import Finding, Trial, judge
from poolproof.plan import Plan

REPEATS = 2
NEEDED = 2
"""How many sightings, the first included, make a violation; one alone is said to be `unknown`."""


@dataclasses.dataclass(slots=True)
class Violation:
    """One broken promise: the fault, the first finding, its trial, and how often it was seen."""

    fault: str
    finding: Finding
    trial: Trial
    also: tuple[str, ...] = ()
    hits: int = 0
    trials: int = 0
    points: list[PointEntry] = dataclasses.field(default_factory=list[PointEntry])
    repeated: int = 0
    seen_again: int = 0
    repeats: list[str] = dataclasses.field(default_factory=list[str])
    original: str = ""
    plan_path: Path | None = None

    def __post_init__(self) -> None:
        self.original = self.original or self.trial.directory

    def shows(self, trial: Trial) -> bool:
        """Tell whether this trial shows the same violation: same invariant and effect, or the same kind of being stuck.

        Whether a pool that is stuck has lost one job or serves nobody any more can hang on who came first.
        """
        broken = [f for f in judge(trial, trial.reference) if f.verdict == self.finding.verdict]
        if self.finding.invariant in CAUSES:
            return any(finding.invariant in CAUSES for finding in broken)
        return any(self.same(finding) for finding in broken)

    def same(self, finding: Finding) -> bool:
        """Tell whether a finding is the one that this violation is named after."""
        return (finding.invariant, finding.effect) == (self.finding.invariant, self.finding.effect)

    def entry(self) -> Entry:
        """Return the row of the report."""
        doubted = self.hits + self.seen_again < NEEDED
        replay = f"poolproof replay {self.plan_path}" if self.plan_path else None
        return Entry(
            invariant=self.finding.invariant,
            verdict="unknown" if doubted else self.finding.verdict,
            fault=self.fault,
            effect=self.finding.effect,
            reason=self._doubt() if doubted else self.finding.reason,
            evidence=self.finding.evidence,
            crash_points=ranges(self.points) if self.points else (),
            hits=self.hits + self.seen_again,
            trials=self.trials + self.repeated,
            also=self.also,
            story=story(self.trial),
            trial=self.trial.directory or None,
            original=self.original or None,
            repeats=tuple(self.repeats),
            plan=str(self.plan_path) if self.plan_path else None,
            replay=replay,
        )

    def _doubt(self) -> str:
        if self.repeated:
            return f"seen once, and not again in {self.repeated} repeats"
        return "seen once, and there was no time to repeat it; give a longer --time"


async def confirm(violation: Violation, trials: Trials, directory: Path) -> None:
    """Cut the violation's plan, play what is left again, and save it in `directory`.

    The plan that is saved showed the violation itself; if nothing smaller does, it is the one that was found.
    """
    plan = violation.trial.plan
    rounds = [[*_smaller(plan), *[plan] * REPEATS]]
    if not cheap(
        violation.trial
    ):  # one after the other: what takes long to confirm also takes a core to itself
        rounds = [[smaller] for smaller in (*list(_smaller(plan))[:1], plan)]
    for attempts in rounds:
        if trials.slots.remaining() <= 0 or violation.seen_again:
            break
        played = await asyncio.gather(
            *(_again(trials, again, violation.trial) for again in attempts)
        )
        weigh(violation, played)
    violation.plan_path = directory / f"{_slug(violation)}.json"
    plans.save(violation.trial.plan, violation.plan_path)


def weigh(violation: Violation, played: Sequence[Trial]) -> None:
    """Count in which of these trials the violation is seen again, and tell it by the first that shows just the same."""
    decided = [trial for trial in played if violation.shows(trial) or _decided(trial)]
    violation.repeats += [trial.directory for trial in decided]
    if shown := [t for t in decided if _count(violation, seen=violation.shows(t))]:
        _adopt(violation, shown)


def _decided(trial: Trial) -> bool:
    """Tell whether the trial came to its end: one for which time ran out says nothing against what was seen."""
    return bool(trial.events) and trial.judgement not in ("unjudged", "suspect")


def cheap(trial: Trial) -> bool:
    """Tell whether the trial's suspicion could be confirmed soon: nothing moved at all."""
    return all(event.data.get("why") == "quiet" for event in trial.of_kind("suspect"))


def _count(violation: Violation, *, seen: bool) -> bool:
    violation.repeated += 1
    violation.seen_again += seen
    return seen


def _adopt(violation: Violation, shown: Sequence[Trial]) -> None:
    """Tell the violation by the first of these trials that shows just the same; else it is told as it was found."""
    for trial in shown:
        for finding in judge(trial, trial.reference):
            if violation.same(finding):
                violation.trial, violation.finding = trial, finding
                return


async def _again(trials: Trials, plan: Plan, first: Trial) -> Trial:
    async with trials.slots.opened():
        points = points_of(plan)
        return await trials.play(plan, reference=first.reference, points=points, urgent=True)


def _smaller(plan: Plan) -> Iterator[Plan]:
    """Yield the plans that are worth trying instead, the smallest first; warm-up stays, it proves the steady state."""
    replace = msgspec.structs.replace
    least = replace(plan, jobs=1, bystanders=0, fresh=1, warmup=min(plan.warmup, 1))
    yield from (
        smaller
        for smaller in (least, replace(least, jobs=plan.jobs, fresh=plan.fresh))
        if smaller != plan
    )


def _slug(violation: Violation) -> str:
    words = f"{violation.finding.invariant} {violation.fault} {violation.finding.effect}"
    return re.sub(r"[^a-z0-9]+", "-", words.lower()).strip("-")[:80]
