"""Every trial of one check: where it runs, what is known of the target by then, and how it is judged."""

import contextlib
import dataclasses
import os
import time
from collections import Counter
from pathlib import Path
from typing import Any, Final

import msgspec

from poolproof import plan as plans
from poolproof.chaos import scenario
from poolproof.chaos.saved import PLAN
from poolproof.chaos.slots import Slots
from poolproof.checkers import Trial, judge
from poolproof.errors import TargetError
from poolproof.faults import syscalls
from poolproof.history import Event
from poolproof.host import Host
from poolproof.plan import Plan, Target

RUNNING: Final = 4
PARKED: Final = 96


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """What the reference trial has shown of the target.

    Attributes:
        facts: what the faults ask for in `needs`.
        style: which functions it takes as jobs: plain, coroutine, or `own` for its module's own.
        own: the modules that count as its own code.
        own_paths: where they lie.
        adapter: the family that it was recognised as.
        reference: the trial itself.
    """

    facts: frozenset[str]
    style: str
    own: tuple[str, ...]
    own_paths: tuple[str, ...]
    adapter: str
    reference: Trial


class Trials:
    """Plays plans against one target, each in a directory of its own below `directory`.

    Attributes:
        host: what the trials are forked from.
        slots: the places that they share.
        profile: what is known of the target; None before the reference trial.
        played: how many have been played.
        alone: whether each gets an interpreter of its own. What a module makes at its import (a lock in shared memory,
            a socket) all forks have in common: what one trial breaks of that, the next ones find broken.
    """

    def __init__(self, host: Host, directory: Path, slots: Slots) -> None:
        self.host = host
        self.directory = directory
        self.slots = slots
        self.profile: Profile | None = None
        self.played = 0
        self.alone = False

    async def play(
        self,
        plan: Plan,
        *,
        reference: Trial | None = None,
        points: dict[str, Any] | None = None,
        urgent: bool = False,
    ) -> Trial:
        """Play the plan once and return the trial.

        Args:
            plan: what is played.
            reference: its like, with nothing broken.
            points: what its workers record, or where they are struck.
            urgent: whether it goes before what has not begun yet.
        """
        trial = await self._play(plan, reference, points, urgent=urgent)
        if not self.alone and spoilt(trial):
            self.alone = True
            trial = await self._play(plan, reference, points, urgent=urgent)
        return trial

    async def still_sound(self, plan: Plan) -> bool:
        """Tell whether a trial with nothing broken still lives in the host; if not, each later one gets its own."""
        if self.alone or self.slots.remaining() <= 0:
            return True
        self.alone = (await self._play(plan, None, None, urgent=True)).judgement is not None
        return not self.alone

    async def _play(
        self, plan: Plan, reference: Trial | None, points: dict[str, Any] | None, *, urgent: bool
    ) -> Trial:
        self.played += 1
        directory = self.directory / f"{self.played:04d}"
        scenario.write_points(directory, points)
        plans.save(plan, directory / PLAN)
        style = self.profile.style if self.profile else "auto"

        def clean(events: tuple[Event, ...]) -> bool:
            return not left_behind(plan, events, reference)

        async with contextlib.AsyncExitStack() as stack:
            host = self.host
            if self.alone or host.threads != 1:  # a process with threads must not be forked
                host = await stack.enter_async_context(host.another())
            events = await scenario.play(
                host, plan, directory, self.slots, style=style, clean=clean, urgent=urgent
            )
        place = f"{self.directory.name}/{directory.name}"
        return Trial(plan, events, reference, place)

    async def profiled(self, plan: Plan) -> Profile:
        """Play the reference trial, in which nothing is broken, and learn from it what the target is.

        Raises:
            TargetError: the pool did not start, or answered not one job.
        """
        trial = told = None
        for style in ("auto", "plain", "coroutine"):
            self.profile = _guess(style) if style != "auto" else None
            trial = await self.play(plan)
            _, told = trial.start
            if told is None or told.kind == "fail":
                if told is None and self.slots.remaining() <= 0:
                    raise TargetError(_why_no_time(plan.target))
                ended = any(e.data.get("why") == "owner-gone" for e in trial.of_kind("suspect"))
                output = _last_output(self.directory)
                raise TargetError(_why_not_started(plan.target, told, output, ended=ended))
            if any(
                event.op == "job" and event.kind == "ok" and event.data.get("match")
                for event in trial.events
            ):
                break
            if trial.judgement is not None:
                break
        else:
            assert trial is not None
            raise TargetError(_why_no_answer(plan.target, trial))
        assert told is not None
        self.profile = _profile(trial)
        await self.host.preload(list(told.data.get("modules", ())))
        return self.profile


def declared(target: Target, profile: Profile) -> Target:
    """Return the target with what it declares of itself beside what the command line declares."""
    told = profile.reference.start[1]
    assert told is not None
    promises = {**told.data["promises"], **target.promises}
    if contract := {**told.data["contract"], **promises.get("contract", {})}:
        promises["contract"] = contract
    return msgspec.structs.replace(target, promises=promises)


def spoilt(trial: Trial) -> bool:
    """Tell whether the trial did not even come to its fault, though the pool of the reference served its jobs."""
    began = bool(trial.events) and bool(trial.plan.faults) and trial.reference is not None
    return began and trial.judgement is not None and not trial.of_kind("inject")


def left_behind(plan: Plan, events: tuple[Event, ...], reference: Trial | None) -> bool:
    """Tell whether the last sample shows something left; asked again, with patience, before it counts."""
    return any(
        finding.invariant == "leak" and finding.effect
        for finding in judge(Trial(plan, events, reference))
    )


def _guess(style: str) -> Profile:
    nothing = Trial(Plan(target=Target(name="", cwd="", python="")), ())
    return Profile(
        facts=frozenset(), style=style, own=(), own_paths=(), adapter="", reference=nothing
    )


def _profile(trial: Trial) -> Profile:
    told = trial.start[1]
    assert told is not None
    data = told.data
    style = next(
        (e.data["style"] for e in trial.events if e.kind == "phase" and "style" in e.data), "plain"
    )
    return Profile(
        facts=_facts(trial, data, style),
        style=style,
        own=tuple(data["own"]),
        own_paths=tuple(data["own_paths"]),
        adapter=data["adapter"],
        reference=trial,
    )


def _facts(trial: Trial, data: dict[str, Any], style: str) -> frozenset[str]:
    owner = told.pid if (told := trial.start[1]) else 0
    runners = {event.pid for event in trial.events if event.kind == "started"}
    marks = [e.data["workers"] for e in trial.events if e.kind == "phase" and "workers" in e.data]
    workers: list[int] = marks[0] if marks else []
    processes = bool(runners - {owner}) or (not runners and bool(workers))
    on_loop = "loop" in data["offers"] and runners == {owner}
    found = {
        "processes": processes,
        "workers-known": bool(workers),
        "threads-or-processes": not on_loop,
        "any-job": style != "own",
        "cancel": "cancel" in data["offers"],
        "callback": "callback" in data["offers"],
        "loop": on_loop and style == "coroutine",
        "unprivileged": os.geteuid() != 0,
        "strace": syscalls.available(),
        "several-workers": trial.plan.target.workers > 1,
    }
    return frozenset(fact for fact, holds in found.items() if holds)


def _why_no_time(target: Target) -> str:
    return (
        f"expected {target.name} to start before the time of the whole run was over, got no answer from its factory;"
        " give a longer --time"
    )


def _why_not_started(target: Target, told: Event | None, output: str, *, ended: bool) -> str:
    if told is None and ended:
        return f"expected {target.name} to return a pool, got the end of the process that called it{output}"
    if told is None:
        return (
            f"expected {target.name} to start within {target.deadline:g} s, got no answer from its factory;"
            f" give a longer --deadline if it is only slow{output}"
        )
    if told.error == "TargetProblem":
        return str(told.message)
    return f"expected {target.name} to start, got {told.error}: {told.message}{output}"


def _why_no_answer(target: Target, trial: Trial) -> str:
    errors = Counter(
        f"{e.error}: {e.message}" for e in trial.events if e.kind in ("fail", "info") and e.error
    )
    most = errors.most_common(1)[0][0] if errors else "answers that were not the jobs' own"
    return (
        f"expected {target.name} to answer at least one plain job, got {most};"
        " a pool that takes only jobs of its own kind needs `jobs` in its factory's module (docs/targets.md)"
    )


def _last_output(directory: Path) -> str:
    logs = sorted(directory.glob("*/output.log"))
    text = logs[-1].read_text(errors="replace").strip() if logs else ""
    return f"; its last output: {text.splitlines()[-1][:200]}" if text else ""


def slots(seconds: float, reserve: float = 0.0) -> Slots:
    """Return the places for trials of a run that ends in so many seconds."""
    end = time.monotonic() + seconds
    return Slots(running=RUNNING, parked=PARKED, end=end, reserve=reserve)
