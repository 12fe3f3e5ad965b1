"""`poolproof trends`: the slowest tests, those that grow or change their mind, and how coverage goes."""

import argparse
import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from poolproof import trends
from poolproof.isolation.runs import records

HELP: Final = "tell how a suite goes from run to run"
MOST: Final = 10


def add_parser(commands: Any) -> None:
    """Add the command's parser."""
    parser: argparse.ArgumentParser = commands.add_parser("trends", help=HELP, description=HELP)
    parser.set_defaults(run=run)
    add = parser.add_argument
    add(
        "--add",
        type=Path,
        nargs="+",
        default=[],
        metavar="FILE",
        help="first add what `pytest --poolproof-record FILE` wrote",
    )
    add(
        "--coverage",
        type=Path,
        metavar="FILE",
        help="what `coverage json` wrote of the last of them",
    )
    add("--data", type=Path, default=trends.DATABASE, help="the file of all runs")


def run(arguments: argparse.Namespace) -> int:
    """Add what is to be added, and tell what there is; 3 where there is nothing."""
    coverage = trends.coverage_of(arguments.coverage) if arguments.coverage else None
    with trends.opened(arguments.data) as kept:
        for path in arguments.add:
            last = path == arguments.add[-1]
            kept.add(records.read(path), coverage=coverage if last else None)
        lines = list(_lines(kept))
    print("\n".join(lines) or "no run yet; add one with --add FILE")
    return 0 if lines else 3


def _lines(kept: trends.Trends) -> Iterator[str]:
    runs = kept.runs()
    if not runs:
        return
    first, last = runs[0], runs[-1]
    yield f"{len(runs)} runs since {_day(first.at)}; the last: {last.tests} tests, {last.bad} bad, {last.seconds:.1f} s"
    covered = [one.coverage for one in runs if one.coverage is not None]
    if covered:
        yield f"coverage: {covered[0]:.1f} % first, {max(covered):.1f} % at most, {covered[-1]:.1f} % now"
    yield "slowest, by the median of their last runs:"
    yield from (f"  {seconds:8.3f} s  {test}" for test, seconds in kept.slowest(MOST))
    growing = kept.growing()
    yield f"growing: {len(growing) or 'none'}"
    yield from (
        f"  x{one.factor:.2f} in {one.runs} runs, {one.seconds:.3f} s now  {one.test}"
        for one in growing[:MOST]
    )
    flaky = kept.flaky()
    yield f"changed their mind: {len(flaky) or 'none'}"
    yield from (
        f"  bad in {one.bad} of {one.runs} runs, run again {one.reruns} times  {one.test}"
        for one in flaky[:MOST]
    )


def _day(at: float) -> str:
    return dt.datetime.fromtimestamp(at, dt.UTC).date().isoformat()
