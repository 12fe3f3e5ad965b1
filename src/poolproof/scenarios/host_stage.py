"""Any pool under a scenario, in the process tree of its own in which `poolproof check` hosts it."""

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from poolproof.chaos.rig import Rig
from poolproof.chaos.trials import slots
from poolproof.checkers import CHECKERS, Trial
from poolproof.errors import TargetError
from poolproof.history import Event
from poolproof.host import Host
from poolproof.plan import Plan, Target
from poolproof.scenarios.data import Body, Deed, Step
from poolproof.scenarios.facts import JobFacts, Role
from poolproof.scenarios.harms import chosen
from poolproof.scenarios.processes import DEEDS, Processes
from poolproof.watch import procfs

TICK_SECONDS: Final = 0.002
LOOK_SECONDS: Final = 0.02
NS: Final = 1e9
BODIES: Final[Mapping[Body, tuple[str, int]]] = {
    "echo": ("echo", 0),
    "fail": ("fail", 0),
    "die": ("exit", 0),
    "leak": ("leak", 4 << 20),
    "allocate": ("allocate", 40 << 20),
}
"""Which body of a hosted job it is, and how many bytes that wants."""


class HostStage:
    """A trial of a target: what a scenario asks of it, and what is seen from outside.

    Args:
        host: in which it runs.
        target: what is harmed.
        directory: a new one, for the trial.
        pace: how many seconds one of the scenario's is.
        seconds: how long all of it may take.
    """

    ours = False

    def __init__(
        self, host: Host, target: Target, directory: Path, *, pace: float, seconds: float
    ) -> None:
        self.pace = pace
        self.offers: frozenset[Deed] = frozenset()
        self._target = target
        directory.mkdir(parents=True)
        self._rig = Rig(host, Plan(target=target), directory, slots(seconds), style="auto")
        self._processes = Processes()
        self._jobs: dict[int, JobFacts] = {}
        self._starts: Counter[int] = Counter()
        self._probes: set[int] = set()
        self._read = self._most_rss = 0
        self._known: set[procfs.Identity] = set()
        self._living: list[tuple[float, int]] = []
        self._born: list[float] = []
        self._following: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Fork the trial, start the pool, and learn from a job which functions it takes and who its workers are."""
        rig = self._rig
        self._loop = asyncio.get_running_loop()
        await rig.open()
        rig.mark("warmup")
        rig.command("start")
        self._following = asyncio.create_task(self._follow())
        await self._until(lambda: rig.over("start") is not None, self._target.deadline)
        told = rig.over("start")
        if told is None or told.kind == "fail":
            got = f"{told.error}: {told.message}" if told else "no answer from its factory"
            raise TargetError(f"expected {self._target.name} to start, got {got}")
        rig.adopt_style()
        for style in (rig.style, "plain"):
            rig.style = style
            probe = self.submit("steady")
            self._probes.add(probe.number)
            await self.settled([probe], self._target.deadline)
            if probe.right:
                break
        self.offers = DEEDS if rig.workers() else frozenset()

    async def _until(self, done: Callable[[], bool], seconds: float) -> bool:
        until = self.clock() + seconds
        while not done() and self.clock() < until:  # noqa: ASYNC110 - a file rings no bell
            await asyncio.sleep(TICK_SECONDS)
        return done()

    async def _follow(self) -> None:
        """Learn from the history, and look at the workers now and then."""
        looked = 0.0
        while True:
            if self._rig.absorb():
                for event in self._rig.events[self._read :]:
                    self._learn(event)
                self._read = len(self._rig.events)
            if self.offers and self.clock() - looked > LOOK_SECONDS:
                looked = self.clock()
                self._look(looked)
            await asyncio.sleep(TICK_SECONDS)

    def _learn(self, event: Event) -> None:
        if event.kind == "started" and event.job is not None:
            self._starts[event.job] += 1
            return
        job = self._jobs.get(event.job or 0)
        if job is None or job.ended is not None:
            return
        over = event.op == "job" and event.kind in ("ok", "fail")
        if over or (event.op == "submit" and event.kind == "info"):
            job.ended, job.ok = event.t / NS, event.kind == "ok"
            job.right = bool(event.data.get("match"))
            job.error, job.message = event.error or "", event.message or ""

    def _look(self, now: float) -> None:
        workers = self._rig.workers()
        known = [rss for who in workers if (rss := procfs.rss_bytes(who.pid)) is not None]
        self._most_rss = max(self._most_rss, *known) if known else self._most_rss
        if not self._living or self._living[-1][1] != len(workers):
            self._living.append((now, len(workers)))
        new = set(workers) - self._known
        self._known |= new
        self._born += [now] * len(new)

    def clock(self) -> float:
        """Return the loop's time, which is that of the history."""
        return self._loop.time()

    async def sleep(self, seconds: float) -> None:
        """Let time pass."""
        await asyncio.sleep(seconds * self.pace)

    def submit(
        self,
        role: Role,
        *,
        body: Body = "echo",
        work: float = 0.0,
        deadline: float = 10.0,  # noqa: ARG002 - who waits too long is seen by who waits for it
        key: str = "",  # noqa: ARG002
        checked: bool = False,  # noqa: ARG002
    ) -> JobFacts:
        """Have the owner submit one job."""
        name, size = BODIES[body]
        (number,) = self._rig.submit(1, "faulted", name, size=size, seconds=work * self.pace)
        job = self._jobs[number] = JobFacts(number=number, role=role, asked=self.clock())
        return job

    async def settled(self, jobs: Sequence[JobFacts], seconds: float) -> bool:
        """Wait until the history tells an outcome of each, as long as a job of the target may take."""
        most = min(seconds, self._target.deadline)
        return await self._until(lambda: all(job.ended is not None for job in jobs), most)

    def starts(self) -> Mapping[int, int]:
        """Return what the jobs themselves have journalled."""
        return {job: times for job, times in self._starts.items() if job not in self._probes}

    def duplicated(self) -> Sequence[int]:
        """Return what `duplicate-run` accuses: a job may be run again if its worker was lost."""
        trial = Trial(self._rig.plan, tuple(self._rig.events))
        claims = CHECKERS["duplicate-run"].check(trial)
        return [job for claim in claims if claim.verdict == "invalid" for job in claim.jobs]

    def live(self) -> int:
        """Return how many workers live; as many as there should be where they are no processes."""
        return len(self._rig.workers()) if self.offers else self._target.workers

    def deaths(self) -> int:
        """Return how many processes that ran a job have died."""
        ran = {event.pid for event in self._rig.events if event.kind == "started"}
        return sum(
            event.kind == "death" and event.data.get("child") in ran for event in self._rig.events
        )

    def living(self) -> Sequence[tuple[float, int]]:
        """Return what was seen of the process tree, now and then."""
        return self._living

    def born(self) -> Sequence[float]:
        """Return when a worker process was first seen."""
        return self._born

    def most_rss_bytes(self) -> int | None:
        """Return the most that a worker was seen to have."""
        return self._most_rss or None

    async def do(self, step: Step, rng: random.Random) -> None:
        """Harm some worker processes."""
        victims = chosen(self._rig.workers(), step, rng)
        scale = self.pace if step.do == "slow" else 1.0
        self._processes.do(step.do, victims, step.most * scale)

    def receipt(self, deed: str) -> str | None:
        """Return what the kernel says."""
        if deed == "submit die":
            return f"{self.deaths()} workers have died" if self.deaths() else None
        return self._processes.receipt(deed)

    async def heal(self) -> None:
        """Undo everything."""
        self._processes.heal()

    async def healed(self) -> str | None:
        """Return what the kernel says."""
        return self._processes.healed()

    async def close(self) -> bool:
        """Shut the pool down, and end whatever is left of its tree."""
        rig = self._rig
        try:
            if rig.over("start") is None:
                return False
            rig.command("stop")
            return await self._until(lambda: rig.over("stop") is not None, self._target.deadline)
        finally:
            if self._following is not None:
                self._following.cancel()
            await rig.close()
