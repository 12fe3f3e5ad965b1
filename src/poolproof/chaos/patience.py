"""How long a trial is waited for: until a fact, or until nothing moves; and what is suspected is confirmed.

A tree in which nothing moves is a suspicion. It is parked alive, while other trials run, and judged at ten times the
wait and past any timer that is due. The decisions are in `suspected` and `confirmed_at`; the rest carries them out.
"""

import asyncio
import contextlib
import dataclasses
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, Literal

from poolproof.chaos.rig import Rig
from poolproof.watch import procfs
from poolproof.watch.quiet import Empty, Fingerprint, Idling, Motion, Quiet, Verdict

TICK_SECONDS: Final = 0.002
LOOK_SECONDS: Final = 0.010
PARK_TICK_SECONDS: Final = 0.02
PATIENCE: Final = 10
"""At how many times the first wait a suspicion is confirmed."""
LEAST_PARK_SECONDS: Final = 1.0
AFTER_DUE_SECONDS: Final = 0.25
SPIN_SECONDS: Final = 1.0
"""How long a tree may compute, without a birth, a death, a word or a byte, before that is a suspicion of its own."""
SPIN_CPU_NS: Final = 3_000_000_000
"""How long it must really have computed before that counts as confirmed: on a busy machine, time alone is no proof."""
MOVED_BYTES: Final = 2**20
"""By how much the memory of a tree changes that copies something big; less is the noise of allocators."""
SPIN_NICE: Final = 19
SPIN_SHARE: Final = 0.5
"""What a tree that polls stays below, and one that computes without end does not."""

REST_SECONDS: Final = 0.2
"""How long an idle worker is waited for; pools that poll are never at rest: their workers idle between two polls."""

Why = Literal["quiet", "idling", "spinning", "overdue", "livelock", "owner-gone"]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Suspicion:
    """Something does not move, as first seen; times in seconds of CLOCK_MONOTONIC.

    Attributes:
        why: quiet, idling (only what it always does), spinning (computing without a word), overdue, livelock (one job
            started again and again), owner-gone.
        at: since when it is suspected.
        waited: how long it had been waited for by then.
        due: when the first timer beyond the horizon ends, if there is one.
        seen: how many events the history had.
        activity: who was there, and how many bytes they had read and written.
        print: the tree by then; None if there was none.
    """

    why: Why
    at: float
    waited: float
    due: float | None
    seen: int
    print: Fingerprint | None
    activity: tuple[object, int]


def suspected(
    verdict: Verdict, still_seconds: float, busy_share: float, computed_seconds: float
) -> tuple[Why, float | None] | None:
    """Return what is suspected of a tree; None if nothing is.

    Args:
        verdict: how it looks.
        still_seconds: for how long it has said nothing.
        busy_share: for how much of that time it computed, or waited for a processor; 1.0 is one of them.
        computed_seconds: for how long it had a processor in that time; one that had none could not show anything.
    """
    if isinstance(verdict, Quiet):
        return "quiet", None if verdict.due_ns is None else verdict.due_ns / 1e9
    if isinstance(verdict, Idling):
        return "idling", None if verdict.due_ns is None else verdict.due_ns / 1e9
    if isinstance(verdict, Empty):
        return None
    if still_seconds < SPIN_SECONDS:
        return None
    if busy_share < SPIN_SHARE:
        return "idling", None
    return ("spinning", None) if computed_seconds >= SPIN_SHARE * SPIN_SECONDS else None


def confirmed_at(suspicion: Suspicion, deadline: float) -> float:
    """Return when the suspicion counts as confirmed if nothing has moved by then.

    A dead owner, and a job that was started twenty times, cannot become better by waiting. A tree that computes gets
    the time that any one job gets.
    """
    if suspicion.why in ("owner-gone", "livelock"):
        return suspicion.at
    until = suspicion.at + max(PATIENCE * suspicion.waited, LEAST_PARK_SECONDS)
    if suspicion.why == "spinning":
        until = suspicion.at + deadline
    return max(until, (suspicion.due or 0.0) + AFTER_DUE_SECONDS)


class _Stillness:
    """What a tree has done since its history last said something."""

    def __init__(self, rig: Rig, now: float) -> None:
        self._rig = rig
        self._since = now
        self._print: Fingerprint | None = None
        self._activity: tuple[object, int] | None = None
        self._resident = 0

    def seconds(self, now: float) -> float:
        """Return for how long nothing was said, born or lost, and, by one that computes, not one byte moved.

        To copy something big is to move it too, from one memory to another: the fault that makes memory scarce would be
        healed before the pool has met it.
        """
        return now - self._since

    def look(self, now: float) -> tuple[Why, float | None] | None:
        """Look at the tree, and return what is suspected of it."""
        verdict = self._rig.watch.look(len(self._rig.events))
        print_ = self._rig.watch.fingerprint()
        if self._print is None or print_.members != self._print.members:
            self._begin(now, print_)
        assert self._print is not None
        share = (
            (print_.wanted_ns - self._print.wanted_ns) / 1e9 / max(self.seconds(now), LOOK_SECONDS)
        )
        computed = (print_.cpu_ns - self._print.cpu_ns) / 1e9
        found = suspected(verdict, self.seconds(now), share, computed)
        if found is not None and found[0] == "spinning" and self._moved():
            self._begin(now, print_)
            return None
        return found

    def _begin(self, now: float, print_: Fingerprint) -> None:
        self._since, self._print, self._activity = now, print_, _activity(self._rig)
        self._resident = _resident_bytes(self._rig)
        self._rig.census.take()

    def _moved(self) -> bool:
        """Tell whether anybody was born or has died, a byte was read or written, or much memory filled or let go."""
        grown = abs(_resident_bytes(self._rig) - self._resident)
        return self._activity != _activity(self._rig) or grown >= MOVED_BYTES


def _resident_bytes(rig: Rig) -> int:
    return sum(procfs.rss_bytes(pid) or 0 for pid in rig.trial.processes())


def _activity(rig: Rig) -> tuple[object, int]:
    """Return what changes with every birth and death, and with every byte that is read or written."""
    pids = rig.trial.processes()
    return pids, sum(procfs.transferred_bytes(pid) for pid in pids)


class Patience:
    """Waits for one trial."""

    def __init__(self, rig: Rig) -> None:
        self._rig = rig
        self._deadline = rig.plan.target.deadline
        self.suspicion: Suspicion | None = None
        self._niceness: dict[int, int] = {}

    async def settle(self, done: Callable[[], bool], op: str, *, patient: bool = False) -> bool:
        """Wait until `done`, or until something is suspected; then journal it and return False.

        A patient wait gives up only at the deadline: before anything is broken, slow is only slow.
        """
        rig = self._rig
        began = time.monotonic()
        still = _Stillness(rig, began)
        looked = 0.0
        while True:
            now = time.monotonic()
            if rig.absorb():
                still = _Stillness(rig, now)
            if done():
                return True
            found = self._evident(op, now - began)
            if (
                found is None
                and still.seconds(now) > LOOK_SECONDS / 2
                and now - looked >= LOOK_SECONDS
            ):
                looked = now
                found = still.look(now) if not patient else None
                if patient:
                    rig.watch.look(len(rig.events))
            if found is not None:
                waited = now - began if found[0] == "overdue" else still.seconds(now)
                self._suspect(*found, op=op, waited=waited)
                return False
            await asyncio.sleep(TICK_SECONDS)

    async def rest(self) -> None:
        """Wait, a bounded time, until nothing moves: whoever is idle then is idle and not on the way to it."""
        until = time.monotonic() + REST_SECONDS
        while time.monotonic() < until:
            self._rig.absorb()
            if isinstance(self._rig.watch.look(len(self._rig.events)), Quiet | Idling):
                return
            await asyncio.sleep(LOOK_SECONDS)

    def _evident(self, op: str, waited: float) -> tuple[Why, float | None] | None:
        """Return what needs no look at the tree."""
        if op != "owner" and not procfs.alive(self._rig.owner):
            return "owner-gone", None
        if self._rig.livelock() is not None:
            return "livelock", None
        late = waited > self._deadline or self._rig.slots.remaining() <= 0
        return ("overdue", None) if late else None

    def _suspect(self, why: Why, due: float | None, *, op: str, waited: float) -> None:
        if why == "spinning":
            self._niceness = _make_nice(self._rig.trial.processes()) | self._niceness
        self._mark("suspect", op, waited, why=why)
        self._rig.absorb()
        self.suspicion = Suspicion(
            why=why,
            at=time.monotonic(),
            waited=waited,
            due=due,
            seen=len(self._rig.events),
            print=self._rig.watch.fingerprint() if self._rig.watch.members else None,
            activity=_activity(self._rig),
        )

    def _mark(self, kind: str, op: str, waited: float, **data: Any) -> None:
        told = {"waited_ms": round(waited * 1000, 1), "pending": self._rig.pending(), **data}
        self._rig.trial.write(kind, op=op, data=told)

    @property
    def costly(self) -> bool:
        """Whether the last suspicion takes long to confirm: what only follows from it is not worth another wait."""
        return self.suspicion is not None and self.suspicion.why in (
            "idling",
            "spinning",
            "overdue",
        )

    def still_suspects(self) -> bool:
        """Tell whether nothing has come since the last suspicion."""
        self._rig.absorb()
        return self.suspicion is not None and self.suspicion.seen == len(self._rig.events)

    async def park(self, done: Callable[[], bool], op: str) -> bool:
        """Set a suspected tree aside, alive, until it moves or is judged; return whether `done` came true."""
        async with self._rig.slots.parked():
            return await self._park(done, op)

    async def _park(self, done: Callable[[], bool], op: str) -> bool:
        first = self.suspicion
        assert first is not None
        while (suspicion := self.suspicion) is not None:
            await self._wait_parked(done, confirmed_at(suspicion, self._deadline))
            while suspicion.why == "spinning" and not self._computed(suspicion):
                await self._wait_parked(done, time.monotonic() + LEAST_PARK_SECONDS)
            waited = time.monotonic() - first.at + first.waited
            if done():
                break
            if self._rig.slots.remaining() <= 0:
                self._mark("unjudged", op, waited)
                return False
            if self._unmoved(suspicion) or waited > PATIENCE * self._deadline:
                left = self._rig.left() if op == "owner" else self._rig.workers()
                alive = [process.pid for process in left]
                self._mark("judged", op, waited, why=suspicion.why, alive=alive)
                return False
            if await self.settle(done, op):
                break
        if self._niceness:
            _undo_nice(self._rig.trial.processes(), self._niceness)
            self._niceness.clear()
        self._mark("moved", op, time.monotonic() - first.at + first.waited)
        self.suspicion = None
        return True

    async def _wait_parked(self, done: Callable[[], bool], until: float) -> None:
        until = min(until, self._rig.slots.end)
        while not done() and time.monotonic() < until:
            await asyncio.sleep(PARK_TICK_SECONDS)
            self._rig.absorb()

    def _computed(self, suspicion: Suspicion) -> bool:
        """Tell whether a spinning tree had the time to prove that it only spins, or need not any more."""
        rig = self._rig
        print_ = suspicion.print
        if print_ is None or rig.slots.remaining() <= 0 or suspicion.seen != len(rig.events):
            return True
        motion = rig.watch.motion_since(print_)
        return (
            motion is Motion.CHANGED
            or rig.watch.fingerprint().cpu_ns - print_.cpu_ns >= SPIN_CPU_NS
        )

    def _unmoved(self, suspicion: Suspicion) -> bool:
        if suspicion.why in ("owner-gone", "livelock"):
            return True
        if suspicion.print is None:
            return False
        motion = self._rig.watch.motion_since(suspicion.print)
        if suspicion.why == "quiet":
            return motion is Motion.NONE
        if suspicion.why == "spinning" and suspicion.activity != _activity(self._rig):
            return False
        return motion is not Motion.CHANGED and suspicion.seen == len(self._rig.events)


def _make_nice(pids: Iterable[int]) -> dict[int, int]:
    """Let a tree that computes without end have only the time that nobody else wants; return each thread's niceness."""
    before: dict[int, int] = {}
    for tid in _threads(pids):
        with contextlib.suppress(OSError):
            before[tid] = os.getpriority(os.PRIO_PROCESS, tid)
            os.setpriority(os.PRIO_PROCESS, tid, SPIN_NICE)
    return before


def _undo_nice(pids: Iterable[int], before: Mapping[int, int]) -> None:
    """Give a tree its share back; who was born meanwhile gets the greatest share that another had.

    The way back needs privilege (setpriority(2)): without it, a tree that was suspected in error goes on slower.
    """
    for tid in _threads(pids):
        with contextlib.suppress(OSError):
            usual = min(before.values(), default=SPIN_NICE)
            os.setpriority(os.PRIO_PROCESS, tid, before.get(tid, usual))


def _threads(pids: Iterable[int]) -> Iterator[int]:
    for pid in pids:
        with contextlib.suppress(OSError):
            yield from map(int, os.listdir(f"/proc/{pid}/task"))  # noqa: PTH208
