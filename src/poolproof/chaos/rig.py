"""One running trial under the controller's hand: what it may ask of it, and what it sees."""

import asyncio
import re
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

from poolproof.chaos.census import Census
from poolproof.chaos.slots import Slots
from poolproof.history import Event
from poolproof.host import Host
from poolproof.plan import Plan
from poolproof.watch import procfs
from poolproof.watch.procfs import Identity
from poolproof.watch.watch import Watch

TICK_SECONDS: Final = 0.002
LIVELOCK_STARTS: Final = 20
_SERVANTS: Final = ("resource_tracker", "forkserver", "semaphore_tracker")


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
        self.trial = await self.host.fork(
            self.directory, describe=unharmed, alone=self.plan.lives > 1
        )
        self.watch = Watch(self.trial.root)
        self.census = Census(self.trial)
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

    def note(self, **data: Any) -> None:
        """Journal what a fault came upon while it was injected."""
        self.trial.write("note", data=data)

    def mark(self, phase: str, **data: Any) -> None:
        """Journal that a phase begins, who lives then, and, where it is not one trial of many, what they hold."""
        self.trial.write("phase", data={"phase": phase, **data})
        self.census.take()
        if self.plan.point is None:
            self.census.measure()

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
            born = event.data.get("born")  # none where the process may open no file
            runner = Identity(event.pid, int(born)) if born else _now(event.pid)
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

    def runners(self, job: int) -> Sequence[Identity]:
        """Return the processes that started this job, in order."""
        return self._started.get(job, ())

    def has_run(self, worker: Identity) -> bool:
        """Tell whether this worker has run a job."""
        return any(worker in starts for starts in self._started.values())

    def workers(self) -> list[Identity]:
        """Return the live workers: siblings, by parent and command line, of those that have run a job.

        Not more than were asked for, unless more have run a job: the rest are a pool's other servants.
        """
        if not self._signatures:
            self._remember_all()
        found: list[Identity] = []
        for pid in self.trial.processes():
            if pid == self.owner.pid or (stat := procfs.stat(pid)) is None:
                continue
            line = _shape(procfs.cmdline(pid))
            if (
                (stat.parent, line) in self._signatures
                and not any(servant in line for servant in _SERVANTS)
                and procfs.alive(worker := Identity(pid, stat.born))
            ):
                found.append(worker)
        found.sort(key=lambda worker: (not self.has_run(worker), worker.pid))
        proven = sum(self.has_run(worker) for worker in found)
        return found[: max(proven, self.plan.target.workers)]

    def left(self) -> list[Identity]:
        """Return every live process of the trial but the servants of the standard library, which end by themselves."""
        found: list[Identity] = []
        for pid in self.trial.processes():
            line = " ".join(procfs.cmdline(pid))
            identity = procfs.identity(pid)
            if (
                identity is not None
                and procfs.alive(identity)
                and not any(s in line for s in _SERVANTS)
            ):
                found.append(identity)
        return found

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


def _now(pid: int) -> Identity:
    return procfs.identity(pid) or Identity(pid, 0)


def _shape(cmdline: Iterable[str]) -> str:
    """Return a command line without its numbers, which differ from one spawned worker to the next."""
    return re.sub(r"\d+", "#", " ".join(cmdline))
