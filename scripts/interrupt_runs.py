"""Interrupts runs at random moments, by each signal in turn, and looks at what is left once the next command has come.

Usage: python -m scripts.interrupt_runs [TIMES [SEED]]
"""

import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Final

from tests.integration.commands import Command, until

LONGEST_SECONDS: Final = 8.0
SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGKILL)
RUNS: Final = (
    ("check", "multiprocessing.Pool", "--faults", "every", "--crash-points", "off"),
    ("check", "concurrent.futures.ProcessPoolExecutor", "--faults", "none"),
    ("campaign", "multiprocessing.Pool", "--faults", "every", "--seeds", "500"),
    ("scenario", "crash_loop", "multiprocessing.Pool", "--pace", "0.5"),
    ("scenario", "combined", "--layer", "full", "--pace", "1"),
)
SHARED: Final = Path("/dev/shm")  # noqa: S108 - looked at, not written to


def interrupted(
    arguments: tuple[str, ...], number: signal.Signals, after: float, folder: Path
) -> list[str]:
    """Start a run, interrupt it, let the next command clear up, and return what is left of it then."""
    (folder / "leases").mkdir()
    (folder / "tmp").mkdir()
    places = {"XDG_RUNTIME_DIR": str(folder / "leases"), "TMPDIR": str(folder / "tmp")}
    before = set(SHARED.iterdir())
    run = Command(*arguments, cwd=folder, **places)
    time.sleep(after)
    run.signal(number)
    run.end()
    reaping = Command("reap", cwd=folder, **places).end()
    until(lambda: not run.processes())
    left = [f"process {pid}" for pid in run.processes()]
    left += [f"lease {path.name}" for path in folder.glob("leases/*/*")]
    left += [f"file {path.name}" for path in (folder / "tmp").iterdir()]
    left += [f"shared memory {path.name}" for path in {*SHARED.iterdir()} - before]
    return left + [f"reap ended with {reaping.code}: {reaping.err}"] * (reaping.code != 0)


def main() -> int:
    """Interrupt so many runs; return 1 if anything was left of any."""
    times, seed = (*map(int, sys.argv[1:]), *(50, 0)[len(sys.argv) - 1 :])[:2]
    rng, counted, bad = random.Random(seed), Counter[str](), 0  # noqa: S311 - it must repeat
    for turn in range(times):
        arguments = RUNS[turn % len(RUNS)]
        number, after = SIGNALS[turn % len(SIGNALS)], rng.uniform(0.05, LONGEST_SECONDS)
        with tempfile.TemporaryDirectory(prefix="interrupted-", dir=os.getcwd()) as folder:  # noqa: PTH109
            left = interrupted(arguments, number, after, Path(folder))
        counted[f"{arguments[0]} {number.name}"] += 1
        bad += bool(left)
        mark = "; ".join(left) if left else "nothing left"
        print(
            f"{turn + 1:3} {number.name:8} after {after:4.1f} s  {' '.join(arguments[:2]):48} {mark}",
            flush=True,
        )
    print(
        f"{times - bad} of {times} left nothing: {', '.join(f'{what} {n}' for what, n in counted.items())}"
    )
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
