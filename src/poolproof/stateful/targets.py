"""Any target of `poolproof check` under the pool machine: real processes, each case a fresh trial of one host."""

import asyncio
import atexit
import os
import shutil
import signal
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar, Final

from poolproof import simulation
from poolproof.chaos.patience import Patience
from poolproof.chaos.rig import Rig
from poolproof.chaos.scenario import write_points
from poolproof.chaos.trials import Profile, Trials, slots
from poolproof.errors import TargetError
from poolproof.host import Host
from poolproof.isolation import leases
from poolproof.isolation.containment import send_signal
from poolproof.plan import Plan, Target
from poolproof.stateful.model import Outcome
from poolproof.stateful.pools import PoolMachine, machine_of
from poolproof.stateful.subject import Offer
from poolproof.watch.procfs import Identity, alive

HOUR_S: Final = 3600.0
"""A campaign of thousands of cases may take so long; each case has bounds of its own."""
DEADLINE_S: Final = 10.0


class Arena:
    """One target's host for all the cases of a machine, and the real loop that they share.

    It is opened by the first case, and closed at the end of the test, or of the process.
    """

    def __init__(self, target: Target) -> None:
        self.target = target
        self.loop: asyncio.AbstractEventLoop | None = None
        self.played = 0

    def open(self) -> asyncio.AbstractEventLoop:
        """Start the host and play the reference trial, once; return the loop.

        Raises:
            TargetError: the target cannot be found, built or started.
        """
        if self.loop is None:
            self.loop = asyncio.new_event_loop()
            self._lease = leases.take(f"machine-{simulation.token()[:8]}")
            atexit.register(self.close)
            self.loop.run_until_complete(self._begin())
        return self.loop

    async def _begin(self) -> None:
        self.directory = Path(self._lease.directory)
        self.host = Host(self.target, run=self._lease.run, directory=self.directory)
        await self.host.__aenter__()
        self.trials = Trials(self.host, self.directory / "trials", slots(HOUR_S))
        await self.trials.profiled(Plan(target=self.target, warmup=2, fresh=2))

    @property
    def profile(self) -> Profile | None:
        """What the reference trial has shown; None before it."""
        return self.trials.profile if self.loop is not None else None

    def close(self) -> None:
        """End the host and all that is below it; harmless if it is closed."""
        if self.loop is None:
            return
        atexit.unregister(self.close)
        loop, self.loop = self.loop, None
        try:
            if hasattr(self, "host"):
                loop.run_until_complete(self.host.close())
        finally:
            leases.end(self._lease)
            leases.release(self._lease)
            loop.close()


class TargetSubject:
    """One trial of a target: its pool in processes of its own, judged by histories and /proc."""

    simulated = False
    recovers = False

    def __init__(self, arena: Arena) -> None:
        self._arena = arena
        self._frozen: list[Identity] = []
        self._granted: set[int] = set()

    @property
    def offers(self) -> frozenset[Offer]:
        """What the reference trial has shown to be possible."""
        facts = self._arena.profile.facts if self._arena.profile else frozenset[str]()
        offers: set[Offer] = set()
        if {"processes", "workers-known"} <= facts:
            offers |= {"kill", "pause"}
        if "cancel" in facts:
            offers.add("cancel")
        return frozenset(offers)

    async def open(self) -> None:
        """Fork a trial and have its pool serve."""
        arena, profile = self._arena, self._arena.profile
        assert profile is not None
        arena.played += 1
        directory = arena.directory / f"case{arena.played}"
        write_points(directory, None)
        places, style = slots(HOUR_S), profile.style
        self._rig = Rig(arena.host, Plan(target=arena.target), directory, places, style=style)
        await self._rig.open()
        self._patience = Patience(self._rig)
        self._rig.command("start")

        def started() -> bool:
            return self._rig.over("start") is not None

        await self._patience.settle(started, "start", patient=True)
        self._require_started()

    def _serves(self) -> bool:
        return (told := self._rig.over("start")) is not None and told.kind == "ok"

    def _require_started(self) -> None:
        told = self._rig.over("start")
        if not self._serves():
            why = f"{told.error}: {told.message}" if told else "no answer within its deadline"
            raise TargetError(
                f"expected {self._arena.target.name} to start for each case, as in the reference trial, got {why}"
            )

    async def submit(self, job: int) -> None:
        """Have the owner submit it."""
        numbers = self._rig.submit(1, "faulted")
        assert numbers == (job,)

        def taken() -> bool:
            return self._rig.accepted(numbers) or self._rig.resolved(numbers)

        await self._patience.settle(taken, "job")
        await self._patience.rest()

    def outcomes(self) -> dict[int, Outcome]:
        """Return what the callers in the owner got."""
        self._rig.absorb()
        found: dict[int, Outcome] = {}
        for event in self._rig.events:
            if event.job is None or event.kind not in ("ok", "fail", "info"):
                continue
            if event.op == "job" and event.kind == "ok":
                data = event.data
                found[event.job] = Outcome("ok", right=bool(data["match"]), text=str(data["value"]))
            elif event.op == "job" or (event.op == "submit" and event.kind != "ok"):
                cancelled = event.error == "CancelledError" and event.job in self._granted
                text = f"{event.error}: {event.message}"
                found[event.job] = Outcome("cancelled" if cancelled else "error", text=text)
        return found

    def starts(self) -> dict[int, int]:
        """Count what the jobs have said."""
        self._rig.absorb()
        return Counter(e.job for e in self._rig.events if e.kind == "started" and e.job is not None)

    async def settled(self, jobs: Sequence[int]) -> bool:
        """Wait until they are over, or until the tree stands still and is judged to stay so."""

        def over() -> bool:
            return self._rig.resolved(jobs)

        return await self._patience.settle(over, "job") or await self._parked(over)

    async def _parked(self, over: Callable[[], bool]) -> bool:
        async with self._rig.slots.running():
            return await self._patience.park(over, "job")

    async def cancel(self, job: int) -> bool:
        """Have the owner ask for it; certain is what the pool grants before the job began."""
        asked = len(self._answers(job))
        self._rig.command("cancel", jobs=[job])
        await self._patience.settle(lambda: len(self._answers(job)) > asked, "job")
        granted = any(event.data.get("cancelled") for event in self._answers(job)[asked:])
        if granted:
            self._granted.add(job)
        return granted and job not in self.starts()

    def _answers(self, job: int) -> list[Any]:
        kinds = ("ok", "fail")
        return [
            e for e in self._rig.events if e.op == "cancel" and e.job == job and e.kind in kinds
        ]

    def workers(self) -> int:
        """Return how many workers live."""
        return len(self._rig.workers())

    async def kill(self, worker: int) -> None:
        """Send it SIGKILL, and wait until the pool has come to rest: whether it has is no matter of chance then."""
        if (who := self._signal(worker, signal.SIGKILL)) is not None:
            await self._patience.settle(lambda: not alive(who), "kill")
            await self._patience.rest()

    async def pause(self, worker: int) -> None:
        """Send it SIGSTOP."""
        if (who := self._signal(worker, signal.SIGSTOP)) is not None:
            self._frozen.append(who)

    def _signal(self, worker: int, number: int) -> Identity | None:
        living = self._rig.workers()
        if not living:
            return None
        who = living[worker % len(living)]
        send_signal(who, number)
        return who

    async def heal(self) -> None:
        """Send SIGCONT to all that stand still."""
        for who in self._frozen:
            send_signal(who, signal.SIGCONT)
        self._frozen.clear()
        await self._patience.rest()

    async def checkout(self) -> Any:
        """Refuse: no foreign pool is asked for a worker."""
        raise NotImplementedError(
            "expected a look at `offers` first, got a checkout of a foreign pool"
        )

    def lent(self) -> list[tuple[int, int]]:
        """Return nothing: no worker is lent."""
        return []

    checkin = resize = spoil = advance = checkout

    async def close(self) -> bool:
        """Shut the pool down, unless callers wait in vain or it never served; end the trial's processes in any case."""
        rig = self._rig
        try:
            if rig.pending() or not self._serves():
                return True
            rig.command("stop")

            def stopped() -> bool:
                return rig.over("stop") is not None

            return await self._patience.settle(stopped, "stop") or await self._parked(stopped)
        finally:
            await rig.close()
            shutil.rmtree(rig.directory, ignore_errors=True)


def arena(name: str, workers: int) -> Arena:
    """Return the arena of a target as the command line names it, importable from here."""
    here = Path.cwd()
    file, colon, factory = name.rpartition(":")
    if file.endswith(".py"):
        name = f"{os.path.normpath(here / file)}{colon}{factory}"
    target = Target(
        name=name, cwd=str(here), python=sys.executable, workers=workers, deadline=DEADLINE_S
    )
    return Arena(target)


class TargetMachine(PoolMachine):
    """The pool machine on a target: all cases share its host, and each is a trial of its own."""

    arena: ClassVar[Arena]
    simulated = False

    def __init__(self) -> None:
        self.arena.open()
        super().__init__()

    def new_loop(self) -> asyncio.AbstractEventLoop:
        """Return the loop on which the host lives."""
        return self.arena.open()

    def drop_loop(self, loop: asyncio.AbstractEventLoop) -> None:
        """Keep it: the next case needs it."""

    @classmethod
    def release(cls) -> None:
        """End the host."""
        cls.arena.close()


def target_machine(name: str, workers: int) -> type[PoolMachine]:
    """Return the machine of a target, named as for `poolproof check`."""
    shared = arena(name, workers)
    make = staticmethod(lambda: TargetSubject(shared))
    return machine_of(name, TargetMachine, arena=shared, make=make, size=workers)
