"""One plan, played from start to end: warm-up, faulted jobs beside bystanders, heal, fresh jobs, shutdown."""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path
from typing import Final

import msgspec

from poolproof.chaos.nemesis import Nemesis
from poolproof.chaos.patience import Patience
from poolproof.chaos.rig import Rig
from poolproof.chaos.slots import Slots
from poolproof.history import Event
from poolproof.host import Host
from poolproof.plan import Plan
from poolproof.watch import procfs

GATE: Final = "gate"
LEAVE_SECONDS: Final = 1.0
STRIKE_SECONDS: Final = 0.5
SETTLE_SECONDS: Final = 3.0
"""How long what the pool holds may take to go after shutdown, before it counts as left behind."""
CAPACITY_LOOK_SECONDS: Final = 0.01
STORM_JOBS: Final = 8
NOBODYS_JOB: Final = 0
"""No job has this number: its hand-over takes place, and nothing is cancelled."""
PROBE_FILES: Final = 16
"""More than the descriptors that the owner may have closed between the measure of its limit and the limit."""

Clean = Callable[[tuple[Event, ...]], bool]


async def play(
    host: Host,
    plan: Plan,
    directory: Path,
    slots: Slots,
    *,
    style: str = "plain",
    clean: Clean | None = None,
    urgent: bool = False,
) -> tuple[Event, ...]:
    """Play the plan in a trial of its own and return its history; nothing of the trial outlives the call.

    The history is empty if time was over before it could begin.

    Args:
        host: where the trial is forked from.
        plan: what is played.
        directory: a new directory for the trial; its `history.jsonl` stays there.
        slots: the places that running and parked trials share.
        style: "plain" or "coroutine": the kind of function that the pool takes as a job.
        clean: tells whether a sample after shutdown shows nothing left; asked again while it does not.
        urgent: whether it goes before those that wait for a place and are not.
    """
    async with contextlib.AsyncExitStack() as stack:
        await stack.enter_async_context(slots.running(urgent=urgent))
        if slots.remaining() <= 0:
            return ()
        rig = await stack.enter_async_context(_opened(host, plan, directory, slots, style))
        await (_Crash(rig) if plan.point else _Trial(rig)).run(clean)
        rig.absorb()
        return tuple(rig.events)


@contextlib.asynccontextmanager
async def _opened(
    host: Host, plan: Plan, directory: Path, slots: Slots, style: str
) -> AsyncGenerator[Rig]:
    rig = Rig(host, plan, directory, slots, style=style)
    try:
        await rig.open()
        yield rig
    finally:
        await rig.close()


class _Trial:
    """The phases of a plan with faults, or with none."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.plan = rig.plan
        self.nemesis = Nemesis(rig)
        self.patience = Patience(rig)
        self.crew = 0

    async def run(self, clean: Clean | None) -> None:
        rig = self.rig
        for life in range(self.plan.lives):
            if life == self.plan.lives - 1:
                rig.command("sample", label="before")
            if not await self.warm_up():
                return
            if life < self.plan.lives - 1:
                rig.command("stop")
                rig.forget("stop")
                if not await self.patience.settle(lambda: rig.over("stop") is not None, "stop"):
                    return
                rig.forget("start", "stop")
        moment = self.nemesis.applied[0].fault.moment if self.nemesis.applied else "none"
        await MOMENTS[moment](self)
        if moment == "owner":
            return
        await self.nemesis.heal()
        if moment == "stop":
            await self.patience.rest()  # healed, a shutdown may end only now
        else:
            await self.ask_fresh()
            await self.judge_jobs()
            await self.await_capacity()
            await self.stop()
        await self.leave(clean)

    async def warm_up(self) -> bool:
        """Reach the steady state that must be there before anything is broken."""
        rig = self.rig
        rig.mark("warmup")
        rig.command("start")
        if not await self.patience.settle(
            lambda: rig.over("start") is not None, "start", patient=True
        ):
            return False
        if (told := rig.over("start")) is None or told.kind == "fail":
            return False
        rig.adopt_style()
        jobs = rig.submit(self.plan.warmup, "warmup")
        steady = await self.patience.settle(
            lambda: rig.resolved(jobs), "job", patient=bool(self.plan.faults)
        )
        workers = [worker.pid for worker in rig.workers()]
        self.crew = len(workers)
        rig.mark("faulted", style=rig.style, workers=workers)
        return steady or not self.plan.faults

    async def ask_fresh(self) -> None:
        """Ask the healed pool for new jobs, as many at once as it has workers and more."""
        self.rig.mark("fresh")
        fresh = self.rig.submit(self.plan.fresh, "fresh")
        await self.patience.settle(lambda: self.rig.resolved(fresh), "job")

    async def judge_jobs(self) -> None:
        """Wait for every caller, and where one waits in vain, until that is certain."""
        rig = self.rig

        def done() -> bool:
            return not rig.pending()

        if not done() and (
            self.patience.still_suspects() or not await self.patience.settle(done, "job")
        ):
            await self.patience.park(done, "job")

    async def await_capacity(self) -> None:
        """Where it is promised that the lost are replaced within some seconds, give the pool those."""
        until = time.monotonic() + self.plan.target.promises.get("capacity", 0.0)
        while time.monotonic() < until and len(self.rig.workers()) < self.crew:
            self.rig.absorb()
            await asyncio.sleep(CAPACITY_LOOK_SECONDS)

    async def stop(self) -> None:
        """Shut the pool down; when that does not end, wait until it is certain that it will not.

        A pool that computes or polls for ever instead of answering is not asked: its shutdown would tell nothing new.
        """
        rig = self.rig
        if rig.pending() and self.patience.costly:
            return
        rig.mark("stop")
        rig.command("stop")
        await self.await_stop()

    async def await_stop(self) -> None:
        rig = self.rig

        def stopped() -> bool:
            return rig.over("stop") is not None

        if not await self.patience.settle(stopped, "stop"):
            await self.patience.park(stopped, "stop")

    async def leave(self, clean: Clean | None) -> None:
        """Sample what is left after shutdown, again while it goes, and let the owner end."""
        rig = self.rig
        if rig.over("stop") is None:
            return
        deadline = time.monotonic() + SETTLE_SECONDS
        pause = 0.001
        while await self.sampled():
            if clean is None or clean(tuple(rig.events)) or time.monotonic() > deadline:
                break
            await asyncio.sleep(pause)
            pause = min(pause * 2, 0.1)
        rig.mark("end")
        rig.command("exit")
        deadline = time.monotonic() + LEAVE_SECONDS
        while procfs.alive(rig.owner) and time.monotonic() < deadline:  # noqa: ASYNC110 - /proc rings no bell
            await asyncio.sleep(0.001)

    async def sampled(self) -> bool:
        """Have the owner say once more what it holds; return False if it does not answer."""
        rig = self.rig
        before = rig.samples("after")
        rig.command("sample", label="after")
        return await self.patience.settle(
            lambda: rig.samples("after") > before, "sample", patient=True
        )

    # The moments: when the fault happens, and what is in flight then.

    async def unharmed(self) -> None:
        await self.ask_together()

    async def ask_together(self) -> None:
        """Submit the faulted jobs and their bystanders, and wait for their outcome."""
        rig = self.rig
        body, size = self._body()
        more = {"size": size} if size else {}
        fault = self.nemesis.applied[0].fault if self.nemesis.applied else None
        if fault is not None and size and not fault.starves:
            rig.faulted = await self._on_every_worker(body, size)
        else:
            rig.faulted = rig.submit(self.plan.jobs, "faulted", body, **more)
        bystanders = rig.submit(self.plan.bystanders, "bystander")
        await self.patience.settle(lambda: rig.resolved(rig.faulted + bystanders), "job")

    async def _on_every_worker(self, body: str, size: int) -> tuple[int, ...]:
        """Have each worker take a faulted job before any of them goes on, so that one comes to a worker that is hit."""
        rig, width = self.rig, self.plan.target.workers
        gate = rig.trial.close_gate(GATE)
        jobs = rig.submit(max(self.plan.jobs, 2 * width), "faulted", body, size=size, gate=gate)
        await self.patience.settle(lambda: sum(rig.started([job]) for job in jobs) >= width, "job")
        rig.trial.open_gate(GATE)
        return jobs

    def _body(self) -> tuple[str, int]:
        if self.rig.style == "own":
            return "own", 0
        faults = [applied.fault for applied in self.nemesis.applied]
        return (faults[0].body, faults[0].size) if faults and not self.plan.null else ("echo", 0)

    async def idle(self) -> None:
        size = self.nemesis.applied[0].fault.size
        self.have_callers()
        await self.patience.rest()
        # The receipt of scarcity is a refusal, which only comes when something is asked for.
        await self.nemesis.inject(receipt_seconds=0 if size else None)
        if size:
            self.rig.command("probe", size=size, files=PROBE_FILES)
        await self.ask_together()
        await self.nemesis.receive_late()
        self.rig.command("release")

    def have_callers(self) -> None:
        """Have the owner start now what it may be unable to start during the fault: threads that wait for jobs."""
        if self.nemesis.applied[0].fault.starves:
            plan = self.plan
            self.rig.command("reserve", count=plan.jobs + plan.bystanders + plan.fresh)

    async def busy(self) -> None:
        rig = self.rig
        self.have_callers()
        await self._occupy()
        await self.nemesis.inject()
        # Else another worker may take all queued jobs before the pool has seen what happened.
        await self.patience.rest()
        rig.trial.open_gates()
        await self.patience.settle(lambda: not rig.pending(), "job")
        await self.nemesis.receive_late()

    async def _occupy(self) -> tuple[int, ...]:
        """Have the faulted jobs, and bystanders up to the number of workers, run and wait at the gate."""
        rig, width = self.rig, self.plan.target.workers
        if (
            rig.style == "own"
        ):  # no gate in a job that is not ours: what it runs when it is hit, nobody knows
            rig.faulted = rig.submit(self.plan.jobs + self.plan.bystanders, "faulted")
            await self.patience.settle(lambda: rig.accepted(rig.faulted), "job")
            return rig.faulted
        gate = rig.trial.close_gate(GATE)
        rig.faulted = rig.submit(min(self.plan.jobs, width), "faulted", gate=gate)
        beside = rig.submit(
            min(self.plan.bystanders, width - len(rig.faulted)), "bystander", gate=gate
        )
        await self.patience.settle(lambda: rig.started(rig.faulted + beside), "job")
        queued = rig.submit(self.plan.bystanders - len(beside), "bystander")
        await self.patience.settle(lambda: rig.accepted(queued), "job")
        return rig.faulted + beside

    async def job(self) -> None:
        rig = self.rig
        gate = rig.trial.close_gate(GATE)
        beside = rig.submit(
            min(self.plan.bystanders, self.plan.target.workers - 1), "bystander", gate=gate
        )
        await self.patience.settle(lambda: rig.started(beside), "job")
        await self.nemesis.inject(receipt_seconds=0)
        body, _ = self._body()
        if (
            body == "callback"
        ):  # a job that is over before its callback is known tells another story
            late = rig.trial.close_gate("callback")
            rig.faulted = rig.submit(self.plan.jobs, "faulted", body, gate=late)
            await self.patience.settle(lambda: rig.accepted(rig.faulted), "job")
            rig.trial.open_gate("callback")
        else:
            rig.faulted = rig.submit(self.plan.jobs, "faulted", body)
        queued = rig.submit(self.plan.bystanders - len(beside), "bystander")
        await self.patience.settle(lambda: rig.resolved(rig.faulted + queued), "job")
        rig.trial.open_gates()
        await self.patience.settle(lambda: not rig.pending(), "job")
        await self.nemesis.receive_late()

    async def frozen(self) -> None:
        rig = self.rig
        if "busy" in self.nemesis.applied[0].spec.kind:
            gate = rig.trial.close_gate(GATE)
            rig.faulted = rig.submit(self.plan.jobs, "faulted", gate=gate)
            await self.patience.settle(lambda: rig.started(rig.faulted), "job")
        await self.patience.rest()
        await self.nemesis.inject()
        beside = rig.submit(self.plan.bystanders, "bystander")
        if not await self.patience.settle(lambda: rig.resolved(beside), "frozen") and not any(
            rig.resolved([job]) for job in beside
        ):
            await self.patience.park(lambda: any(rig.resolved([job]) for job in beside), "frozen")
        rig.trial.open_gates()

    async def shutdown(self) -> None:
        rig = self.rig
        busy = self.nemesis.applied[0].spec.kind == "shutdown-busy"
        if busy and not self.plan.null:
            await self._occupy()
            rig.command("stop")
            await self.patience.settle(rig.stopping, "stop")
            await self.nemesis.inject(receipt_seconds=0.1)
        else:
            await self.patience.rest()
            await self.nemesis.inject()
            rig.command("stop")
        rig.trial.open_gates()
        await self.judge_jobs()
        await self.await_stop()

    async def storm(self) -> None:
        rig = self.rig
        await self._occupy()
        rig.faulted += rig.submit(STORM_JOBS, "faulted")
        await self.patience.settle(lambda: rig.accepted(rig.faulted), "job")
        await self.nemesis.inject()
        rig.trial.open_gates()
        await self.patience.settle(lambda: not rig.pending(), "job")
        await self.nemesis.receive_late()

    async def owner(self) -> None:
        rig = self.rig
        if self.nemesis.applied[0].spec.victim == "busy":
            await self._occupy()
        await self.nemesis.inject()
        rig.trial.open_gates()

        def nobody() -> bool:
            return not rig.left()

        if await self.patience.settle(nobody, "owner") or await self.patience.park(nobody, "owner"):
            rig.mark("end")

    async def handover(self) -> None:
        rig = self.rig
        gate = f"loop:{rig.directory.name}"
        running = rig.submit(self.plan.target.workers, "bystander", gate=gate)
        await self.patience.settle(lambda: rig.started(running), "job")
        rig.faulted = rig.submit(1, "faulted")
        waiting = rig.submit(self.plan.bystanders, "bystander")
        await self.patience.settle(lambda: rig.accepted(rig.faulted + waiting), "job")
        await self.nemesis.inject(receipt_seconds=0)
        turn = self.nemesis.applied[0].spec.victim.partition(":")[2]
        job = rig.faulted[0] if not self.plan.null else NOBODYS_JOB
        rig.command("handover", gate=gate, job=job, turns=int(turn) if turn else None)
        await self.patience.settle(lambda: not rig.pending(), "job")
        await self.nemesis.receive(STRIKE_SECONDS)


MOMENTS: dict[str, Callable[[_Trial], Awaitable[None]]] = {
    "none": _Trial.unharmed,
    "idle": _Trial.idle,
    "busy": _Trial.busy,
    "job": _Trial.job,
    "frozen": _Trial.frozen,
    "stop": _Trial.shutdown,
    "storm": _Trial.storm,
    "owner": _Trial.owner,
    "handover": _Trial.handover,
}


class _Crash(_Trial):
    """The phases of a plan with a crash point: it is armed from the first worker's birth on."""

    async def run(self, clean: Clean | None) -> None:
        rig = self.rig
        rig.command("sample", label="before")
        rig.mark("faulted")
        rig.command("start")

        def began() -> bool:
            return rig.over("start") is not None

        if not await self.patience.settle(began, "start") and not await self.patience.park(
            began, "start"
        ):
            return
        if (told := rig.over("start")) is not None and told.kind == "fail":
            self.witness()
            return
        rig.faulted = rig.submit(self.plan.jobs, "faulted")
        failing = rig.submit(1, "faulted", "fail") if rig.style != "own" else ()
        beside = rig.submit(self.plan.bystanders, "bystander")
        await self.patience.settle(lambda: rig.resolved(rig.faulted + failing + beside), "job")
        self.witness()
        await self.ask_fresh()
        await self.judge_jobs()
        await self.stop()
        self.witness()
        await self.leave(clean)

    def witness(self) -> None:
        """Write the receipt of the strike, as /proc shows it from outside."""
        rig = self.rig
        rig.absorb()
        if rig.plan.null or rig.received:
            return
        for event in rig.events:
            if event.kind == "strike":
                victim = procfs.Identity(event.pid, int(event.data["born"]))
                if (text := _strike_evidence(victim, str(event.data["effect"]))) is not None:
                    rig.received = True
                    rig.trial.write("receipt", data={"fault": "point", "evidence": text})


def _strike_evidence(victim: procfs.Identity, effect: str) -> str | None:
    alive = procfs.alive(victim)
    if effect == "kill":
        return None if alive else f"process {victim.pid} (born {victim.born}) is gone from /proc"
    return (
        f"process {victim.pid} (born {victim.born}) {'lives on' if alive else 'is gone from /proc'}"
    )


def write_points(directory: Path, points: dict[str, object] | None) -> None:
    """Make the trial's directory, and tell its workers, before they are born, what to record or where to strike."""
    directory.mkdir(parents=True)
    if points is None:
        return
    (directory / "points.json").write_bytes(msgspec.json.encode(points))
