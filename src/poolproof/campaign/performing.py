"""One task of a campaign, done in a host of its own: what an executor runs, here or on another machine.

As a program it takes its task as the first line of standard input, and ends, with all that it has started, when that
is closed: whoever gave the task is gone then.
"""

import asyncio
import contextlib
import dataclasses
import os
import shutil
import sys
import time
import traceback
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec

from poolproof import history
from poolproof.campaign.coverage import Covered, place_of, size_of
from poolproof.campaign.drawing import draw
from poolproof.campaign.states import state_when_hit
from poolproof.campaign.tasks import (
    Batch,
    Broken,
    Case,
    Cutting,
    Failed,
    Least,
    Menu,
    Message,
    Sighting,
    Survey,
    Task,
    decode_task,
    encode,
    fault_of,
    fingerprint,
)
from poolproof.chaos import crashpoints
from poolproof.chaos.shrink import Cut, Reduced, fewer, lower, reduce_async
from poolproof.chaos.slots import Slots
from poolproof.chaos.story import story
from poolproof.chaos.stuck import CAUSES, primary
from poolproof.chaos.tally import Judged, judged_unharmed
from poolproof.chaos.trials import PARKED, Profile, Trials, declared
from poolproof.checkers import Finding, Trial, Verdict, combine, judge
from poolproof.checkers.receipts import no_receipt, unproven
from poolproof.errors import PoolproofError
from poolproof.faults import FAULTS
from poolproof.faults.base import inapplicable
from poolproof.host import Host
from poolproof.isolation import leases
from poolproof.plan import Plan, Target

AT_ONCE: Final = 2
"""Trials that run at once in one host; an executor gives each core a host."""
CUTTING_RUNS: Final = 60
CONFIRMATIONS: Final = 5
MOST_TASK_BYTES: Final = 1 << 26
CUTTING_SHARE: Final = 0.6
"""The part of the time of a cutting in which the plan is made smaller; in the rest, what is left is played again."""

Say = Callable[[Message], None]


async def perform(task: Task, say: Say) -> None:
    """Do a task in a host of its own, and say what comes of it, as it comes."""
    try:
        with leases.claimed(lambda _: None) as lease:
            await _Performance(task, say, Path(lease.directory), lease.run).run()
    except PoolproofError as error:
        say(Failed(message=str(error), exit_code=error.exit_code))
    except Exception as error:  # noqa: BLE001 - what is wrong with us must reach the controller, wherever this runs
        text = "".join(traceback.format_exception(error))
        say(Failed(message=text, exit_code=4))


class _Performance:
    def __init__(self, task: Task, say: Say, directory: Path, run: str) -> None:
        self.task, self.say = task, say
        self.directory, self.run_name = directory, run
        self.target = task.target if isinstance(task, Survey) else task.menu.target

    async def run(self) -> None:
        async with self._trials() as trials:
            profile = await trials.profiled(_reference(self.target))
            match self.task:
                case Survey():
                    await self._survey(self.task, trials, profile)
                case Batch():
                    await self._batch(self.task, trials, profile)
                case Cutting():
                    await self._cut(self.task, trials, profile)

    @contextlib.asynccontextmanager
    async def _trials(self) -> AsyncGenerator[Trials]:
        end = time.monotonic() + self.task.seconds
        slots = Slots(running=AT_ONCE, parked=PARKED, end=end)
        async with Host(self.target, run=self.run_name, directory=self.directory) as host:
            self.version = host.version
            yield Trials(host, self.directory / "trials", slots)

    async def _survey(self, task: Survey, trials: Trials, profile: Profile) -> None:
        target = declared(task.target, profile)
        wanted = [FAULTS[kind] for kind in task.faults]
        reasons = {fault.kind: inapplicable(fault, profile.facts) for fault in wanted}
        specs = [
            spec
            for fault in wanted
            if reasons[fault.kind] is None
            for spec in fault.specs(task.target.workers)
        ]
        places: tuple[crashpoints.Place, ...] = ()
        if task.effects and "processes" in profile.facts and profile.own_paths:
            plan = msgspec.structs.replace(_reference(target), warmup=0, jobs=2)
            places = await crashpoints.record(trials, plan, profile.own_paths)
        broken = await _broken_unharmed(trials, target, profile)
        self.say(
            Menu(
                target=target,
                specs=tuple(specs),
                inapplicable={kind: why for kind, why in reasons.items() if why},
                places=places,
                effects=task.effects,
                broken=broken,
                adapter=profile.adapter,
                version=self.version,
            )
        )

    async def _batch(self, task: Batch, trials: Trials, profile: Profile) -> None:
        covered, known = Covered(task.coverage), set(task.known)

        async def one(seed: int) -> None:
            async with trials.slots.opened():
                if not trials.slots.may_begin():
                    return
                began = time.monotonic()
                plan = draw(seed, task.menu, covered, null=task.null)
                trial = await _played(trials, plan, profile)
                if not trial.events:
                    return
                case = case_of(seed, trial, time.monotonic() - began)
                covered.add(case)
                for broken in case.broken:
                    name = fingerprint(broken, case.fault)
                    if name not in known:
                        known.add(name)
                        self.say(_sighting(seed, name, trial))
                self.say(case)
                shutil.rmtree(self.directory / trial.directory, ignore_errors=True)

        await asyncio.gather(*(one(seed) for seed in task.seeds))

    async def _cut(self, task: Cutting, trials: Trials, profile: Profile) -> None:
        shown: list[Trial] = []
        undecided = 0

        async def fails(plan: Plan) -> Plan | None:
            nonlocal undecided
            trial = await _played(trials, plan, profile)
            if not shows(trial, task.broken):
                undecided += not came_to_its_end(trial)
                return None
            shown[:] = [trial]
            return plan

        left = await reduce_async(
            task.plan, fails, CUTS, most_runs=CUTTING_RUNS, seconds=task.seconds * CUTTING_SHARE
        )
        # What time cut short has not been shown to be needed.
        left = dataclasses.replace(left, one_minimal=left.one_minimal and not undecided)
        undecided = 0
        repeats = [fails(left.plan) for _ in range(CONFIRMATIONS)]
        again = sum(plan is not None for plan in await asyncio.gather(*repeats))
        self.say(_least(task, left, shown, again, CONFIRMATIONS - undecided))


async def _played(trials: Trials, plan: Plan, profile: Profile) -> Trial:
    return await trials.play(plan, reference=profile.reference, points=crashpoints.points_of(plan))


def _reference(target: Target) -> Plan:
    jobs = 2 * target.workers
    return Plan(target=target, warmup=jobs, bystanders=jobs, fresh=jobs)


async def _broken_unharmed(trials: Trials, target: Target, profile: Profile) -> tuple[Broken, ...]:
    """Return what the pool breaks with nothing done to it: in the reference, and once more."""
    once = _reference(target)
    twice = msgspec.structs.replace(once, lives=2)
    first = Trial(once, profile.reference.events)
    found = _in_all(judged_unharmed([first, await trials.play(twice)]))
    if not found:
        return ()
    again = _in_all(judged_unharmed([await trials.play(once), await trials.play(twice)]))
    seen = {(one.invariant, one.effect) for one in again}
    return tuple(one for one in found if (one.invariant, one.effect) in seen)


def _in_all(judged: Iterable[Judged]) -> tuple[Broken, ...]:
    return tuple(one for _, findings in judged for one in broken_of(findings))


def case_of(seed: int, trial: Trial, seconds: float) -> Case:
    """Return what came of a play."""
    plan, findings = trial.plan, judge(trial, trial.reference)
    broken, doubt = broken_of(findings), unproven(trial) or doubt_of(findings)
    quiet: Verdict = "unknown" if doubt else "valid"
    return Case(
        seed=seed,
        verdict=combine([one.verdict for one in broken] or [quiet]),
        fault=fault_of(plan),
        size=size_of(plan),
        state=state_when_hit(trial) if no_receipt(trial) is None else "",
        point=place_of(plan) if plan.point else "",
        broken=broken,
        reason=doubt if not broken else "",
        seconds=round(seconds, 3),
    )


def doubt_of(findings: Iterable[Finding]) -> str:
    """Return why nobody knows whether a proven play left the pool stuck; empty where that is known.

    That another checker had nothing to judge is no doubt here: in another play it has.
    """
    late = (f.reason for f in findings if f.invariant in CAUSES and f.verdict == "unknown")
    return next(late, "")


def came_to_its_end(trial: Trial) -> bool:
    """Tell whether a play was not cut short by the end of the time: one that was says nothing."""
    return bool(trial.events) and trial.judgement not in ("unjudged", "suspect")


def broken_of(findings: Sequence[Finding]) -> tuple[Broken, ...]:
    """Return the broken promises among these, without those that only follow from others."""
    told = {(f.invariant, f.effect): f for f, _ in primary(findings)}
    return tuple(
        Broken(invariant, effect, finding.reason, finding.verdict)
        for (invariant, effect), finding in told.items()
    )


def shows(trial: Trial, broken: Broken) -> bool:
    """Tell whether a play broke the same promise in the same way, or left the pool stuck in another."""
    return any(
        (one.invariant, one.effect) == (broken.invariant, broken.effect)
        or (one.invariant in CAUSES and broken.invariant in CAUSES)
        for one in broken_of(judge(trial, trial.reference))
    )


def _history(trial: Trial) -> str:
    return b"".join(history.encode(event) for event in trial.events).decode()


def _sighting(seed: int, name: str, trial: Trial) -> Sighting:
    return Sighting(seed=seed, fingerprint=name, plan=trial.plan, history=_history(trial))


def _least(task: Cutting, left: Reduced[Plan], shown: list[Trial], again: int, times: int) -> Least:
    told = [one for trial in shown for one in broken_of(judge(trial, trial.reference))]
    reasons = [one.reason for one in told if one.invariant == task.broken.invariant]
    return Least(
        fingerprint=task.fingerprint,
        plan=left.plan,
        reason=next(iter(reasons), task.broken.reason),
        history="".join(map(_history, shown)),
        story=tuple(line for trial in shown for line in story(trial)),
        runs=left.runs,
        one_minimal=left.one_minimal,
        again=again,
        times=times,
    )


def _cut_of(field: str, least: int) -> Cut[Plan]:
    def smaller(plan: Plan) -> Iterator[Plan]:
        for number in lower(getattr(plan, field), least):
            yield msgspec.structs.replace(plan, **{field: number})

    return Cut(field, smaller)


def _fewer_faults(plan: Plan) -> Iterator[Plan]:
    for faults in filter(None, fewer(plan.faults)):
        yield msgspec.structs.replace(plan, faults=faults)


def _all_at_once(plan: Plan) -> Iterator[Plan]:
    """Yield it with every size at its least: where a pool must be seen to hang, each further play is dear."""
    least = {"jobs": 1, "bystanders": 0, "fresh": 1, "warmup": min(plan.warmup, 1)}
    smaller = msgspec.structs.replace(plan, **least)
    if smaller != plan:
        yield smaller


CUTS: Final[tuple[Cut[Plan], ...]] = (
    Cut("sizes", _all_at_once),
    Cut("faults", _fewer_faults),
    _cut_of("bystanders", 0),
    _cut_of("jobs", 1),
    _cut_of("fresh", 1),
    _cut_of("warmup", 0),
)


async def serve(task: Task, say: Say, gone: asyncio.StreamReader) -> None:
    """Do a task, unless whoever gave it is gone before."""
    performing = asyncio.create_task(perform(task, say))
    watching = asyncio.create_task(gone.read())
    await asyncio.wait((performing, watching), return_when=asyncio.FIRST_COMPLETED)
    for one in (performing, watching):
        one.cancel()
    await asyncio.gather(performing, watching, return_exceptions=True)


async def _main() -> None:
    reader = asyncio.StreamReader(limit=MOST_TASK_BYTES)
    loop = asyncio.get_running_loop()
    transport, _ = await loop.connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    with os.fdopen(os.dup(1), "wb") as answers:
        os.dup2(2, 1)  # whatever else is printed is no answer

        def say(message: Message) -> None:
            answers.write(encode(message) + b"\n")
            answers.flush()

        if line := await reader.readline():
            await serve(decode_task(line), say, reader)
    transport.close()


if __name__ == "__main__":
    asyncio.run(_main())
