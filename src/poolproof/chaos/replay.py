"""A saved plan, played again in a new host, from the file alone."""

import asyncio
from pathlib import Path
from typing import Protocol

import msgspec

from poolproof.chaos.crashpoints import points_of
from poolproof.chaos.story import story
from poolproof.chaos.trials import PARKED, Trials, slots
from poolproof.checkers import Trial, combine, judge
from poolproof.host import Host
from poolproof.plan import Plan
from poolproof.stats import wilson

SECONDS_A_TRIAL = 60.0


class Steps(Protocol):
    """Who is told how far a replay has come."""

    def phase(self, name: str, total: int) -> None:
        """A phase begins, of so many steps."""

    def step(self, name: str) -> None:
        """One step of that phase is done."""


class Replayed(msgspec.Struct, kw_only=True):
    """What became of a plan that was played `times` times.

    Attributes:
        times: how often it was played.
        broken: in how many of them a promise was broken.
        unknown: in how many nothing could be told, and `why_unknown`.
        hits: by invariant, in how many it was broken.
        reasons: by invariant, how, the first time.
        receipts: what proved the fault, the first time.
        story: the first of the broken ones, a line each.
    """

    times: int
    broken: int = 0
    unknown: int = 0
    why_unknown: str = ""
    hits: dict[str, int] = {}
    reasons: dict[str, str] = {}
    receipts: tuple[str, ...] = ()
    story: tuple[str, ...] = ()

    def interval(self, hits: int) -> tuple[float, float]:
        """Return the 95 % Wilson score interval of `hits` of `times`."""
        return wilson(hits, self.times)


async def replay(plan: Plan, times: int, directory: Path, run: str, steps: Steps) -> Replayed:
    """Play the plan and judge it as often as asked for.

    Raises:
        TargetError: the target is not to be found or started here.
    """
    found = Replayed(times=times)
    async with Host(plan.target, run=run, directory=directory) as host:
        (directory / "trials").mkdir()
        trials = Trials(host, directory / "trials", slots(SECONDS_A_TRIAL * times))
        reference = msgspec.structs.replace(plan, faults=(), point=None, lives=1)
        steps.phase("replay", times + 1)
        profile = await trials.profiled(reference)
        steps.step("replay")
        at_once = asyncio.Semaphore(PARKED)

        async def once() -> None:
            async with at_once:
                baseline = None if plan.lives > 1 else profile.reference
                _count(found, await trials.play(plan, reference=baseline, points=points_of(plan)))
            steps.step("replay")

        await asyncio.gather(*(once() for _ in range(times)))
    return found


def _count(found: Replayed, trial: Trial) -> None:
    findings = judge(trial, trial.reference)
    broken = {f.invariant: f.reason for f in findings if f.verdict in ("invalid", "by contract")}
    found.reasons = {**broken, **found.reasons}
    found.receipts = found.receipts or tuple(
        str(event.data.get("evidence")) for event in trial.of_kind("receipt")
    )
    for invariant in broken:
        found.hits[invariant] = found.hits.get(invariant, 0) + 1
    if broken:
        found.broken += 1
        found.story = found.story or story(trial)
    elif combine(f.verdict for f in findings) == "unknown":
        found.unknown += 1
        found.why_unknown = next(f.reason for f in findings if f.verdict == "unknown")
