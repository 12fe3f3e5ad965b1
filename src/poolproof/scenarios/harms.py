"""What is done to single workers of a stack: actors are told, processes are harmed by the kernel."""

import asyncio
import math
import random
from collections.abc import Collection, Sequence
from typing import TypeVar

from poolproof.pool.slot import Slot
from poolproof.scenarios import actor
from poolproof.scenarios.data import Step
from poolproof.scenarios.processes import Processes
from poolproof.stack import Stack
from poolproof.watch import procfs

T = TypeVar("T")


def chosen(workers: Sequence[T], step: Step, rng: random.Random) -> list[T]:
    """Return whom a step hits: so many, or that share of them, rounded up; one, if it says neither."""
    if step.do == "starve":
        return list(workers)
    count = step.count or (math.ceil(step.share * len(workers)) if step.share else 1)
    return rng.sample(list(workers), min(count, len(workers)))


class Harms:
    """What has been done to the workers of one stack, and is undone by `heal`."""

    def __init__(self, stack: Stack, witness: str) -> None:
        self._stack, self._witness = stack, witness
        self._processes = Processes()

    async def do(
        self, step: Step, slots: Collection[Slot], pace: float, rng: random.Random
    ) -> None:
        """Do one deed to these workers."""
        pids = [slot.link.pid for slot in slots if slot.link.pid is not None]
        if step.do == "kill":
            for slot in slots:
                slot.link.kill()
            await asyncio.sleep(0)
        elif pids:
            victims = [who for pid in pids if (who := procfs.identity(pid)) is not None]
            scale = pace if step.do == "slow" else 1.0
            self._processes.do(step.do, victims, step.most * scale)
        else:
            self._to_actors(step, rng)

    def _to_actors(self, step: Step, rng: random.Random) -> None:
        """Harm actors that live: those that began a job last, as many as there are workers."""
        latest = sorted(actor.living(self._witness), key=lambda one: one.last)
        alive = latest[-len(self._stack.pool.slots()) :]
        for one in chosen(alive, step, rng):
            if step.do == "pause":
                one.pause(paused=True)
            elif step.do == "slow":
                one.factor = step.most
            else:
                one.hungry = step.share

    def met(self, deed: str) -> int:
        """Return how many jobs have met this harm, as the actors say."""
        return sum(one.met[deed] for one in actor.living(self._witness))

    def receipt(self, deed: str) -> str | None:
        """Return what the actors, or the kernel, say."""
        met = self.met(deed)
        return f"{met} jobs met it, their workers say" if met else self._processes.receipt(deed)

    def heal(self) -> None:
        """Let all go on, and give every limit back."""
        self._processes.heal()
        for one in actor.living(self._witness):
            one.pause(paused=False)
            one.factor, one.hungry = 1.0, 0.0

    def healed(self) -> str | None:
        """Return what the kernel says of whoever was harmed and lives."""
        return self._processes.healed()
