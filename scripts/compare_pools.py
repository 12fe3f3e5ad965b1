"""Runs every pool that is installed side by side, by turns, and writes the table of their speeds, with our ratios.

    python scripts/compare_pools.py [--only NAMES] [--rounds N] [--jobs N] [--check] [--out FILE.md]

One command makes docs/peers.md anew, peers and all, in a quarter of an hour on 2 cores that are otherwise idle:

    uv run --group peers --with distributed --with ray scripts/compare_pools.py --check --out docs/peers.md

A pool that is not installed, or does not run here, is told with its reason. With --check, `poolproof check` tells what
each keeps when its workers are killed. What counts is a ratio within one round. Exit code: 0, or 4 where nothing could
be measured.
"""

import argparse
import contextlib
import importlib
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from array import array
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from threading import Semaphore
from typing import Any, Final

from poolproof import fingerprint

WORKERS: Final = 2
IN_FLIGHT: Final = (1, 8, 64, 256)
PAYLOAD: Final = b"x" * 100
OURS: Final = "poolproof"
KILLS: Final = ("kill-idle", "kill-busy", "kill-all")
CHECK_SECONDS: Final = 60

Lap = Callable[[], None]
Rate = Callable[[int, int, Lap], float]
"""Jobs a second, with so many in flight, of so many jobs; the lap is called as each answer comes."""


def echo(payload: Any) -> Any:
    """Return it."""
    return payload


def by_futures(submit: Callable[..., Any], in_flight: int, jobs: int, lap: Lap) -> float:
    """Keep so many futures open; return jobs a second."""
    room = Semaphore(in_flight)
    submit(echo, PAYLOAD).result()
    began = time.perf_counter()
    futures: list[Any] = []

    def answered(_future: Any) -> None:
        lap()
        room.release()

    for _ in range(jobs):
        room.acquire()
        future = submit(echo, PAYLOAD)
        future.add_done_callback(answered)
        futures.append(future)
    for future in futures:
        future.result()
    return jobs / (time.perf_counter() - began)


def ours(in_flight: int, jobs: int, lap: Lap) -> float:
    """Our stack on the full layer, with history and monitor on."""
    from tests.perf.stack.measured import stack  # noqa: PLC0415 - what tests/perf measures

    with tempfile.TemporaryDirectory() as place:
        history = Path(place) / "history"
        many = jobs * 4
        return stack("full", PAYLOAD, in_flight, many, history=history, monitored=True, lap=lap)


def imap_unordered(in_flight: int, jobs: int, lap: Lap) -> float:
    """`multiprocessing.Pool.imap_unordered`."""
    from tests.perf.transport import echo as measured  # noqa: PLC0415

    return measured.imap_unordered(PAYLOAD, in_flight, jobs, lap)


def apply_async(in_flight: int, jobs: int, lap: Lap) -> float:
    """`multiprocessing.Pool.apply_async`."""
    from tests.perf.transport import echo as measured  # noqa: PLC0415

    return measured.apply_async(PAYLOAD, in_flight, jobs, lap)


def executor(in_flight: int, jobs: int, lap: Lap) -> float:
    """`concurrent.futures.ProcessPoolExecutor`."""
    with ProcessPoolExecutor(WORKERS) as pool:
        return by_futures(pool.submit, in_flight, jobs, lap)


def loky(in_flight: int, jobs: int, lap: Lap) -> float:
    """`loky.ProcessPoolExecutor`."""
    pool: Executor = importlib.import_module("loky").ProcessPoolExecutor(WORKERS)
    with pool:
        return by_futures(pool.submit, in_flight, jobs, lap)


def pebble(in_flight: int, jobs: int, lap: Lap) -> float:
    """`pebble.ProcessPool`."""
    with importlib.import_module("pebble").ProcessPool(max_workers=WORKERS) as pool:
        return by_futures(
            lambda function, payload: pool.submit(function, None, payload), in_flight, jobs, lap
        )


def mpire(in_flight: int, jobs: int, lap: Lap) -> float:
    """`mpire.WorkerPool.apply_async`."""
    with importlib.import_module("mpire").WorkerPool(n_jobs=WORKERS) as pool:

        def submit(function: Any, payload: Any) -> Any:
            future: Future[Any] = Future()
            pool.apply_async(function, (payload,), callback=future.set_result)
            return future

        return by_futures(submit, in_flight, jobs, lap)


def anyio(in_flight: int, jobs: int, lap: Lap) -> float:
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
                lap()

        async with library.create_task_group() as tasks:
            for _ in range(in_flight):
                tasks.start_soon(caller, jobs // in_flight)
        return jobs // in_flight * in_flight / (time.perf_counter() - began)

    return float(library.run(main))


def aiomultiprocess(in_flight: int, jobs: int, lap: Lap) -> float:
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
                    lap()

            await asyncio.gather(*(caller(jobs // in_flight) for _ in range(in_flight)))
            return jobs // in_flight * in_flight / (time.perf_counter() - began)

    return asyncio.run(main())


async def echo_on_loop(payload: Any) -> Any:
    """Return it."""
    return payload


def distributed(in_flight: int, jobs: int, lap: Lap) -> float:
    """`distributed.Client.submit` on a local cluster."""
    library: Any = importlib.import_module("distributed")
    with library.Client(
        n_workers=WORKERS, threads_per_worker=1, dashboard_address=None, silence_logs=50
    ) as client:
        return by_futures(lambda f, p: client.submit(f, p, pure=False), in_flight, jobs, lap)


def ray(in_flight: int, jobs: int, lap: Lap) -> float:
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
            lap()
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
    """What was found of one pool, a sample a round, or why none; what it keeps.

    Attributes:
        rates: jobs a second, by jobs in flight.
        p50s: the median time in seconds from one answer to the next, with one job in flight: its latency.
        missing: why there are none.
        version: of its package.
        keeps: by the kill.
    """

    rates: dict[int, list[float]] = field(default_factory=dict[int, list[float]])
    p50s: list[float] = field(default_factory=list[float])
    missing: str = ""
    version: str = ""
    keeps: dict[str, str] = field(default_factory=dict[str, str])


def measure(names: list[str], rounds: int, jobs: int) -> dict[str, Row]:
    """Measure all of them, in turns; each in a process of its own, so that none is in another's way."""
    rows = {name: _row(POOLS[name]) for name in names}
    for number in range(rounds):
        for in_flight in IN_FLIGHT:
            for name in [n for n in names if not rows[n].missing]:
                _sample(
                    name, rows[name], in_flight, max(int(jobs * POOLS[name].jobs), 2 * in_flight)
                )
        print(f"  round {number + 1} of {rounds}, load {os.getloadavg()[0]:.1f}", file=sys.stderr)
    return rows


def _row(pool: Pool) -> Row:
    if not pool.needs:
        return Row()
    try:
        return Row(version=metadata.version(pool.needs))
    except metadata.PackageNotFoundError:
        return Row(missing="not installed")


def _sample(name: str, row: Row, in_flight: int, jobs: int) -> None:
    command = [sys.executable, __file__, "--one", name, str(in_flight), str(jobs)]
    root = str(Path(__file__).parent.parent)
    environment = {**os.environ, "PYTHONPATH": root}
    with contextlib.suppress(subprocess.TimeoutExpired):
        ended = subprocess.run(  # noqa: S603 - our own command
            command, capture_output=True, text=True, check=False, timeout=120, env=environment
        )
        if ended.returncode == 0:
            rate, p50 = map(float, ended.stdout.split()[-2:])
            row.rates.setdefault(in_flight, []).append(rate)
            row.p50s += [p50] if in_flight == 1 else []
        else:
            row.missing = _last_line(ended.stderr)
        return
    row.missing = f"no end within 120 s, with {in_flight} in flight"


def one(name: str, in_flight: int, jobs: int) -> None:
    """Print what one pool does: jobs a second, and the median of the seconds from one answer to the next."""
    laps = array("d")
    rate = POOLS[name].rate(in_flight, jobs, lambda: laps.append(time.perf_counter()))
    print(rate, statistics.median(b - a for a, b in itertools.pairwise(laps)))


def keeps(target: str) -> dict[str, str]:
    """Return what a pool keeps when its workers are killed, by the kill, as `poolproof check` has found it."""
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "check.json"
        options = ["--faults", ",".join(KILLS), "--crash-points", "off", "--seed", "8"]
        options += ["--time", str(CHECK_SECONDS), "--json", str(path), "--out", f"{place}/out"]
        command = [sys.executable, "-m", "poolproof", "check", target, *options]
        ended = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own
        if not path.exists():
            return dict.fromkeys(KILLS, f"not checked: {_last_line(ended.stderr)}")
        result = json.loads(path.read_bytes())
    return {kill: kept(kill, result) for kill in KILLS}


def kept(kill: str, result: Mapping[str, Any]) -> str:
    """Return what was found under one kill: the promises that it breaks, else what became of later jobs."""
    verdicts = [one["verdict"] for one in result["faults"] if one["fault"] == kill]
    if not {"valid", "invalid"} & {*verdicts}:
        return str(verdicts[0]) if verdicts else "not tried"
    checks = [one for one in result["checks"] if one["fault"] == kill]
    broken = [one for one in checks if one["verdict"] == "invalid"]
    later = [one for one in checks if one["invariant"] == "no-recovery" and one not in broken]
    told = [f"BREAKS {one['invariant']}: {one['reason']}" for one in broken]
    return "; ".join([*told, *(str(one["reason"]) for one in later)])


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or ["ended without a word"])[-1][:120]


def speeds(rows: Mapping[str, Row]) -> Iterator[str]:
    """Yield the table of speeds, in Markdown: medians, and in brackets the ratio of ours to it."""
    yield from _line("pool", *(f"{n} in flight" for n in IN_FLIGHT), "p50 at 1")
    yield from _line(*["---"] * (2 + len(IN_FLIGHT)))
    for name, row in rows.items():
        cells = [_speed(rows, row, n) for n in IN_FLIGHT]
        yield from _line(f"{name} {row.version}".strip(), *cells, _latency(rows, row))
    best = [ratio(rows, _best(rows, n), n) for n in IN_FLIGHT]
    fastest = Row(p50s=[min(found) for found in zip(*_p50s_of_others(rows), strict=False)])
    yield from _line("ours over the best other", *map(_times, [*best, of_p50s(rows, fastest)]))


def _line(*cells: str) -> Iterator[str]:
    yield f"| {' | '.join(cells)} |"


def _speed(rows: Mapping[str, Row], row: Row, in_flight: int) -> str:
    if row.missing or not row.rates.get(in_flight):
        return row.missing
    beside = "" if row is rows.get(OURS) else f" ({_times(ratio(rows, row, in_flight))})"
    return f"{statistics.median(row.rates[in_flight]):,.0f}{beside}"


def _times(found: float | None) -> str:
    return "" if found is None else f"{found:.2f}"


def ratio(rows: Mapping[str, Row], row: Row, in_flight: int) -> float | None:
    """Return how many times as many jobs ours does: the median of the rounds; None where one was not measured."""
    ours_ = rows.get(OURS, Row()).rates.get(in_flight, [])
    found = [a / b for a, b in zip(ours_, row.rates.get(in_flight, []), strict=False)]
    return statistics.median(found) if found else None


def _latency(rows: Mapping[str, Row], row: Row) -> str:
    if row.missing or not row.p50s:
        return ""
    beside = "" if row is rows.get(OURS) else f" ({_times(of_p50s(rows, row))})"
    return f"{statistics.median(row.p50s) * 1e6:,.0f} us{beside}"


def of_p50s(rows: Mapping[str, Row], row: Row) -> float | None:
    """Return our median latency as a part of another's: the median of the rounds; None where one was not measured."""
    found = [a / b for a, b in zip(rows.get(OURS, Row()).p50s, row.p50s, strict=False)]
    return statistics.median(found) if found else None


def _p50s_of_others(rows: Mapping[str, Row]) -> Iterator[list[float]]:
    return (row.p50s for name, row in rows.items() if name != OURS and row.p50s)


def _best(rows: Mapping[str, Row], in_flight: int) -> Row:
    """Return the best of the others in each round, as if it were one pool."""
    others = [row.rates.get(in_flight, []) for name, row in rows.items() if name != OURS]
    rounds = zip(*filter(None, others), strict=False)
    return Row(rates={in_flight: [max(rates) for rates in rounds]})


def under_kill(rows: Mapping[str, Row]) -> Iterator[str]:
    """Yield the table of what each keeps, in Markdown."""
    yield from _line("pool", *KILLS)
    yield from _line(*["---"] * (1 + len(KILLS)))
    for name, row in rows.items():
        if row.keeps:
            yield from _line(name, *(row.keeps[kill] for kill in KILLS))


def page(rows: Mapping[str, Row], *, rounds: int, before: float) -> Iterator[str]:
    """Yield the page."""
    facts = fingerprint.take()
    yield "# Pools side by side"
    yield ""
    yield f"Echoes of {len(PAYLOAD)} bytes through {WORKERS} workers, in jobs a second; each pool in a process of its"
    yield f"own, by turns, the median of {rounds} round{'s' * (rounds > 1)}. In brackets: how many times as many ours"
    yield "does, the median of the rounds' ratios. Last comes the median time from one answer to the next with one"
    yield "job in flight, and what part of it ours takes. Ours has history, deadlines and health checks on. Made by"
    yield "`scripts/compare_pools.py --check`."
    yield ""
    yield f"{facts['cpu']}, {facts['cores']} cores, Python {facts['python']}, Linux {facts['kernel']}."
    yield f"Load of the machine {before:.1f} before, {os.getloadavg()[0]:.1f} after, the measurement itself in it."
    yield ""
    yield from speeds(rows)
    if any(row.keeps for row in rows.values()):
        yield ""
        yield "## When its workers are killed"
        yield ""
        yield "By `poolproof check`: which promise is broken, else what became of the jobs that were submitted"
        yield "afterwards. Pools that no single call makes are not checked."
        yield ""
        yield from under_kill(rows)


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
        one(name, int(in_flight), int(jobs))
        return 0
    names = [name for name in POOLS if not arguments.only or name in arguments.only.split(",")]
    before = os.getloadavg()[0]
    rows = measure(names, arguments.rounds, arguments.jobs)
    for name in names if arguments.check else []:
        if POOLS[name].target and not rows[name].missing:
            print(f"  check {POOLS[name].target}", file=sys.stderr)
            rows[name].keeps = keeps(POOLS[name].target)
    text = "\n".join(page(rows, rounds=arguments.rounds, before=before)) + "\n"
    print(text, end="")
    if arguments.out:
        arguments.out.write_text(text, encoding="utf-8")
    return 0 if any(row.rates for row in rows.values()) else 4


if __name__ == "__main__":
    sys.exit(main())
