"""What every balancing strategy must do, and each by its name; and strategies that do not."""

# ruff: noqa: ARG002 (an ablation does not look at what it should)

from bisect import bisect_left
from collections.abc import Sequence
from random import Random
from typing import Any, ClassVar, Final

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from poolproof.pool import balancing
from poolproof.pool.balancing import (
    LOAD_FACTOR,
    ConsistentHash,
    LeastLoaded,
    PowerOfTwoChoices,
    RoundRobin,
    Strategy,
)
from poolproof.pool.worker import Worker
from poolproof.supervision.overriding import override
from tests.unit.pool.closed_loop import born

SLOTS: Final = 5
PLACES: Final = 6


class Members(RuleBasedStateMachine):
    """Balance against the model; `kind` is what is played."""

    kind: ClassVar[type[Any]]

    @initialize(count=st.integers(1, 5), seed=st.integers(0, 99))
    def begin(self, count: int, seed: int) -> None:
        self.real: Strategy = type(self).kind(Random(seed))
        self.members: dict[int, Worker] = {}
        self.last: Worker | None = None
        self.homes: dict[str, int] = {}
        for number in range(count):
            self.members[number] = born(number, slots=SLOTS)
        self.tell()

    def tell(self) -> None:
        self.members = dict(sorted(self.members.items()))
        self.real.set_members(list(self.members.values()))

    def accepting(self) -> list[Worker]:
        return [worker for worker in self.members.values() if worker.accepting]

    def idle(self) -> bool:
        """Whether nothing but the session decides."""
        return len(self.accepting()) == len(self.members) and not any(
            worker.in_flight for worker in self.members.values()
        )

    @rule(session=st.sampled_from([None, "s1", "s2", "s3", "s4", "s5", "s6"]))
    def pick(self, session: str | None) -> None:
        accepting, idle = self.accepting(), self.idle()
        loads = {worker.number: worker.in_flight for worker in accepting}
        worker = self.real.pick(session)
        if worker is None:
            assert not accepting
            return
        assert any(worker is other for other in accepting)
        self.judge(worker, loads, session, idle=idle)
        self.last = worker
        worker.checkout(0)

    def judge(
        self, worker: Worker, loads: dict[int, int], session: str | None, *, idle: bool
    ) -> None:
        if issubclass(self.kind, RoundRobin):
            assert worker.number == self.next_after_last(list(loads))
        elif issubclass(self.kind, PowerOfTwoChoices):
            if len(loads) == len(self.members) > 1:
                others = [load for number, load in loads.items() if number != worker.number]
                assert loads[worker.number] <= max(others)
        elif session is None or issubclass(self.kind, LeastLoaded):
            least = [number for number in loads if loads[number] == min(loads.values())]
            assert worker.number in least
            assert issubclass(self.kind, ConsistentHash) or (
                worker.number == self.next_after_last(least)
            )
        else:
            self.judge_session(worker, loads, session, idle=idle)

    def judge_session(
        self, worker: Worker, loads: dict[int, int], session: str, *, idle: bool
    ) -> None:
        total = sum(other.in_flight for other in self.members.values()) + 1
        most = -(-LOAD_FACTOR * total // len(self.members))
        if min(loads.values()) < most:
            assert loads[worker.number] < most
        if idle:
            assert self.homes.setdefault(session, worker.number) == worker.number

    def next_after_last(self, numbers: list[int]) -> int:
        later = [n for n in numbers if self.last is not None and n > self.last.number]
        return min(later or numbers)

    @rule(count=st.integers(1, 12))
    def share(self, count: int) -> None:
        accepting = self.accepting()
        room = {worker.number: SLOTS - worker.in_flight for worker in accepting}
        before = {worker.number: worker.in_flight for worker in accepting}
        shares = {worker.number: jobs for worker, jobs in self.real.share(count)}
        assert set(shares) <= set(room)
        assert sum(shares.values()) == min(count, sum(room.values()))
        assert all(0 < jobs <= room[number] for number, jobs in shares.items())
        if issubclass(self.kind, RoundRobin):
            before = dict.fromkeys(before, 0)
        after = {number: before[number] + shares.get(number, 0) for number in room}
        for number, jobs in shares.items():
            # No job could be moved to another with room, and leave the two more even.
            assert all(
                before[number] + jobs <= after[other] + 1
                for other in room
                if shares.get(other, 0) < room[other]
            )
            self.members[number].checkout(0, jobs)
        self.last = self.members[self.last_of(list(shares))] if shares else self.last

    def last_of(self, numbers: list[int]) -> int:
        """Return who of them comes last in the circle that begins after the last chosen one."""
        start = self.last.number if self.last else -1
        return max(numbers, key=lambda number: (number <= start, number))

    @rule(number=st.integers(0, PLACES - 1))
    def finish(self, number: int) -> None:
        worker = self.members.get(number)
        if worker and worker.in_flight:
            worker.checkin(0, worker.in_flight)

    @rule()
    def finish_all(self) -> None:
        for number in self.members:
            self.finish(number)

    @rule(number=st.integers(0, PLACES - 1), ill=st.booleans())
    def check(self, number: int, *, ill: bool) -> None:
        if worker := self.members.get(number):
            (worker.check_failed if ill else worker.check_passed)(0)

    @precondition(lambda self: len(self.members) > 1)
    @rule(number=st.integers(0, PLACES - 1))
    def die(self, number: int) -> None:
        worker = self.members.pop(number, None)
        if worker is None:
            return
        worker.died("killed", 0)
        self.homes = {name: home for name, home in self.homes.items() if home != number}
        self.tell()

    @rule(number=st.integers(0, PLACES - 1))
    def come(self, number: int) -> None:
        """One more takes some sessions of the others: who goes where is no longer known."""
        if number not in self.members:
            self.members[number] = born(number, epoch=2, slots=SLOTS)
            self.homes.clear()
            self.tell()


def machine_for(kind: type[Strategy]) -> type[RuleBasedStateMachine]:
    """Return the machine that plays this kind against the model."""
    return type(kind.__name__, (Members,), {"kind": kind})


class FirstOfTheIdle(LeastLoaded):
    """The least loaded, but always the first of several: in an idle pool one does it all."""

    @override
    def pick(self, session: str | None = None) -> Worker | None:
        self._next = 0
        return super().pick(session)


class GivesToTheFull(LeastLoaded):
    """It does not ask whether the worker accepts work."""

    @override
    def pick(self, session: str | None = None) -> Worker | None:
        return min(self._members, key=lambda worker: worker.in_flight)


class MostLoaded(LeastLoaded):
    """The comparison the wrong way round."""

    @override
    def pick(self, session: str | None = None) -> Worker | None:
        accepting = [worker for worker in self._members if worker.accepting]
        return max(accepting, key=lambda worker: worker.in_flight, default=None)


class FirstIdleAlone(LeastLoaded):
    """Always the first that accepts."""

    @override
    def pick(self, session: str | None = None) -> Worker | None:
        return next((worker for worker in self._members if worker.accepting), None)


class KeepsTheDead(RoundRobin):
    """Nobody tells it that a worker is gone."""

    @override
    def set_members(self, workers: Sequence[Worker]) -> None:
        if not self._members:
            super().set_members(workers)

    @override
    def pick(self, session: str | None = None) -> Worker | None:
        place = self._next % len(self._members)
        return self._turn_to(place)


class BeginsAgain(RoundRobin):
    """Each birth and death gives the turn to the first."""

    @override
    def set_members(self, workers: Sequence[Worker]) -> None:
        super().set_members(workers)
        self._next = 0


class StopsAtTheEnd(RoundRobin):
    """The circle is a line."""

    @override
    def pick(self, session: str | None = None) -> Worker | None:
        for place in range(self._next, len(self._members)):
            if self._members[place].accepting:
                return self._turn_to(place)
        return None


class OneChoice(PowerOfTwoChoices):
    """Both choices may be the same."""

    @override
    def pick(self, session: str | None = None) -> Worker | None:
        worker = self._members[int(self._draw() * len(self._members))]
        return worker if worker.accepting else self._least_loaded()


class WorseOfTwo(PowerOfTwoChoices):
    """The more loaded of the two."""

    @override
    def pick(self, session: str | None = None) -> Worker | None:
        accepting = [worker for worker in self._members if worker.accepting]
        if len(accepting) < 2:
            return self._least_loaded()
        place = int(self._draw() * (len(accepting) - 1))
        return max(accepting[place : place + 2], key=lambda worker: worker.in_flight)


class Modulo(ConsistentHash):
    """Hash modulo the number of workers: one dies, and nearly every session moves."""

    @override
    def pick(self, session: str | None = None) -> Worker | None:
        if session is None or any(w.in_flight or not w.accepting for w in self._members):
            return super().pick(session)
        return self._members[balancing._point(session) % len(self._members)]


class NoLoadBound(ConsistentHash):
    """The session's worker, however full it is."""

    @override
    def pick(self, session: str | None = None) -> Worker | None:
        for worker in self._members if session else ():
            if worker.accepting:
                return worker
        return super().pick(session)


class HomeOnly(ConsistentHash):
    """The session's place on the ring, with no bound of load at all."""

    @override
    def pick(self, session: str | None = None) -> Worker | None:
        start = bisect_left(self._points, balancing._point(session or ""))
        ring = self._owners[start:] + self._owners[:start]
        return next((worker for worker in ring if worker.accepting), None)


class SharesTooMuch(LeastLoaded):
    """A batch goes to workers that have no room for it."""

    @override
    def share(self, count: int) -> list[tuple[Worker, int]]:
        accepting = [worker for worker in self._members if worker.accepting]
        return [(accepting[0], count)] if accepting else []


class SharesUnevenly(LeastLoaded):
    """A batch is given to the first as far as there is room, then to the next."""

    @override
    def share(self, count: int) -> list[tuple[Worker, int]]:
        shares: list[tuple[Worker, int]] = []
        for worker in self._members:
            jobs = min(count, worker.slots - worker.in_flight) if worker.accepting else 0
            if jobs:
                shares.append((worker, jobs))
                count -= jobs
        return shares


class LosesTheRest(LeastLoaded):
    """What does not divide evenly is given to nobody."""

    @override
    def share(self, count: int) -> list[tuple[Worker, int]]:
        accepting = [worker for worker in self._members if worker.accepting]
        return super().share(count - count % max(1, len(accepting)))


SOUND: Final[tuple[type[Strategy], ...]] = (
    RoundRobin,
    LeastLoaded,
    PowerOfTwoChoices,
    ConsistentHash,
)
ABLATIONS: Final[tuple[type[Strategy], ...]] = (
    FirstOfTheIdle,
    GivesToTheFull,
    MostLoaded,
    KeepsTheDead,
    BeginsAgain,
    StopsAtTheEnd,
    OneChoice,
    WorseOfTwo,
    Modulo,
    NoLoadBound,
    HomeOnly,
    FirstIdleAlone,
    SharesTooMuch,
    SharesUnevenly,
    LosesTheRest,
)
