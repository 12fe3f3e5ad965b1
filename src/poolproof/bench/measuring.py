"""A target in a host of its own, measured: start, latency, throughput, scaling, replacement, memory."""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import msgspec

from poolproof import fingerprint
from poolproof.bench.result import BenchResult, Better, Measure
from poolproof.chaos.rig import Rig
from poolproof.errors import TargetError
from poolproof.host import Host
from poolproof.isolation.containment import send_signal
from poolproof.latency import Histogram
from poolproof.load import running
from poolproof.load.mix import Operation
from poolproof.load.result import LoadPlan, LoadResult
from poolproof.plan import Target
from poolproof.watch import procfs
from poolproof.watch.procfs import Identity

IN_FLIGHT: Final = (1, 8, 64)
PAYLOADS: Final = (100, 1_024, 10_240, 102_400)
WORKERS: Final = (1, 2, 4)
PAYLOAD_IN_FLIGHT: Final = 8
REPLACED_SECONDS: Final = 3.0
"""After so long without its replacement a dead worker counts as never replaced."""
_POLL_SECONDS: Final = 0.001

Say = Callable[[str], None]
Keep = Callable[[BenchResult], None]


def keep_nothing(_result: BenchResult) -> None:
    """Let what was measured until a benchmark was cancelled go."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How much is measured.

    Attributes:
        target: what.
        run, directory: the run's own name and place.
        rounds: how many samples of each measure there are.
        seconds: how long one sample of throughput takes.
    """

    target: Target
    run: str
    directory: Path
    rounds: int = 15
    seconds: float = 0.2


@dataclass(slots=True)
class _Found:
    """Samples as they come, each with the calibration beside it."""

    samples: dict[str, list[float]] = field(default_factory=dict[str, list[float]])
    calibration: dict[str, list[float]] = field(default_factory=dict[str, list[float]])
    about: dict[str, tuple[str, Better]] = field(default_factory=dict[str, tuple[str, Better]])
    failures: dict[str, str] = field(default_factory=dict[str, str])
    histogram: Histogram = field(default_factory=Histogram)

    def add(self, name: str, value: float, unit: str, better: Better) -> None:
        """Take one sample, and a calibration now."""
        self.about[name] = (unit, better)
        self.samples.setdefault(name, []).append(value)
        self.calibration.setdefault(name, []).append(fingerprint.calibrate())

    def measures(self) -> tuple[Measure, ...]:
        """Return all of them."""
        return tuple(
            Measure(
                name=name,
                unit=unit,
                better=better,
                samples=tuple(self.samples[name]),
                calibration=tuple(self.calibration[name]),
            )
            for name, (unit, better) in self.about.items()
        )


async def bench(options: Options, say: Say, keep: Keep = keep_nothing) -> BenchResult:
    """Measure a target; what cannot be measured is told, with the reason, and the rest goes on.

    Args:
        options: what is measured, and how much of it.
        say: told how far it is.
        keep: given what there is by then, where it is cancelled.

    Raises:
        TargetError: it could not be found or started.
    """
    found, before = _Found(), os.getloadavg()[0]
    try:
        await _measure(options, found, say)
    except asyncio.CancelledError:
        found.failures["the rest"] = "it was interrupted"
        keep(_result(options, found, before))
        raise
    return _result(options, found, before)


async def _measure(options: Options, found: _Found, say: Say) -> None:
    say("start, latency, throughput, payload, memory")
    async with _started(options, options.target.workers, "main") as rig:
        await _measure_running(rig, options, found)
    say("workers")
    for workers in WORKERS:
        async with _started(options, workers, f"workers-{workers}") as rig:
            for _ in range(options.rounds):
                await _throughput(
                    rig, options, found, 64, name=f"throughput, 64 in flight, {workers} workers"
                )
    say("death to replacement")
    await _replacements(options, found)


def _result(options: Options, found: _Found, load_before: float) -> BenchResult:
    return BenchResult(
        target=options.target.name,
        measures=found.measures(),
        latency=found.histogram.summary(),
        failures=found.failures,
        fingerprint=fingerprint.take(options.target.python),
        load_before=load_before,
        load_after=os.getloadavg()[0],
    )


@contextlib.asynccontextmanager
async def _started(options: Options, workers: int, name: str) -> AsyncGenerator[Rig]:
    target = msgspec.structs.replace(options.target, workers=workers)
    directory = options.directory / name
    directory.mkdir()
    async with (
        Host(target, run=options.run, directory=directory) as host,
        running.opened(host, target, directory / "trial") as rig,
    ):
        yield rig
        await running.stop(rig)


async def _measure_running(rig: Rig, options: Options, found: _Found) -> None:
    _start_up(rig, found)
    for number in range(options.rounds):
        for in_flight in IN_FLIGHT:
            result = await _throughput(rig, options, found, in_flight)
            if in_flight == 1 and result is not None:
                _add_latency(found, result)
        if rig.style != "own":
            for size in PAYLOADS:
                await _throughput(
                    rig,
                    options,
                    found,
                    PAYLOAD_IN_FLIGHT,
                    payload=size,
                    name=f"throughput, {PAYLOAD_IN_FLIGHT} in flight, {size} B",
                )
        if number == options.rounds - 1:
            _memory(rig, found)
    await _start_again(rig, options, found)


async def _start_again(rig: Rig, options: Options, found: _Found) -> None:
    """Let the pool live again and again in one process, for more samples of its start."""
    for _ in range(options.rounds - 1):
        await running.stop(rig)
        if rig.over("stop") is None:
            found.failures["start-up, again"] = "its shutdown did not end"
            return
        rig.forget("start", "stop")
        await running.start(rig)
        _start_up(rig, found)


def _start_up(rig: Rig, found: _Found) -> None:
    events = [event for event in rig.events if event.op == "start"]
    begun, told = events[-2:]
    found.add("start-up", (told.t - begun.t) / 1e9, "s", "less")


def _add_latency(found: _Found, result: LoadResult) -> None:
    """Keep the median of each round as a sample, and the whole distribution by merging."""
    found.add("latency p50, 1 in flight", result.latency.p50 / 1e3, "s", "less")
    found.add("latency p99, 1 in flight", result.latency.p99 / 1e3, "s", "less")


async def _throughput(
    rig: Rig,
    options: Options,
    found: _Found,
    in_flight: int,
    *,
    payload: int = 100,
    name: str | None = None,
) -> LoadResult | None:
    """Take one sample of a closed loop's throughput."""
    name = name or f"throughput, {in_flight} in flight"
    if name in found.failures:
        return None
    mix = () if rig.style == "own" else (Operation(name="echo", argument=payload),)
    plan = LoadPlan(
        target=rig.plan.target, seconds=options.seconds, clients=in_flight, mix=mix, drain=10.0
    )
    load = running.Load(rig, plan, running.show_nobody)
    result = await load.run()
    if not result.answered or result.failed:
        found.failures[name] = ", ".join(result.errors) or "nothing was answered"
        return None
    found.add(name, result.answered / options.seconds, "/s", "more")
    if in_flight == 1 and payload == PAYLOADS[0]:
        found.histogram.add(load.latencies)
    return result


def _memory(rig: Rig, found: _Found) -> None:
    for worker in rig.workers():
        rss = procfs.rss_bytes(worker.pid)
        if rss:
            found.add("resident memory of a worker", rss / 1e6, "MB", "less")
        proportional = _pss_bytes(worker.pid)
        if proportional:
            found.add("proportional memory of a worker", proportional / 1e6, "MB", "less")


def _pss_bytes(pid: int) -> int | None:
    """Return the memory of a process, each shared page counted as its share; None where that cannot be read."""
    with contextlib.suppress(OSError), Path(f"/proc/{pid}/smaps_rollup").open("rb") as file:
        for line in file:
            if line.startswith(b"Pss:"):
                return int(line.split()[1]) * 1024
    return None


async def _replacements(options: Options, found: _Found) -> None:
    """Kill the only worker, and time until a job is done by its replacement."""
    name = "death to replacement"
    try:
        async with _started(options, 1, "death") as rig:
            for _ in range(2 * options.rounds):
                took = await _replaced(rig)
                if took is None:
                    found.failures[name] = f"never, within {REPLACED_SECONDS:g} s"
                    return
                found.add(name, took, "s", "less")
    except TargetError as error:
        found.failures[name] = str(error)


async def _replaced(rig: Rig) -> float | None:
    victims = rig.workers()
    if not victims:
        raise TargetError("its workers are no processes that can be told")
    began = time.monotonic_ns()
    send_signal(victims[0], signal.SIGKILL)
    deadline = time.monotonic() + REPLACED_SECONDS
    while time.monotonic() < deadline:
        jobs = rig.submit(1, "fresh")
        done = await _answered_elsewhere(rig, jobs, victims[0], deadline)
        if done is not None:
            return (done - began) / 1e9
    return None


async def _answered_elsewhere(
    rig: Rig, jobs: tuple[int, ...], victim: Identity, deadline: float
) -> int | None:
    """Wait for a job's end; return when, if it was done, and not by the victim."""
    while not rig.resolved(jobs) and time.monotonic() < deadline:
        rig.absorb()
        await asyncio.sleep(_POLL_SECONDS / 2)
    runner = rig.runner(jobs[0])
    if runner is not None and runner == victim:
        return None
    return next(
        (e.t for e in rig.events if e.op == "job" and e.job in jobs and e.kind == "ok"), None
    )
