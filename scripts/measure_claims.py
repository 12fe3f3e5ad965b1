"""Holds load, percentiles and verdicts to what is claimed of them, at full length; by campaign_measuring.sh.

    python scripts/measure_claims.py percentiles | null | planted | capacity | stall | steps   [--times N]

Exit code: 0 the claim holds; 1 it does not; the figures are printed either way, with the load of the machine. 2: steps
needs poolproof[change-points].
"""

import argparse
import asyncio
import math
import os
import subprocess
import sys
import tempfile
import time
from array import array
from collections import Counter
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from random import Random
from typing import Any, Final

import msgspec

from poolproof.baseline import Baseline
from poolproof.bench.result import BenchResult, Measure
from poolproof.change_points import LEAST, change_points
from poolproof.comparison import Deciding
from poolproof.errors import UsageError
from poolproof.latency import Histogram
from poolproof.load.result import LoadResult
from poolproof.pool.pool import Pool
from poolproof.pool.settings import PoolSettings
from poolproof.stack.environment import ADAPTERS
from poolproof.stats import fastest
from poolproof.transport.base import WorkerSpec

PERCENTS: Final = (0.0, 1.0, 10.0, 50.0, 90.0, 95.0, 99.0, 99.9, 99.99, 99.999, 100.0)
SAMPLES: Final = 1_000_000
UNIT_NS: Final = 1024
RATE: Final = 50_000
WORK: Final = 12_000
"""Turns of the loop in one operation, which a planted change makes more: beside them the pool's own part is small."""
SLICE_OPERATIONS: Final = 1
SLICES: Final = 8
"""The fastest of so many short slices is one sample: whom a neighbour keeps from the processor only becomes slower."""
SHOWN_MS: Final = 5_000
HIDDEN_MS: Final = 500
STALL: Final = ("--rate", "500", "--for", "30s", "--fault", "freeze-all@10s+6s", "--beside", "1")


def percentiles(_times: int) -> bool:
    """A million random and adversarial samples: the histogram against the sorted samples."""
    rng = Random(8)  # noqa: S311 - samples, no secret
    kinds: dict[str, Callable[[int], int]] = {
        "lognormal": lambda _: int(rng.lognormvariate(13, 2)),
        "uniform": lambda _: rng.randrange(10**9),
        "two peaks, at the 99th": lambda n: 10**6 if n < SAMPLES * 0.99 else 10**11,
        "one beyond the 99th": lambda n: 10**6 if n <= SAMPLES * 0.99 else 10**11,
        "edges of buckets": lambda n: (1 << (10 + n % 30)) + (n % 3) - 1,
        "powers": lambda n: int(1.0001 ** (n % 250_000)),
        "all alike": lambda _: 123_456_789,
    }
    worst = 0.0
    for name, draw in kinds.items():
        values = array("q", (draw(n) for n in range(SAMPLES)))
        histogram = Histogram()
        histogram.record(values)
        ordered = sorted(values)
        off = [
            _off(told * 1e6, ordered[_rank(percent) - 1])
            for percent, told in zip(PERCENTS, histogram.percentiles_ms(PERCENTS), strict=True)
        ]
        worst = max(worst, *off)
        print(f"  {name}: at most {max(off):.3f} of the stated precision off")
    return worst <= 1.0


def _rank(percent: float) -> int:
    """By searching, not by the formula under test."""
    low, high, share = 1, SAMPLES, Fraction(repr(percent)) / 100
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if Fraction(middle, SAMPLES) >= share else (middle + 1, high)
    return low


def _off(told: float, exact: int) -> float:
    return abs(told - exact) / (max(UNIT_NS, exact / 1000) + UNIT_NS)


class Spinner:
    """A worker whose operation computes for so many turns."""

    def handle(self, turns: int) -> int:
        """Compute."""
        return sum(number & 7 for number in range(turns))


async def verdict(change: float) -> tuple[str, float, int]:
    """Compare two live pools by turns, of which the new one's operation is longer by `change`."""
    async with _pool() as old, _pool() as new:
        deciding = Deciding()
        longer = round(WORK * (1 + change))
        while deciding.wanted:
            pairs: list[tuple[float, float]] = []
            for number in range(deciding.wanted):
                sides = [(old, WORK), (new, longer)]
                costs = [await _cost(*side) for side in (sides if number % 2 else sides[::-1])]
                pairs.append((costs[0], costs[1]) if number % 2 else (costs[1], costs[0]))
            deciding.take(pairs)
        return deciding.found.verdict, deciding.found.ratio, len(deciding.pairs)


def _pool() -> Pool:
    settings = PoolSettings(size=1, overflow=0)
    return Pool(WorkerSpec(target=Spinner), ADAPTERS["mock"](), settings)


async def _cost(pool: Pool, turns: int) -> float:
    return fastest([await _slice(pool, turns) for _ in range(SLICES)])


async def _slice(pool: Pool, turns: int) -> float:
    began = time.perf_counter()
    for _ in range(SLICE_OPERATIONS):
        await pool.submit(turns)
    return (time.perf_counter() - began) / SLICE_OPERATIONS


def _verdicts(change: float, times: int) -> Counter[str]:
    found: Counter[str] = Counter()
    ratios: list[float] = []
    for _ in range(times):
        said, ratio, _ = asyncio.run(verdict(change))
        found[said] += 1
        ratios.append(ratio)
    print(
        f"  {change:+.0%}, {times} times: {dict(found)}; ratios {min(ratios):.3f} to {max(ratios):.3f}"
    )
    return found


def null(times: int) -> bool:
    """A against A beside a busy core: at most 2 false verdicts in 50."""
    found = _beside_a_busy_core(lambda: _verdicts(0.0, times))
    return found["faster"] + found["slower"] <= max(1, times // 25)


def planted(times: int) -> bool:
    """10 % is found in nine of ten, 3 % is never called the same."""
    large = _beside_a_busy_core(lambda: _verdicts(0.10, times))
    small = _beside_a_busy_core(lambda: _verdicts(0.03, times))
    return large["slower"] >= math.ceil(0.9 * times) and small["same"] == 0


def _beside_a_busy_core(measure: Callable[[], Counter[str]]) -> Counter[str]:
    program = "import os\nparent = os.getppid()\nwhile os.getppid() == parent: pass"
    busy = subprocess.Popen([sys.executable, "-c", program])  # noqa: S603 - our own
    try:
        return measure()
    finally:
        busy.kill()
        busy.wait()


def capacity(_times: int) -> bool:
    """50,000 arrivals a second to operations that do nothing, on the mock layer."""
    result = _load(
        "tests/perf/load/targets.py:mock", "--rate", f"{RATE}", "--for", "5s", "--spacing", "even"
    )
    print(
        f"  {result.answered:,} of {result.planned:,} answered; {result.overhead_us:.2f} us an operation of its own;"
        f" sent {result.lag_p99_ms:.2f} ms late at p99; {result.verdict} {' '.join(result.reasons)}"
    )
    return result.verdict == "good"


def stall(_times: int) -> bool:
    """SIGSTOP for 6 s under 500/s: the open load's p99 and max show it, the closed loop's p99 does not."""
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "load.json"
        _run("multiprocessing.Pool", path, *STALL)
        opened, closed = msgspec.json.decode(path.read_bytes(), type=list[LoadResult])
    for name, one in (("open", opened), ("closed", closed)):
        print(
            f"  {name}: p99 {one.latency.p99:,.2f} ms, max {one.latency.longest:,.2f} ms, {one.verdict}"
        )
    shown = min(opened.latency.p99, opened.latency.longest) > SHOWN_MS
    return shown and closed.latency.p99 < HIDDEN_MS


def steps(times: int) -> bool:
    """Histories with noise of 2 %, 10 to 100 long: up to 2 in 100 are accused; a step of 10 % is found where it is."""
    rng, holds = Random(8), True  # noqa: S311 - samples, no secret
    for long in (10, 20, 30, 60, 100):
        noise = [[rng.lognormvariate(0, 0.02) for _ in range(long)] for _ in range(times)]
        at = long // 2 + 1
        stepped = [[*one[:at], *(1.1 * value for value in one[at:])] for one in noise]
        accused = sum(bool(_change_points(one)) for one in noise)
        found = sum(_change_points(one) == [f"{at}"] for one in stepped)
        print(f"  {long} long, {times} times: {accused} accused; {found} found where it is")
        holds &= accused <= max(1, times // 50) and (found >= 0.95 * times or long == LEAST)
    return holds


def _change_points(costs: Sequence[float]) -> list[str]:
    kept = [
        Baseline(name=f"{n}", saved_at=f"{n:04}", result=_measured(cost))
        for n, cost in enumerate(costs)
    ]
    return [one.since for one in change_points(kept).found]


def _measured(cost: float) -> BenchResult:
    return BenchResult(
        target="noise",
        measures=(Measure(name="time", unit="s", better="less", samples=(cost,)),),
        latency=Histogram().summary(),
        failures={},
        fingerprint={},
        load_before=0.0,
        load_after=0.0,
    )


def _load(target: str, *options: str) -> LoadResult:
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "load.json"
        _run(target, path, *options)
        return msgspec.json.decode(path.read_bytes(), type=LoadResult)


def _run(target: str, path: Path, *options: str) -> None:
    command: Sequence[Any] = [sys.executable, "-m", "poolproof", "load", target, "--seed", "8"]
    subprocess.run([*command, *options, "--json", str(path)], check=False, env=_environment())  # noqa: S603


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join([*sys.path[:1], os.getcwd()])}  # noqa: PTH109


CLAIMS: Final = {one.__name__: one for one in (percentiles, null, planted, capacity, stall, steps)}
TIMES: Final = {"null": 50, "planted": 20, "steps": 100}


def main() -> int:
    """Hold one claim; return 0 if it is true."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("claim", choices=CLAIMS)
    parser.add_argument("--times", type=int)
    arguments = parser.parse_args()
    claim = CLAIMS[arguments.claim]
    print(
        f"{arguments.claim}: {claim.__doc__} Load of the machine {os.getloadavg()[0]:.1f}.",
        flush=True,
    )
    try:
        holds = claim(arguments.times or TIMES.get(arguments.claim, 1))
    except UsageError as error:
        print(f"  not measured: {error}")
        return 2
    print(
        f"  {'holds' if holds else 'DOES NOT HOLD'}; load of the machine {os.getloadavg()[0]:.1f}"
    )
    return 0 if holds else 1


if __name__ == "__main__":
    sys.exit(main())
