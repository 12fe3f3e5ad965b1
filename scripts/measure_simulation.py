"""Measures simulated seconds a second: the same jobs on our loop, our pool, and the loops of others.

    python scripts/measure_simulation.py [--seconds 300] [--rounds 3] [LOOP ...]

The work: 1,000 jobs a second, 5 ms each, on 16 actors with a queue each. A line of JSON for each sample; the
loops take turns, so that all meet the same machine. `others` is how many cores other processes kept busy meanwhile:
a wall time beside a busy machine says little, the processor time says more.
"""

import argparse
import asyncio
import json
import os
import selectors
import tempfile
import time
from collections import deque
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from poolproof.simulation import SimulationLoop

JOBS_A_SECOND = 1000
JOB_SECONDS = 0.005
ACTORS = 16
# What a peer would take too long for; its share of a second is the same.
MOST_SECONDS = {"looptime": 10.0, "simloop": 20.0}


class Actor:
    """A queue, a task that serves it, and a future for each answer."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.queue: deque[asyncio.Future[int]] = deque()
        self.waiter: asyncio.Future[None] | None = None
        self.task = self.loop.create_task(self.serve())

    def submit(self) -> "asyncio.Future[int]":
        """Return the future of a new job."""
        job: asyncio.Future[int] = self.loop.create_future()
        self.queue.append(job)
        if self.waiter is not None and not self.waiter.done():
            self.waiter.set_result(None)
        return job

    async def serve(self) -> None:
        """Do one job after the other."""
        while True:
            while not self.queue:
                self.waiter = self.loop.create_future()
                await self.waiter
            await asyncio.sleep(JOB_SECONDS)
            self.queue.popleft().set_result(1)


async def arrive(jobs: int, submit: Callable[[int], "asyncio.Future[Any]"]) -> None:
    """Submit a job each millisecond; return when all are done well."""
    done = 0

    def finished(job: "asyncio.Future[Any]") -> None:
        nonlocal done
        done += job.exception() is None

    for number in range(jobs):
        submit(number).add_done_callback(finished)
        await asyncio.sleep(1 / JOBS_A_SECOND)
    await asyncio.sleep(1)
    if done != jobs:
        raise RuntimeError(f"expected {jobs} jobs done, got {done}")


async def on_actors(jobs: int) -> None:
    """Do the work on actors made of futures."""
    actors = [Actor() for _ in range(ACTORS)]
    await arrive(jobs, lambda number: actors[number % ACTORS].submit())
    for actor in actors:
        actor.task.cancel()
    await asyncio.gather(*(actor.task for actor in actors), return_exceptions=True)


async def on_pool(jobs: int) -> None:
    """Do the work on our pool, deadlines and all, with its history on disk."""
    from poolproof.ledger import Ledger  # noqa: PLC0415 - the loops are measured without it
    from poolproof.pool.pool import Pool  # noqa: PLC0415
    from poolproof.pool.settings import PoolSettings  # noqa: PLC0415
    from poolproof.transport.base import WorkerSpec  # noqa: PLC0415
    from poolproof.transport.mock import MockTransport  # noqa: PLC0415

    with tempfile.TemporaryDirectory() as place:
        ledger = Ledger(Path(place) / "history")
        settings = PoolSettings(size=ACTORS)
        async with Pool(
            WorkerSpec(target=Sleeper), MockTransport(), settings, ledger=ledger
        ) as pool:
            await arrive(jobs, pool.submit)
        ledger.close()


class Sleeper:
    """A worker whose jobs take their time."""

    async def handle(self, request: int) -> int:
        """Answer after a while."""
        await asyncio.sleep(JOB_SECONDS)
        return request


class _JumpingSelector(selectors.SelectSelector):
    jump: Callable[[float], None]

    def select(self, timeout: float | None = None) -> Any:
        """Let the time go by without waiting for it."""
        if timeout:
            self.jump(timeout)
        return super().select(0)


class JumpingLoop(asyncio.SelectorEventLoop):
    """The stock loop, whose clock jumps where it would wait: what a virtual clock costs at least there."""

    def __init__(self) -> None:
        selector = _JumpingSelector()
        selector.jump = self._jump
        self._now = 0.0
        super().__init__(selector)

    def time(self) -> float:
        """Return the virtual time."""
        return self._now

    def _jump(self, seconds: float) -> None:
        self._now += seconds


def looptime_loop() -> Any:
    """Return a loop of looptime."""
    import looptime  # type: ignore[import-not-found,unused-ignore]  # noqa: PLC0415

    return looptime.new_event_loop(start=0)


def simloop_loop() -> Any:
    """Return a loop of simloop."""
    import simloop  # type: ignore[import-not-found,unused-ignore]  # noqa: PLC0415

    return simloop.SimLoop(0)


Work = Callable[[int], Coroutine[Any, Any, None]]
LOOPS: dict[str, tuple[Callable[[], Any], Work]] = {
    "poolproof": (SimulationLoop, on_actors),
    "poolproof with the pool": (SimulationLoop, on_pool),
    "stock loop that jumps": (JumpingLoop, on_actors),
    "looptime": (looptime_loop, on_actors),
    "simloop": (simloop_loop, on_actors),
}


def busy_seconds() -> float:
    """Return the processor seconds that all processes of the machine have used since its start."""
    user, nice, system = Path("/proc/stat").read_text(encoding="ascii").split()[1:4]
    return (int(user) + int(nice) + int(system)) / os.sysconf("SC_CLK_TCK")


def measure(name: str, seconds: float) -> dict[str, Any] | None:
    """Return one sample; None where the loop is not installed."""
    make, work = LOOPS[name]
    try:
        loop = make()
    except ImportError:
        return None
    loop.run_until_complete(work(1))  # so that no import is measured
    loop.close()
    loop = make()
    simulated = min(seconds, MOST_SECONDS.get(name, seconds))
    busy, cpu, wall = busy_seconds(), time.process_time(), time.perf_counter()
    loop.run_until_complete(work(round(simulated * JOBS_A_SECOND)))
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    loop.close()
    return {
        "loop": name,
        "simulated_s": simulated,
        "per_wall": round(simulated / wall, 1),
        "per_cpu": round(simulated / cpu, 1),
        "others": round(max(0.0, busy_seconds() - busy - cpu) / wall, 2),
    }


def main() -> None:
    """Print the samples."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=300.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("loops", nargs="*", metavar="LOOP", help=", ".join(LOOPS))
    options = parser.parse_args()
    for _ in range(options.rounds):
        for name in options.loops or LOOPS:
            sample = measure(name, options.seconds)
            print(json.dumps(sample or {"loop": name, "missing": True}), flush=True)


if __name__ == "__main__":
    main()
