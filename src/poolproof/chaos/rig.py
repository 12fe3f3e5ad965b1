"""One running trial under the controller's hand: what it may ask, what it sees, and how long it is patient.

Nothing here waits for a time when it can wait for a fact. A tree in which nothing moves is a suspicion; it is parked
alive, while other trials run, and judged at ten times the wait.
"""

import asyncio
import dataclasses
import re
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Final

from poolproof.history import Event
from poolproof.host import Host
from poolproof.plan import Plan
from poolproof.watch import procfs
from poolproof.watch.procfs import Identity
from poolproof.watch.quiet import Fingerprint, Idling, Motion, Quiet
from poolproof.watch.watch import Watch

TICK_SECONDS: Final = 0.002
LOOK_SECONDS: Final = 0.010
PARK_TICK_SECONDS: Final = 0.02
PATIENCE: Final = 10
"""How many times the first wait a suspicion is confirmed at (DESIGN: quiet, parked)."""
LEAST_PARK_SECONDS: Final = 1.0
AFTER_DUE_SECONDS: Final = 0.25
LIVELOCK_STARTS: Final = 20
_SERVANTS: Final = ("resource_tracker", "forkserver", "semaphore_tracker")


class Slots:
    """How many trials run at once, and how many are parked; a parked one gives its place to another."""

    def __init__(self, *, running: int, parked: int, end: float) -> None:
        self.most = parked
        self.opening = asyncio.Semaphore(parked)
        self.running = asyncio.Semaphore(running)
        self.parked = asyncio.Semaphore(parked)
        self.end = end

    def remaining(self) -> float:
        """Return the seconds that are left of the whole run."""
        return self.end - time.monotonic()


@dataclasses.dataclass(slots=True, kw_only=True)
class Suspicion:
    """Something does not move, as first seen."""

    why: str
    op: str
    at: float
    waited: float
    due: float | None
    print: Fingerprint


class Rig:
    """A trial, its plan, and what has been learnt of its processes; the `Scene` that faults see."""

    def __init__(
        self, host: Host, plan: Plan, directory: Path, slots: Slots, *, style: str = "plain"
    ) -> None:
        self.host = host
        self.plan = plan
        self.directory = directory
        self.slots = slots
        self.style = style
        self.suspicion: Suspicion | None = None
        self.faulted: tuple[int, ...] = ()
        self._next_job = 1
        self._signatures: set[tuple[int, str]] = set()
        self._seen = 0
        self._started: dict[int, list[Identity]] = {}
        self._resolved: set[int] = set()
        self._submitted: list[int] = []
        self._refused: set[int] = set()
        self._answered: set[int] = set()
        self.received = False
        self._done: dict[str, Event] = {}

    async def open(self) -> None:
        """Fork the trial and learn who its owner is."""
        unharmed = not self.plan.faults and self.plan.point is None
        self.trial = await self.host.fork(self.directory, describe=unharmed)
        self.watch = Watch(self.trial.root)
        self.owner = await self._find_owner()

    async def close(self) -> None:
        """End the trial's processes and remove what only they needed."""
        if (trial := getattr(self, "trial", None)) is not None:
            await trial.end()

    async def _find_owner(self) -> Identity:
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            for pid in self.trial.processes()[:1]:
                if identity := procfs.identity(pid):
                    return identity
            await asyncio.sleep(TICK_SECONDS)
        return Identity(0, 0)

    # What the scenario asks of the owner.

    def command(self, do: str, **arguments: Any) -> None:
        """Tell the owner what to do next."""
        self.trial.command(do, **arguments)

    def adopt_style(self) -> None:
        """Choose, in a reference trial, what kind of job the started pool says that it takes."""
        if self.style == "auto" and (told := self.over("start")) is not None:
            known = {"plain": "plain"}.get(str(told.data.get("style")), "coroutine")
            self.style = "own" if told.data.get("jobs") else known

    def submit(self, count: int, role: str, body: str = "echo", **more: Any) -> tuple[int, ...]:
        """Ask for `count` jobs to be submitted; return their numbers."""
        numbers = tuple(range(self._next_job, self._next_job + count))
        self._next_job += count
        self._submitted += numbers
        common = {"role": role, "body": body, "style": self.style, **more}
        common["body"] = "own" if self.style == "own" else body
        specs = [{"job": n, "token": f"answer-{self.plan.seed}-{n}", **common} for n in numbers]
        if specs:
            self.command("submit", jobs=specs)
        return numbers

    # What is seen.

    @property
    def events(self) -> Sequence[Event]:
        """Return the history so far."""
        return self.trial.events

    def absorb(self) -> bool:
        """Take in what the history has gained; tell whether there was anything."""
        if not self.trial.poll():
            return False
        for event in self.trial.events[self._seen :]:
            self._learn(event)
        self._seen = len(self.trial.events)
        return True

    def _learn(self, event: Event) -> None:
        if event.kind == "started" and event.job is not None:
            runner = Identity(event.pid, int(event.data.get("born", 0)))
            self._started.setdefault(event.job, []).append(runner)
            if runner.pid != self.owner.pid:
                self._remember(runner)
        elif event.op == "job" and event.kind in ("ok", "fail") and event.job is not None:
            self._resolved.add(event.job)
        elif event.op == "submit" and event.kind in ("ok", "info") and event.job is not None:
            self._answered.add(event.job)
            if event.kind == "info":
                self._refused.add(event.job)
        elif event.op in ("start", "stop") and event.kind in ("ok", "fail"):
            self._done[event.op] = event

    def _remember(self, worker: Identity) -> None:
        if (stat := procfs.stat(worker.pid)) is not None:
            self._signatures.add((stat.parent, _shape(procfs.cmdline(worker.pid))))

    def _remember_all(self) -> None:
        """Take every child for a worker where no job of ours can tell: none ran, or all ran in the owner."""
        if not self._started:
            for pid in self.trial.processes():
                if pid != self.owner.pid:
                    self._remember(Identity(pid, 0))

    def runner(self, job: int) -> Identity | None:
        """Return the process that started this job last, or None if none has."""
        starts = self._started.get(job)
        return starts[-1] if starts else None

    def workers(self) -> list[Identity]:
        """Return the live workers: siblings, by parent and command line, of those that have run a job."""
        if not self._signatures:
            self._remember_all()
        found: list[Identity] = []
        for pid in self.trial.processes():
            if pid == self.owner.pid or (stat := procfs.stat(pid)) is None:
                continue
            line = _shape(procfs.cmdline(pid))
            if (stat.parent, line) in self._signatures and not any(
                servant in line for servant in _SERVANTS
            ):
                if procfs.alive(worker := Identity(pid, stat.born)):
                    found.append(worker)
        return sorted(found, key=lambda worker: worker.pid)

    def started(self, jobs: Iterable[int]) -> bool:
        """Tell whether each of these jobs has been started."""
        return all(job in self._started for job in jobs)

    def resolved(self, jobs: Iterable[int]) -> bool:
        """Tell whether each of these jobs has an outcome, or was refused."""
        return all(job in self._resolved or job in self._refused for job in jobs)

    def pending(self) -> list[int]:
        """Return the jobs that were to be submitted and have no outcome."""
        return [job for job in self._submitted if not self.resolved([job])]

    def over(self, op: str) -> Event | None:
        """Return how `start` or `stop` ended, or None."""
        return self._done.get(op)

    def accepted(self, jobs: Iterable[int]) -> bool:
        """Tell whether the pool has answered the submit of each of these jobs."""
        return all(job in self._answered for job in jobs)

    def stopping(self) -> bool:
        """Tell whether shutdown has been asked for."""
        return any(event.kind == "invoke" and event.op == "stop" for event in self.events)

    def samples(self, label: str) -> int:
        """Return how many samples with that label there are."""
        return sum(
            event.kind == "sample" and event.data.get("label") == label for event in self.events
        )

    def forget(self, *ops: str) -> None:
        """Forget how these operations ended: the pool gets another life."""
        for op in ops:
            self._done.pop(op, None)

    def livelock(self) -> int | None:
        """Return a job that is started again and again, or None."""
        return next(
            (job for job, starts in self._started.items() if len(starts) >= LIVELOCK_STARTS), None
        )

    # Patience.

    async def settle(self, done: Callable[[], bool], op: str, *, patient: bool = False) -> bool:
        """Wait until `done`, or until nothing moves; then journal the suspicion and return False.

        A patient wait gives up only at the deadline: before anything is broken, slow is only slow.
        """
        began = moved = time.monotonic()
        looked = 0.0
        while True:
            if self.absorb():
                moved = time.monotonic()
            if done():
                return True
            now = time.monotonic()
            found: tuple[str, float | None] | None = None
            if not procfs.alive(self.owner) and op != "owner":
                found = ("owner-gone", None)
            elif self.livelock() is not None:
                found = ("livelock", None)
            elif now - began > self.plan.target.deadline:
                found = ("overdue", None)
            elif now - moved > LOOK_SECONDS / 2 and now - looked >= LOOK_SECONDS:
                looked = now
                verdict = self.watch.look(len(self.events))
                found = None if patient else _read(verdict)
            if found is not None:
                self._suspect(
                    *found, op=op, waited=now - moved if found[0] != "overdue" else now - began
                )
                return False
            await asyncio.sleep(TICK_SECONDS)

    def _suspect(self, why: str, due: float | None, *, op: str, waited: float) -> None:
        print_ = self.watch.fingerprint()
        self.suspicion = Suspicion(
            why=why, op=op, at=time.monotonic(), waited=waited, due=due, print=print_
        )
        self._mark("suspect", op, waited, why=why)

    def _mark(self, kind: str, op: str, waited: float, **data: Any) -> None:
        self.trial.write(
            kind,
            op=op,
            data={"waited_ms": round(waited * 1000, 1), "pending": self.pending(), **data},
        )

    async def park(self, done: Callable[[], bool], op: str) -> bool:
        """Set a suspected tree aside, alive, until it moves or the suspicion is confirmed; return whether it moved."""
        self.slots.running.release()
        try:
            async with self.slots.parked:
                return await self._park(done, op)
        finally:
            await self.slots.running.acquire()

    async def _park(self, done: Callable[[], bool], op: str) -> bool:
        first = self.suspicion
        while (suspicion := self.suspicion) is not None and first is not None:
            wait = max(PATIENCE * suspicion.waited, LEAST_PARK_SECONDS)
            until = max(suspicion.at + wait, (suspicion.due or 0.0) + AFTER_DUE_SECONDS)
            if suspicion.why in ("owner-gone", "livelock"):
                until = suspicion.at
            seen = self._seen
            while time.monotonic() < min(until, self.slots.end) and not done():
                await asyncio.sleep(PARK_TICK_SECONDS)
                self.absorb()
            waited = time.monotonic() - first.at + first.waited
            if done():
                self._mark("moved", op, waited)
                self.suspicion = None
                return True
            if time.monotonic() >= self.slots.end:
                self._mark("unjudged", op, waited)
                return False
            if self._as_it_was(suspicion, seen) or waited > PATIENCE * self.plan.target.deadline:
                self._mark(
                    "judged", op, waited, why=suspicion.why, alive=[w.pid for w in self.workers()]
                )
                return False
            if await self.settle(done, op):
                self._mark("moved", op, time.monotonic() - first.at + first.waited)
                return True
        return False

    def _as_it_was(self, suspicion: Suspicion, seen: int) -> bool:
        if suspicion.why == "quiet":
            return self.watch.fingerprint().motion_since(suspicion.print) is Motion.NONE
        return self._seen == seen


def _read(verdict: object) -> tuple[str, float | None] | None:
    if isinstance(verdict, Quiet):
        return "quiet", None if verdict.due_ns is None else verdict.due_ns / 1e9
    if isinstance(verdict, Idling):
        return "idling", None
    return None


def _shape(cmdline: Iterable[str]) -> str:
    """Return a command line without its numbers, which differ from one spawned worker to the next."""
    return re.sub(r"\d+", "#", " ".join(cmdline))
