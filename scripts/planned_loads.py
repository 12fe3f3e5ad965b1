"""Plays the loads that were planned for the stack, one after the other, and writes what came of them as a page.

    python scripts/planned_loads.py [--quick] [--only NAMES] [--target TARGET] [--out DIR] [--page DIR]

DIR gets NAME.json of each load, planned_loads.md and, where matplotlib is, its pictures. `--quick` plays each for
some seconds. Exit code: 0 all good; 1 one was breached; 3 one was void; as of `poolproof load`.
"""

import argparse
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from poolproof.load.result import LoadResult
from poolproof.report import load as report
from poolproof.report import pictures

STACK: Final = "poolproof.stack:full"
QUICK_SHARE: Final = 1 / 60
QUICK_SECONDS: Final = 5.0
DOC_6: Final = "p50<50ms, p99<100ms, errors<0.1%, rss<50MB"


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """One load, as the plan has it."""

    name: str
    says: str
    shape: str
    rate: int
    seconds: float
    slo: str
    rise: float = 0.0
    mix: str = "echo:100"
    kill_every: float = 0.0

    def options(self, share: float) -> list[str]:
        """Return the command's options for this part of the planned time."""
        seconds = max(self.seconds * share, QUICK_SECONDS)
        options = ["--shape", self.shape, "--rate", f"{self.rate}", "--for", f"{seconds:.3f}s"]
        options += ["--mix", self.mix, "--slo", self.slo]
        if self.rise:
            options += ["--rise", f"{self.rise * share:.3f}s"]
        if self.kill_every:
            every = max(self.kill_every * share, QUICK_SECONDS / 2)
            options += ["--fault", f"kill-busy@{every:.3f}s/{every:.3f}s"]
        return options


LOADS: Final = (
    Planned(
        name="ramp",
        says="to 1,000/s in 2 minutes, and on for 5",
        shape="ramp",
        rate=1000,
        seconds=420,
        rise=120,
        slo=DOC_6,
    ),
    Planned(
        name="sustained",
        says="500/s for 5 minutes",
        shape="steady",
        rate=500,
        seconds=300,
        slo=DOC_6,
    ),
    Planned(
        name="spike",
        says="100/s, then 2,000/s, then 100/s",
        shape="spike",
        rate=2000,
        seconds=90,
        slo=DOC_6,
    ),
    Planned(
        name="mix",
        says="1,000/s, 70 % echoes, 20 % that sleep 5 ms, 10 % that compute 1 ms",
        shape="steady",
        rate=1000,
        seconds=60,
        mix="echo:100=70,sleep:5ms=20,burn:1ms=10",
        slo="mean<100ms, p99<500ms, errors<1%",
    ),
    Planned(
        name="chaos",
        says="500/s, and a busy worker killed every 10 seconds",
        shape="steady",
        rate=500,
        seconds=120,
        kill_every=10,
        slo="p99<500ms, errors<0.1%, recovery<500ms",
    ),
)


def main() -> int:
    """Play them all; return the worst exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--target", default=STACK)
    parser.add_argument("--workers", default="4")
    parser.add_argument("--only", default="", help="names, separated by commas")
    parser.add_argument("--out", type=Path, default=Path(".poolproof/loads"))
    parser.add_argument("--page", type=Path, help="where page and pictures go, if not to --out")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    chosen = [one for one in LOADS if not arguments.only or one.name in arguments.only.split(",")]
    codes = [_play(one, arguments) for one in chosen]
    page = arguments.page or arguments.out
    page.mkdir(parents=True, exist_ok=True)
    _write(arguments.out, page)
    return max(codes, default=0)


def _play(load: Planned, arguments: argparse.Namespace) -> int:
    share = QUICK_SHARE if arguments.quick else 1.0
    print(f"\n=== {load.name}: {load.says}", flush=True)
    command = [sys.executable, "-m", "poolproof", "load", arguments.target]
    command += ["--workers", arguments.workers, "--seed", "8", *load.options(share)]
    command += ["--json", str(arguments.out / f"{load.name}.json")]
    return subprocess.run(command, check=False).returncode  # noqa: S603 - our own command


def _write(out: Path, page: Path) -> None:
    """Write the page of all loads of which there is a result."""
    results: list[tuple[Planned, LoadResult]] = []
    for load in LOADS:
        path = out / f"{load.name}.json"
        if path.exists():
            results.append((load, msgspec.json.decode(path.read_bytes(), type=LoadResult)))
    lines = ["# The planned loads", "", *_table(results)]
    for load, result in results:
        lines += ["", f"## {load.name}", "", f"{load.says}. {report.asked(result.plan)}.", ""]
        lines += [f"- {line.strip()}" for line in report.lines(result)]
        lines += [f"- {'kept' if one.kept else 'BROKEN'}: {one}" for one in result.judged]
        lines += [f"- void: {reason}" for reason in result.reasons]
        if pictures.available():
            pictures.load(result, page / f"{load.name}.png")
            lines += ["", f"![{load.name}: rate, latency and waiting over time]({load.name}.png)"]
    (page / "planned_loads.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _table(results: list[tuple[Planned, LoadResult]]) -> list[str]:
    rows = [
        "| load | verdict | answered | errors | p50 | p99 | p99.9 | max | recovery | machine load |"
    ]
    rows.append("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for load, result in results:
        latency = result.latency
        share = 100 * (result.failed + result.unanswered) / max(result.planned, 1)
        repaired = [c.repaired_ms for c in result.curves]
        cells = [
            f"{load.name}: {load.says}",
            result.verdict,
            f"{result.answered:,} of {result.planned:,}",
            f"{share:.3g} %",
            *(f"{ms:.2f} ms" for ms in (latency.p50, latency.p99, latency.p999, latency.longest)),
            _slowest(repaired),
            f"{result.load_before:.1f} to {result.load_after:.1f}",
        ]
        rows.append("| " + " | ".join(cells) + " |")
    return rows


def _slowest(repaired: list[float | None]) -> str:
    """Return the longest repair; those that the run's end cut off are counted apart."""
    whole = [one for one in repaired if one is not None]
    if not repaired:
        return ""
    return f"{max(whole, default=0.0):.0f} ms at most, of {len(whole)} of {len(repaired)}"


if __name__ == "__main__":
    sys.exit(main())
