"""Measures poolproof's supervisors as `measure_otp.erl` measures Erlang's.

The same lines in, the same lines out.
"""

import asyncio
import gc
import json
import statistics
import sys
import time
from pathlib import Path

from poolproof.supervision import (
    ChildSpec,
    DynamicSupervisor,
    DynamicSupervisorSpec,
    Supervisor,
    SupervisorSpec,
    start_dynamic_supervisor,
    start_supervisor,
)

_PAGE = 4096

told: list["asyncio.Future[None]"] = []


class Crash(Exception):  # noqa: N818 (it is none: it is what a child is told to do)
    """What a child ends with."""


async def child() -> None:
    """Say that it is up, wait, crash."""
    waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    told.append(waiting)
    await waiting
    raise Crash


async def measure(kind: str, children: int, crashes: int) -> dict[str, object]:
    """Return the measurements of one supervisor; times in nanoseconds."""
    gc.collect()
    memory = _resident_bytes()
    begun = time.perf_counter_ns()
    supervisor = await _started(kind, children)
    while len(told) < children:  # noqa: ASYNC110 (an event would be measured too)
        await asyncio.sleep(0)
    started = time.perf_counter_ns() - begun
    used = _resident_bytes() - memory
    restarts = [await _restart(number) for number in range(crashes)]
    await supervisor.stop(timeout=None)
    return {
        "kind": kind,
        "children": children,
        "start_ns": started,
        "restart_ns": round(statistics.median(restarts)),
        "bytes": used // children,
    }


async def _started(kind: str, children: int) -> Supervisor | DynamicSupervisor:
    if kind == "static":
        specs = [ChildSpec(id=number, start=child) for number in range(children)]
        return await start_supervisor(
            SupervisorSpec(children=specs, max_restarts=1_000_000, max_seconds=1)
        )
    spec = ChildSpec(id="child", start=child)
    supervisor = await start_dynamic_supervisor(
        DynamicSupervisorSpec(max_restarts=1_000_000, max_seconds=1)
    )
    for _ in range(children):
        await supervisor.start_child(spec)
    return supervisor


async def _restart(number: int) -> int:
    up = len(told)
    begun = time.perf_counter_ns()
    told[number].set_result(None)
    while len(told) == up:  # noqa: ASYNC110 (as above)
        await asyncio.sleep(0)
    return time.perf_counter_ns() - begun


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE


def main() -> None:
    """Serve the lines of standard input; for memory's sake one process should measure one line."""
    for line in sys.stdin:
        kind, children, crashes = line.split()
        told.clear()
        print(json.dumps(asyncio.run(measure(kind, int(children), int(crashes)))), flush=True)


if __name__ == "__main__":
    main()
