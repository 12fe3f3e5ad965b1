"""Plays scenarios with many seeds, several at a time, and prints what became of them; see campaign_scenarios.sh."""

import argparse
import os
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor

from poolproof.scenarios import SCENARIOS, play_on_stack
from poolproof.scenarios.playing import Report

SHOWN = 3
CHUNK = 20


def play(name: str, layer: str, seeds: range) -> list[Report]:
    """Play one scenario with some seeds."""
    return [play_on_stack(SCENARIOS[name], layer, seed=seed) for seed in seeds]


def chunks(seeds: int, size: int) -> Iterator[range]:
    """Yield all seeds, so many at a time."""
    return (range(at, min(at + size, seeds)) for at in range(0, seeds, size))


def show(name: str, layer: str, reports: Iterable[Report], seconds: float) -> bool:
    """Print what became of one scenario on one layer; return whether all were clean."""
    told = list(reports)
    bad = [report for report in told if report.verdict != "valid"]
    receipts = Counter(deed for one in told for deed, seen in one.receipts.items() if seen)
    kinds = ", ".join(f"{deed} {count}" for deed, count in sorted(receipts.items()))
    print(
        f"{name:<26}{layer:<12}{len(told) - len(bad)} of {len(told)} clean  {seconds:6.1f} s  receipts: {kinds}",
        flush=True,
    )
    for report in bad[:SHOWN]:
        print(f"    seed {report.seed}: {report.verdict}: {'; '.join(report.broken)}", flush=True)
    return not bad


def main() -> int:
    """Play everything that was asked for; return 1 if something was not clean."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=1000, help="on each simulated layer")
    parser.add_argument("--real", type=int, default=20, help="on processes")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--only", default="", help="names, by commas")
    arguments = parser.parse_args()
    wanted = arguments.only.split(",") if arguments.only else list(SCENARIOS)
    counts = {"mock": arguments.seeds, "bridge_mock": arguments.seeds, "full": arguments.real}
    clean = True
    with ProcessPoolExecutor(arguments.jobs) as pool:
        for name in wanted:
            for layer in SCENARIOS[name].layers:
                began = time.monotonic()
                seeds, size = counts[layer], 1 if layer == "full" else CHUNK
                if not seeds:
                    continue
                futures = [pool.submit(play, name, layer, some) for some in chunks(seeds, size)]
                reports = [report for future in futures for report in future.result()]
                clean &= show(name, layer, reports, time.monotonic() - began)
    return 0 if clean else 1


if __name__ == "__main__":
    sys.exit(main())
