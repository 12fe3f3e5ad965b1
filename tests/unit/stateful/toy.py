"""A toy pool under the pool machine: sound, and with one thing wrong at a time."""

import asyncio
from collections import Counter, deque
from collections.abc import Sequence
from typing import Any

from poolproof.stateful import BrokenPromiseError, Offer, Outcome


def invariants(error: BaseException) -> set[str]:
    """Return which promises an error, or a group of errors, accuses a pool of."""
    if isinstance(error, BrokenPromiseError):
        return {error.invariant}
    several: tuple[BaseException, ...] = getattr(error, "exceptions", ())
    return {slug for one in several for slug in invariants(one)}


class Toy:
    """Workers on one loop, a line, leases; a dead worker is replaced at once, its job fails."""

    breaks = ""
    recovers = True
    simulated = True
    offers: frozenset[Offer] = frozenset({"cancel", "checkout", "kill", "resize", "advance"})

    def __init__(self) -> None:
        self.line: deque[int] = deque()
        self.ended: dict[int, Outcome] = {}
        self.begun: Counter[int] = Counter()
        self.at_work: dict[int, int] = {}
        self.held: list[tuple[int, int]] = []
        self.crew: dict[int, asyncio.Task[None]] = {}
        self.moved = asyncio.Event()

    async def open(self) -> None:
        for number in range(2):
            self.start(number)

    def start(self, number: int) -> None:
        self.crew[number] = asyncio.create_task(self.work(number))

    async def work(self, number: int) -> None:
        while True:
            while not self.line or self.is_held(number):
                self.moved.clear()
                await self.moved.wait()
            job = self.line.popleft()
            self.at_work[number] = job
            self.begun[job] += 1
            await asyncio.sleep(1)
            del self.at_work[number]
            self.end(job, Outcome("ok", right=self.is_right(job)))

    def is_held(self, number: int) -> bool:
        return any(number == holder for holder, _ in self.held)

    def is_right(self, job: int) -> bool:  # noqa: ARG002 - for the ablations
        return True

    def end(self, job: int, outcome: Outcome) -> None:
        self.ended[job] = outcome
        self.move()

    def move(self) -> None:
        self.moved.set()

    async def submit(self, job: int) -> None:
        self.line.append(job)
        self.move()
        for _ in range(3):  # until an idle worker has begun it
            await asyncio.sleep(0)

    def outcomes(self) -> dict[int, Outcome]:
        return dict(self.ended)

    def starts(self) -> dict[int, int]:
        return dict(self.begun)

    async def settled(self, jobs: Sequence[int]) -> bool:
        for _ in range(30):
            if all(job in self.ended for job in jobs):
                return True
            await asyncio.sleep(1)
        return False

    async def cancel(self, job: int) -> bool:
        if job not in self.line:
            return False
        self.line.remove(job)
        self.end(job, Outcome("cancelled"))
        return True

    def workers(self) -> int:
        return len(self.crew)

    async def kill(self, worker: int) -> None:
        number = sorted(self.crew)[worker]
        self.crew.pop(number).cancel()
        self.held = [who for who in self.held if who[0] != number]
        if (job := self.at_work.pop(number, None)) is not None:
            self.bury(job)
        self.start(number)
        self.move()

    def bury(self, job: int) -> None:
        self.end(job, Outcome("error", text="WorkerDied"))

    async def heal(self) -> None: ...

    async def pause(self, worker: int) -> None: ...

    async def spoil(self, worker: int, how: str) -> None: ...

    async def checkout(self) -> Any:
        free = [n for n in sorted(self.crew) if not self.is_held(n) and n not in self.at_work]
        if not free:
            return None
        self.held.append((free[0], 0))
        return self.held[-1]

    def lent(self) -> list[tuple[int, int]]:
        return list(self.held)

    async def checkin(self, lease: Any) -> None:
        if lease in self.held:
            self.held.remove(lease)
        self.move()

    async def resize(self, size: int) -> None:
        for number in [n for n in self.crew if n >= size and n not in self.at_work]:
            self.crew.pop(number).cancel()
        for number in range(size):
            if number not in self.crew:
                self.start(number)

    async def advance(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def close(self) -> bool:
        for task in self.crew.values():
            task.cancel()
        return True


class LosesTheJobOfTheDead(Toy):
    breaks = "unresolved-job"

    def bury(self, job: int) -> None:
        """Tell nobody."""


class RunsTheJobOfTheDeadAgain(Toy):
    breaks = "duplicate-run"

    def bury(self, job: int) -> None:
        self.line.append(job)


class MixesAnswersUp(Toy):
    breaks = "wrong-result"

    def is_right(self, job: int) -> bool:  # noqa: ARG002 - for the ablations
        return len(self.at_work) == 0


class LeavesTheDeadUnreplaced(Toy):
    breaks = "unresolved-job"

    def start(self, number: int) -> None:
        if number not in self.at_work and not self.ended:
            super().start(number)


class LendsTwice(Toy):
    breaks = "double-grant"

    async def checkout(self) -> Any:
        self.held.append((min(self.crew), 0))
        return self.held[-1]


class RunsTheCancelled(Toy):
    breaks = "cancelled-run"

    async def cancel(self, job: int) -> bool:
        if job not in self.line:
            return False
        self.ended[job] = Outcome("cancelled")
        return True


class FailsForNoReason(Toy):
    breaks = "unexplained-error"

    def end(self, job: int, outcome: Outcome) -> None:
        super().end(job, outcome if not self.ended else Outcome("error", text="Oops"))


class DeniesWhatItRan(Toy):
    breaks = "false-denial"

    def bury(self, job: int) -> None:
        self.end(job, Outcome("error", text="NeverSent", happened=False))


class AnswersWithoutWorking(Toy):
    breaks = "phantom-result"

    async def submit(self, job: int) -> None:
        if self.ended:
            self.end(job, Outcome("ok"))
        else:
            await super().submit(job)


class IsBrokenForGood(Toy):
    breaks = "no-recovery"
    recovers = False

    def bury(self, job: int) -> None:
        for one in (job, *self.line):
            super().bury(one)
        self.line = Refusing(self)


class Refusing(deque[int]):
    def __init__(self, toy: Toy) -> None:
        super().__init__()
        self.toy = toy

    def append(self, job: int) -> None:
        self.toy.end(job, Outcome("error", text="BrokenPool"))


class NeverCloses(Toy):
    breaks = "shutdown-hang"

    async def close(self) -> bool:
        await super().close()
        return False


ABLATIONS = (
    LosesTheJobOfTheDead,
    RunsTheJobOfTheDeadAgain,
    MixesAnswersUp,
    LeavesTheDeadUnreplaced,
    LendsTwice,
    RunsTheCancelled,
    FailsForNoReason,
    DeniesWhatItRan,
    AnswersWithoutWorking,
    IsBrokenForGood,
    NeverCloses,
)
