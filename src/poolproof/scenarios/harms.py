"""What is done to single workers of a stack: ended, stopped, slowed, starved; on processes by the kernel's means."""

import asyncio
import math
import random
import resource
import signal
from collections.abc import Collection, Sequence
from contextlib import suppress
from typing import Final, TypeVar

from poolproof.isolation.containment import send_signal
from poolproof.pool.slot import Slot
from poolproof.scenarios import actor
from poolproof.scenarios.data import Step
from poolproof.stack import Stack
from poolproof.watch import procfs
from poolproof.watch.procfs import Identity

T = TypeVar("T")
PERIOD_SECONDS: Final = 0.02
"""How long a slowed process stands still and runs, in turn."""


def chosen(workers: Sequence[T], step: Step, rng: random.Random) -> list[T]:
    """Return whom a step hits: so many, or that share of them, rounded up; one, if it says neither."""
    count = step.count or (math.ceil(step.share * len(workers)) if step.share else 1)
    return rng.sample(list(workers), min(count, len(workers)))


class Harms:
    """What has been done to the workers of one stack, and is undone by `heal`."""

    def __init__(self, stack: Stack, witness: str) -> None:
        self._stack, self._witness = stack, witness
        self._stopped: dict[Identity, asyncio.Task[None] | None] = {}
        self._limits: dict[Identity, tuple[int, int]] = {}

    async def do(
        self, step: Step, slots: Collection[Slot], pace: float, rng: random.Random
    ) -> None:
        """Do one deed to these workers."""
        if step.do == "kill":
            for slot in slots:
                slot.link.kill()
            await asyncio.sleep(0)
        elif any(slot.link.pid is None for slot in slots):
            self._to_actors(step, len(slots), rng)
        else:
            self._to_processes(step, slots, pace)

    def _to_actors(self, step: Step, count: int, rng: random.Random) -> None:
        """Harm actors that live: those that began a job last, as many as there are workers."""
        latest = sorted(actor.living(self._witness), key=lambda one: one.last)
        alive = latest[-len(self._stack.pool.slots()) :]
        for one in alive if step.do == "starve" else rng.sample(alive, min(count, len(alive))):
            if step.do == "pause":
                one.pause(paused=True)
            elif step.do == "slow":
                one.factor = step.most
            else:
                one.hungry = step.share

    def _to_processes(self, step: Step, slots: Collection[Slot], pace: float) -> None:
        hit = self._stack.pool.slots() if step.do == "starve" else slots
        for slot in hit:
            who = None if slot.link.pid is None else procfs.identity(slot.link.pid)
            if who is None:
                continue
            if step.do == "starve":
                self._limit(who, int(step.most))
            elif step.do == "pause":
                send_signal(who, signal.SIGSTOP)
                self._stopped[who] = None
            else:
                slowing = asyncio.get_running_loop().create_task(self._slow(who, step.most * pace))
                self._stopped[who] = slowing

    def _limit(self, who: Identity, margin_bytes: int) -> None:
        with suppress(OSError):
            pages = int(procfs.read(f"/proc/{who.pid}/statm").split()[0])
            now = resource.prlimit(who.pid, resource.RLIMIT_AS)
            self._limits.setdefault(who, now)
            soft = pages * resource.getpagesize() + margin_bytes
            resource.prlimit(who.pid, resource.RLIMIT_AS, (soft, now[1]))

    async def _slow(self, who: Identity, factor: float) -> None:
        """Let a process run for one period, and stand still for `factor` periods, in turn."""
        while send_signal(who, signal.SIGSTOP):
            await asyncio.sleep(PERIOD_SECONDS * max(1.0, factor))
            send_signal(who, signal.SIGCONT)
            await asyncio.sleep(PERIOD_SECONDS)

    def receipt(self, deed: str) -> str | None:
        """Return what the actors, or the kernel, say."""
        met = sum(one.met[deed] for one in actor.living(self._witness))
        if met:
            return f"{met} jobs met it, their workers say"
        if deed == "starve":
            limits = [resource.prlimit(who.pid, resource.RLIMIT_AS) for who in self._living()]
            return f"the kernel's limits are {limits[:2]}" if limits else None
        states = [state for who in self._stopped if (state := procfs.state(who.pid))]
        return f"states in /proc: {' '.join(states)}" if "T" in states else None

    def _living(self) -> list[Identity]:
        return [who for who in self._limits if procfs.alive(who)]

    def heal(self) -> None:
        """Let all go on, and give every limit back."""
        for who, task in self._stopped.items():
            if task is not None:
                task.cancel()
            send_signal(who, signal.SIGCONT)
        for who, limit in self._limits.items():
            with suppress(OSError):
                if procfs.identity(who.pid) == who:
                    resource.prlimit(who.pid, resource.RLIMIT_AS, limit)
        for one in actor.living(self._witness):
            one.pause(paused=False)
            one.factor, one.hungry = 1.0, 0.0

    def healed(self) -> str | None:
        """Return what the kernel says of whoever was harmed and lives."""
        stopped = [who for who in self._stopped if procfs.alive(who)]
        if any(procfs.state(who.pid) == "T" for who in stopped):
            return None
        for who in self._living():
            if resource.prlimit(who.pid, resource.RLIMIT_AS) != self._limits[who]:
                return None
        return "nobody stands still, and every limit is what it was"
