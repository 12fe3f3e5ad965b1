"""Prints how many seeds it takes to find each planted concurrency bug, by policy, and how small it gets, as a table.

usage: PYTHONPATH=. python scripts/races_table.py [MOST_SEEDS]     from the top of the source tree; the default is 1000
"""

import sys
import time

from poolproof.chaos.orders import search, shrink_order
from poolproof.simulation import POLICIES
from tests.chaos.races.corpus import BROKEN, Race, search_alone

PATIENCE_S = 300.0


def cells(race: Race, most: int) -> list[str]:
    """Return seeds to find under each policy; under all three in turn; and what is left when shrunk."""
    row = []
    for policy in POLICIES:
        tried = search_alone(race, policy, most=1 if policy == "fifo" else most)
        row.append(str(tried.seeds) if tried.found else "-")
    begun = time.process_time()
    found = search(race.play, wanted=race.is_found, seeds=most, seconds=PATIENCE_S)
    seconds = time.process_time() - begun
    if found is None:
        return [*row, "-", f"{seconds:.2f}", "-", "-", "-", "-"]
    begun = time.process_time()
    shrunk = shrink_order(race.play, found.played)
    spent = time.process_time() - begun
    sizes = [len(found.played.deviations), len(shrunk.plan.deviations), shrunk.runs]
    return [*row, str(found.seeds), f"{seconds:.2f}", *map(str, sizes), f"{spent:.2f}"]


def main(most: int) -> int:
    """Print the table; return 1 if a bug is found by no policy."""
    begun = time.perf_counter()
    heads = [
        "planted bug",
        "breaks",
        *POLICIES,
        "in turn",
        "seconds",
        "deviations",
        "shrunk to",
        "in runs",
        "seconds",
    ]
    print("| " + " | ".join(heads) + " |")
    print("| " + " | ".join("---" for _ in heads) + " |")
    missed = 0
    for race in BROKEN:
        row = cells(race, most)
        missed += row[len(POLICIES)] == "-"
        promise = race.invariant.__name__ if race.invariant else ""
        print("| " + " | ".join([race.name, promise, *row]) + " |", flush=True)
    print(f"\n{len(BROKEN)} bugs, {missed} not found by the three in turn within {most} seeds, "
          f"{time.perf_counter() - begun:.0f} s in all; -: not found")  # fmt: skip
    return 1 if missed else 0


if __name__ == "__main__":
    raise SystemExit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000))
