"""One load, played against a target in a host of its own: the thin shell around schedule, tally and recovery."""

import asyncio
import contextlib
import os
import time
from array import array
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from random import Random
from typing import Any, Final

import msgspec

from poolproof.chaos.rig import Rig
from poolproof.chaos.slots import Slots
from poolproof.errors import TargetError, UsageError
from poolproof.history import Event
from poolproof.host import Host
from poolproof.latency import Histogram
from poolproof.load import judging, mix, schedule
from poolproof.load.judging import Observed
from poolproof.load.result import LoadPlan, LoadResult, Snapshot
from poolproof.load.sampling import Sampler
from poolproof.load.striking import Struck, strike_at_times
from poolproof.load.tally import Tally
from poolproof.plan import Plan, Target

TICK_SECONDS: Final = 0.02
SHOW_SECONDS: Final = 0.5
WARMUP_PER_WORKER: Final = 2
STOP_SECONDS: Final = 5.0
_ROW_BYTES: Final = 32
MOST_SESSIONS: Final = 1 << 31

INTERRUPT_SECONDS: Final = 2.0
"""How long a cancelled load waits for its generator's last rows."""

Watch = Callable[[Snapshot], None]
Keep = Callable[[LoadResult], None]


def keep_nothing(_result: LoadResult) -> None:
    """Let what was measured until a load was cancelled go."""


def show_nobody(_snapshot: Snapshot) -> None:
    """Show nothing."""


async def play(
    host: Host,
    plan: LoadPlan,
    directory: Path,
    watch: Watch = show_nobody,
    keep: Keep = keep_nothing,
) -> LoadResult:
    """Play one load in a trial of its own; nothing of it outlives the call.

    Args:
        host: where the target's trial is forked from.
        plan: what is asked.
        directory: does not exist yet; what the trial leaves is there.
        watch: shown how it goes, twice a second.
        keep: given what was measured, which is void, where the load is cancelled.

    Raises:
        TargetError: the target could not be built or started, or does not take what is asked.
    """
    async with opened(host, plan.target, directory) as rig:
        result = await Load(rig, plan, watch, keep).run()
        await stop(rig)
        return result


@contextlib.asynccontextmanager
async def opened(host: Host, target: Target, directory: Path) -> AsyncGenerator[Rig]:
    """Have a started and warm pool, and its rig, for the length of a block.

    Raises:
        TargetError: the pool does not start, or does not do its first jobs.
    """
    slots = Slots(running=1, parked=1, end=float("inf"))
    rig = Rig(host, Plan(target=target), directory, slots, style="auto")
    try:
        await rig.open()
        await start(rig)
        await _warm(rig)
        yield rig
    finally:
        await rig.close()


async def until(rig: Rig, fact: Callable[[], bool], seconds: float, what: str) -> None:
    """Wait for a fact of a trial.

    Raises:
        TargetError: it is none within `seconds`, or the owner is gone.
    """
    deadline = time.monotonic() + seconds
    while not fact():
        rig.absorb()
        if time.monotonic() > deadline:
            raise TargetError(
                f"expected {what} of {rig.plan.target.name} within {seconds:g} s, got none"
            )
        await asyncio.sleep(TICK_SECONDS / 10)


async def start(rig: Rig) -> None:
    """Start the pool of an open trial.

    Raises:
        TargetError: it does not start in time.
    """
    rig.command("start")
    await until(rig, lambda: rig.over("start") is not None, rig.plan.target.deadline, "a start")
    told = rig.over("start")
    assert told is not None
    if told.kind == "fail":
        raise TargetError(
            f"expected {rig.plan.target.name} to start, got {told.error}: {told.message}"
        )


async def _warm(rig: Rig) -> None:
    """Have the first jobs done: by functions, and where a pool takes none, by coroutine functions."""
    rig.adopt_style()
    told = rig.over("start")
    assert told is not None
    styles = ("plain", "coroutine") if told.data.get("style") == "unknown" else (rig.style,)
    failures: list[Event] = []
    for style in ("own",) if rig.style == "own" else styles:
        rig.style = style
        failures = await _first_failures(rig)
        if not failures:
            return
    raise TargetError(
        f"expected the first jobs to be done, got {failures[0].error}: {failures[0].message}"
    )


async def _first_failures(rig: Rig) -> list[Event]:
    jobs = rig.submit(WARMUP_PER_WORKER * rig.plan.target.workers, "warmup")
    await until(rig, lambda: rig.resolved(jobs), rig.plan.target.deadline, "its first jobs")
    return [event for event in rig.events if event.job in jobs and event.kind in ("fail", "info")]


async def stop(rig: Rig) -> None:
    """Shut the pool down as its users would; one that takes longer than a few seconds is ended with its trial."""
    rig.command("stop")
    with contextlib.suppress(TargetError):
        await until(rig, lambda: rig.over("stop") is not None, STOP_SECONDS, "a shutdown")


class Load:
    """One load while it runs; several may run one after the other on one rig."""

    def __init__(self, rig: Rig, plan: LoadPlan, watch: Watch, keep: Keep = keep_nothing) -> None:
        self._rig, self._watch, self._keep = rig, watch, keep
        self.plan = msgspec.structs.replace(plan, mix=_mix(plan, rig.style))
        self._struck: list[Struck] = []
        self._sampler = Sampler(rig)
        self._aborted = self._interrupted = False
        self._first_event = len(rig.events)

    async def run(self) -> LoadResult:
        """Play it to its end, and judge it."""
        before = os.getloadavg()[0]
        times = self._lay_out()
        self._rig.command("load", **self._command())
        begun = await self._event("invoke", self._rig.plan.target.deadline)
        self._zero: int = begun.data["zero"]
        self._tally = Tally(times, self._zero)
        striking = asyncio.create_task(
            strike_at_times(self._rig, self.plan.strikes, self._zero, self._struck)
        )
        try:
            over = await self._follow()
        except asyncio.CancelledError:
            self._interrupted = True
            over = await self._cut_short()
            self._read_rows()
            self._keep(judging.result(self._observed(begun, over, before)))
            raise
        finally:
            striking.cancel()
            await asyncio.gather(striking, return_exceptions=True)
        self._read_rows()
        return judging.result(self._observed(begun, over, before))

    @property
    def latencies(self) -> Histogram:
        """The whole distribution, to be merged with those of others."""
        return self._tally.latencies

    def _lay_out(self) -> "array[int] | None":
        """Write what the generator reads; return when each arrival is due, or None in a closed load."""
        plan = self.plan
        self._directory = self._rig.trial.directory / f"load-{self._first_event}"
        self._directory.mkdir()
        times = None
        if not plan.clients:
            times = schedule.arrivals(
                plan.shape,
                plan.rate,
                plan.seconds,
                plan.seed,
                rise=plan.rise,
                spacing=plan.spacing,
            )
            if not times:
                raise UsageError("expected a load with an arrival, got none; raise rate or time")
        count = len(times) if times else 1 << 16
        rng = Random(plan.seed ^ 0x736573)  # noqa: S311 - chance, no secret
        sessions = array(
            "I", [rng.randrange(plan.sessions) for _ in range(count)] if plan.sessions else []
        )
        self._write("times", times or array("q"))
        self._write("kinds", mix.draw(plan.mix, count, plan.seed))
        self._write("sessions", sessions)
        return times

    def _write(self, name: str, numbers: "array[int]") -> None:
        (self._directory / name).write_bytes(numbers.tobytes())

    def _command(self) -> dict[str, Any]:
        plan = self.plan
        command = {
            "directory": str(self._directory),
            "operations": [(one.name, one.argument) for one in plan.mix],
            "drain": plan.drain,
            "style": "coroutine" if self._rig.style == "coroutine" else "plain",
        }
        return command | (
            {"clients": plan.clients, "seconds": plan.seconds} if plan.clients else {}
        )

    async def _event(self, kind: str, seconds: float) -> Event:
        await until(self._rig, lambda: self._told(kind, "fail") is not None, seconds, "a load")
        event = self._told(kind, "fail")
        assert event is not None
        if event.kind == "fail":
            raise TargetError(f"{event.message}")
        return event

    def _told(self, *kinds: str) -> Event | None:
        told = self._rig.events[self._first_event :]
        return next((e for e in told if e.op == "load" and e.kind in kinds), None)

    async def _follow(self) -> Event | None:
        """Read rows and look at the workers until the generator has ended; None if it does not end in time."""
        last = self._zero / 1e9 + self.plan.seconds + self.plan.drain + STOP_SECONDS
        shown = 0.0
        while (over := self._told("ok", "fail")) is None and time.monotonic() < last:
            await asyncio.sleep(TICK_SECONDS)
            self._rig.absorb()
            self._sampler.look_if_due(eager=bool(self._struck))
            if time.monotonic() - shown >= SHOW_SECONDS:
                shown = time.monotonic()
                self._read_rows()
                self._watch(self._snapshot())
                self._abort_if_broken()
        return over

    async def _cut_short(self) -> Event | None:
        """Have the generator write what it has; None if it does not end soon."""
        self._rig.command("unload")
        with contextlib.suppress(TargetError):
            return await self._event("ok", INTERRUPT_SECONDS)
        return None

    def _abort_if_broken(self) -> None:
        if self.plan.abort and not self._aborted and self._tally.zero < time.monotonic_ns():
            planned = self._tally.planned or self.plan.rate * self.plan.seconds
            if judging.certainly_broken(self.plan.slo, self._tally, planned):
                self._aborted = True
                self._rig.command("unload")

    def _read_rows(self) -> None:
        path = self._directory / "rows"
        if not path.exists():
            return
        with path.open("rb") as file:
            file.seek(self._tally.bytes_taken)
            chunk = file.read()
        whole = len(chunk) - len(chunk) % _ROW_BYTES
        self._tally.take(array("q", chunk[:whole]))
        self._tally.bytes_taken += whole

    def _snapshot(self) -> Snapshot:
        now = (time.monotonic_ns() - self._zero) / 1e9
        lasting = (one.strike for one in self._struck if one.strike.lasts and one.healed is None)
        struck = ", ".join(strike.kind for strike in lasting)
        return judging.snapshot(self._tally, now, self._sampler, struck)

    def _observed(self, begun: Event, over: Event | None, load_before: float) -> Observed:
        names = {
            int(e.data["load_error"]): str(e.data["name"])
            for e in self._rig.events
            if e.kind == "note" and "load_error" in e.data
        }
        return Observed(
            plan=self.plan,
            tally=self._tally,
            sampler=self._sampler,
            struck=tuple(self._struck),
            over=over,
            names=names,
            overhead_ns=int(begun.data["overhead_ns"]),
            load_before=load_before,
            aborted=self._aborted,
            interrupted=self._interrupted,
        )


def _mix(plan: LoadPlan, style: str) -> tuple[mix.Operation, ...]:
    own = (mix.Operation(name="own"),)
    if not plan.mix:
        return own if style == "own" else (mix.Operation(name="echo", argument=100),)
    if style == "own" and {one.name for one in plan.mix} != {"own"}:
        raise TargetError(
            f"expected no --mix, or own: the workers of {plan.target.name} take only jobs of their own"
        )
    return plan.mix
