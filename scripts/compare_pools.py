"""Runs every pool that is installed side by side, by turns, and writes the table of their speeds, with our ratios.

    python scripts/compare_pools.py [--only NAMES] [--rounds N] [--jobs N] [--check] [--out FILE.md]

The peers: `uv sync --group peers`, and by hand distributed and ray, which are large. One that is not installed, or does
not run here, is told with its reason. With --check, `poolproof check` tells beside its speed what each keeps when its
workers are killed. What counts is a ratio within one round. Exit code: 0, or 4 where nothing could be measured.
"""

import argparse
import contextlib
import importlib
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from threading import Semaphore
from typing import Any, Final

WORKERS: Final = 2
IN_FLIGHT: Final = (1, 8, 64, 256)
PAYLOAD: Final = b"x" * 100
OURS: Final = "poolproof"
KILLS: Final = "kill-idle,kill-busy,kill-all"
CHECK_SECONDS: Final = 60

Rate = Callable[[int, int], float]
"""Jobs a second, with so many in flight, of so many jobs."""


def echo(payload: Any) -> Any:
    """Return it."""
    return payload


def by_futures(submit: Callable[..., Any], in_flight: int, jobs: int) -> float:
    """Keep so many futures open; return jobs a second."""
    room = Semaphore(in_flight)
    submit(echo, PAYLOAD).result()
    began = time.perf_counter()
    futures: list[Any] = []
    for _ in range(jobs):
        room.acquire()
        future = submit(echo, PAYLOAD)
        future.add_done_callback(lambda _: room.release())
        futures.append(future)
    for future in futures:
        future.result()
    return jobs / (time.perf_counter() - began)


def ours(in_flight: int, jobs: int) -> float:
    """Our stack on the full layer, with history and monitor on."""
    from tests.perf.stack.measured import stack  # noqa: PLC0415 - what tests/perf measures

    with tempfile.TemporaryDirectory() as place:
        history = Path(place) / "history"
        many = jobs * 4
        return stack("full", PAYLOAD, in_flight, many, history=history, monitored=True)


def imap_unordered(in_flight: int, jobs: int) -> float:
    """`multiprocessing.Pool.imap_unordered`."""
    from tests.perf.transport import echo as measured  # noqa: PLC0415

    return measured.imap_unordered(PAYLOAD, in_flight, jobs)


def apply_async(in_flight: int, jobs: int) -> float:
    """`multiprocessing.Pool.apply_async`."""
    from tests.perf.transport import echo as measured  # noqa: PLC0415

    return measured.apply_async(PAYLOAD, in_flight, jobs)


def executor(in_flight: int, jobs: int) -> float:
    """`concurrent.futures.ProcessPoolExecutor`."""
    with ProcessPoolExecutor(WORKERS) as pool:
        return by_futures(pool.submit, in_flight, jobs)


def loky(in_flight: int, jobs: int) -> float:
    """`loky.ProcessPoolExecutor`."""
    pool: Executor = importlib.import_module("loky").ProcessPoolExecutor(WORKERS)
    with pool:
        return by_futures(pool.submit, in_flight, jobs)


def pebble(in_flight: int, jobs: int) -> float:
    """`pebble.ProcessPool`."""
    with importlib.import_module("pebble").ProcessPool(max_workers=WORKERS) as pool:
        return by_futures(
            lambda function, payload: pool.submit(function, None, payload), in_flight, jobs
        )


def mpire(in_flight: int, jobs: int) -> float:
    """`mpire.WorkerPool.apply_async`."""
    with importlib.import_module("mpire").WorkerPool(n_jobs=WORKERS) as pool:

        def submit(function: Any, payload: Any) -> Any:
            future: Future[Any] = Future()
            pool.apply_async(function, (payload,), callback=future.set_result)
            return future

        return by_futures(submit, in_flight, jobs)


def anyio(in_flight: int, jobs: int) -> float:
    """`anyio.to_process.run_sync`."""
    library: Any = importlib.import_module("anyio")
    to_process: Any = importlib.import_module("anyio.to_process")

    async def main() -> float:
        limiter = library.CapacityLimiter(WORKERS)
        await to_process.run_sync(echo, PAYLOAD, limiter=limiter)
        began = time.perf_counter()

        async def caller(count: int) -> None:
            for _ in range(count):
                await to_process.run_sync(echo, PAYLOAD, limiter=limiter)

        async with library.create_task_group() as tasks:
            for _ in range(in_flight):
                tasks.start_soon(caller, jobs // in_flight)
        return jobs // in_flight * in_flight / (time.perf_counter() - began)

    return float(library.run(main))


def aiomultiprocess(in_flight: int, jobs: int) -> float:
    """`aiomultiprocess.Pool.apply`, whose jobs are coroutine functions."""
    import asyncio  # noqa: PLC0415 - here alone

    library: Any = importlib.import_module("aiomultiprocess")

    async def main() -> float:
        async with library.Pool(processes=WORKERS) as pool:
            await pool.apply(echo_on_loop, (PAYLOAD,))
            began = time.perf_counter()

            async def caller(count: int) -> None:
                for _ in range(count):
                    await pool.apply(echo_on_loop, (PAYLOAD,))

            await asyncio.gather(*(caller(jobs // in_flight) for _ in range(in_flight)))
            return jobs // in_flight * in_flight / (time.perf_counter() - began)

    return asyncio.run(main())


async def echo_on_loop(payload: Any) -> Any:
    """Return it."""
    return payload


def distributed(in_flight: int, jobs: int) -> float:
    """`distributed.Client.submit` on a local cluster."""
    library: Any = importlib.import_module("distributed")
    with library.Client(
        n_workers=WORKERS, threads_per_worker=1, dashboard_address=None, silence_logs=50
    ) as client:
        return by_futures(lambda f, p: client.submit(f, p, pure=False), in_flight, jobs)


def ray(in_flight: int, jobs: int) -> float:
    """Actors of ray."""
    library: Any = importlib.import_module("ray")
    library.init(num_cpus=WORKERS, include_dashboard=False, log_to_driver=False)
    try:
        actor = library.remote(type("Echo", (), {"echo": staticmethod(echo)}))
        actors = [actor.remote() for _ in range(WORKERS)]
        library.get([one.echo.remote(PAYLOAD) for one in actors])
        began = time.perf_counter()
        flying = [actors[n % WORKERS].echo.remote(PAYLOAD) for n in range(in_flight)]
        for number in range(jobs - in_flight):
            done, flying = library.wait(flying, num_returns=1)
            library.get(done)
            flying.append(actors[number % WORKERS].echo.remote(PAYLOAD))
        library.get(flying)
        return jobs / (time.perf_counter() - began)
    finally:
        library.shutdown()


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """One pool of the table.

    Attributes:
        rate: how it is measured.
        needs: the module that must be there.
        jobs: the share of the jobs that it is given: slow ones get fewer.
        target: what `poolproof check` takes; "" where there is none.
    """

    rate: Rate
    needs: str = ""
    jobs: float = 1.0
    target: str = ""


POOLS: Final[dict[str, Pool]] = {
    OURS: Pool(rate=ours, target="poolproof.stack:full"),
    "multiprocessing imap_unordered": Pool(rate=imap_unordered),
    "multiprocessing apply_async": Pool(rate=apply_async, target="multiprocessing.Pool"),
    "ProcessPoolExecutor": Pool(rate=executor, target="concurrent.futures.ProcessPoolExecutor"),
    "loky": Pool(rate=loky, needs="loky", target="loky.ProcessPoolExecutor"),
    "pebble": Pool(rate=pebble, needs="pebble", target="pebble.ProcessPool"),
    "mpire": Pool(rate=mpire, needs="mpire", target="mpire.WorkerPool"),
    "anyio to_process": Pool(rate=anyio, needs="anyio"),
    "aiomultiprocess": Pool(
        rate=aiomultiprocess, needs="aiomultiprocess", jobs=0.2, target="aiomultiprocess.Pool"
    ),
    "distributed": Pool(rate=distributed, needs="distributed", jobs=0.1),
    "ray actors": Pool(rate=ray, needs="ray", jobs=0.5),
}


@dataclass(slots=True)
class Row:
    """What was found of one pool: jobs a second by jobs in flight, a sample a round; or why there is none."""

    rates: dict[int, list[float]] = field(default_factory=dict[int, list[float]])
    missing: str = ""
    keeps: str = ""


def measure(names: list[str], rounds: int, jobs: int) -> dict[str, Row]:
    """Measure all of them, in turns; each in a process of its own, so that none is in another's way."""
    rows = {name: Row(missing=_missing(POOLS[name])) for name in names}
    for number in range(rounds):
        for in_flight in IN_FLIGHT:
            for name in [n for n in names if not rows[n].missing]:
                _sample(
                    name, rows[name], in_flight, max(int(jobs * POOLS[name].jobs), 2 * in_flight)
                )
        print(f"  round {number + 1} of {rounds}, load {os.getloadavg()[0]:.1f}", file=sys.stderr)
    return rows


def _missing(pool: Pool) -> str:
    if pool.needs and importlib.util.find_spec(pool.needs) is None:
        return "not installed"
    return ""


def _sample(name: str, row: Row, in_flight: int, jobs: int) -> None:
    command = [sys.executable, __file__, "--one", name, str(in_flight), str(jobs)]
    root = str(Path(__file__).parent.parent)
    environment = {**os.environ, "PYTHONPATH": root}
    with contextlib.suppress(subprocess.TimeoutExpired):
        ended = subprocess.run(  # noqa: S603 - our own command
            command, capture_output=True, text=True, check=False, timeout=120, env=environment
        )
        if ended.returncode == 0:
            row.rates.setdefault(in_flight, []).append(float(ended.stdout.split()[-1]))
        else:
            row.missing = (ended.stderr.strip().splitlines() or ["ended without a word"])[-1][:120]
        return
    row.missing = f"no end within 120 s, with {in_flight} in flight"


def keeps(target: str) -> str:
    """Return what a pool keeps when its workers are killed, as `poolproof check` has found it."""
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "check.json"
        options = [
            "--faults",
            KILLS,
            "--crash-points",
            "off",
            "--seed",
            "8",
            "--time",
            str(CHECK_SECONDS),
        ]
        command = [sys.executable, "-m", "poolproof", "check", target, *options]
        command += ["--json", str(path), "--out", f"{place}/out"]
        subprocess.run(command, capture_output=True, check=False)  # noqa: S603 - our own command
        if not path.exists():
            return "not checked"
        result = json.loads(path.read_bytes())
    broken = sorted({one["invariant"] for one in result["checks"] if one["verdict"] == "invalid"})
    return f"breaks {', '.join(broken)}" if broken else f"{result['verdict']}: no promise broken"


def table(rows: dict[str, Row]) -> Iterator[str]:
    """Yield the table, in Markdown: medians, and the median of the rounds' ratios to ours."""
    head = ["pool", *(f"{n} in flight" for n in IN_FLIGHT), "ours / it at 64", "under kill"]
    yield "| " + " | ".join(head) + " |"
    yield "| --- " * len(head) + "|"
    for name, row in rows.items():
        rates = [
            f"{statistics.median(row.rates[n]):,.0f}" if row.rates.get(n) else "" for n in IN_FLIGHT
        ]
        ratio = _ratio(rows, row)
        cells = [name, *rates, "" if ratio is None else f"{ratio:.2f}", row.missing or row.keeps]
        yield "| " + " | ".join(cells) + " |"


def _ratio(rows: dict[str, Row], row: Row, in_flight: int = 64) -> float | None:
    ours_ = rows.get(OURS, Row()).rates.get(in_flight, [])
    ratios = [a / b for a, b in zip(ours_, row.rates.get(in_flight, []), strict=False)]
    return statistics.median(ratios) if ratios else None


def main() -> int:
    """Measure, check and write the table; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="names, separated by commas")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=4_000)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        name, in_flight, jobs = arguments.one
        print(POOLS[name].rate(int(in_flight), int(jobs)))
        return 0
    names = [name for name in POOLS if not arguments.only or name in arguments.only.split(",")]
    before = os.getloadavg()[0]
    rows = measure(names, arguments.rounds, arguments.jobs)
    for name in names if arguments.check else []:
        if POOLS[name].target and not rows[name].missing:
            rows[name].keeps = keeps(POOLS[name].target)
    how = f"`scripts/compare_pools.py{' --check' * arguments.check}`"
    page = [
        "# Pools side by side",
        "",
        f"Echoes of {len(PAYLOAD)} bytes through {WORKERS} workers, in jobs a second. By turns;",
        f"the medians of {arguments.rounds} rounds. By {how}.",
        f"Load of the machine {before:.1f} to {os.getloadavg()[0]:.1f}.",
        "",
        *table(rows),
    ]
    print("\n".join(page))
    if arguments.out:
        arguments.out.write_text("\n".join(page) + "\n", encoding="utf-8")
    return 0 if any(row.rates for row in rows.values()) else 4


if __name__ == "__main__":
    sys.exit(main())
