"""`poolproof doctor`: what is wrong with a suite, why each test fails, and how to run it until it is mended."""

import argparse
from pathlib import Path
from typing import Any, Final

import msgspec

from poolproof.cli.verify import add_running, in_lease, play, seed_of, workers_of, write_json
from poolproof.errors import UsageError
from poolproof.isolation import doctor
from poolproof.isolation.runs import records, steps
from poolproof.isolation.runs.ordering import Order

HELP: Final = "score a suite's symptoms, say why each test fails, and how to run it till then"
ROUNDS: Final = 2


def add_parser(commands: Any) -> None:
    """Add the command's parser."""
    parser: argparse.ArgumentParser = commands.add_parser("doctor", help=HELP, description=HELP)
    parser.set_defaults(run=run)
    add = parser.add_argument
    add("--seed", type=int, help="what the random orders are drawn from (default: a new one)")
    add("--one-process", action="store_true", help="no parallel runs; needs no pytest-xdist")
    add(
        "--from",
        dest="source",
        type=Path,
        metavar="PATH",
        help="run nothing: read the directory of a `poolproof verify`, or a file of --poolproof-record",
    )
    add_running(parser)


def run(arguments: argparse.Namespace) -> int:
    """Run the suite, or read earlier runs; return 1 if anything is wrong with it, 3 if nothing could be seen."""
    from poolproof.report import checkup  # noqa: PLC0415 - only what is shown pays for rich

    runs: list[steps.Run] = []

    def tell() -> doctor.Checkup:
        found = doctor.examine(runs)
        write_json(found, arguments.json)
        checkup.show(found)
        return found

    if arguments.source:
        runs += earlier(arguments.source)
    else:
        _run(arguments, runs, tell)
    found = tell()
    if found.advice == "nothing ran":
        return 3
    return int(found.compromised or bool(found.diagnoses) or found.score > 0)


def _run(arguments: argparse.Namespace, runs: list[steps.Run], tell: Any) -> None:
    seed = seed_of(arguments)
    workers = 0 if arguments.one_process else workers_of(arguments)
    planned = steps.rounds(ROUNDS, workers, seed)
    print(f"seed {seed}   {len(planned)} runs", flush=True)
    in_lease(
        arguments,
        lambda suite, progress: play(suite, planned, runs, progress),
        interrupted=lambda: runs and tell(),
    )


def earlier(source: Path) -> list[steps.Run]:
    """Read runs that were recorded: one file, or the directory of a verification.

    Raises:
        UsageError: there are none.
    """
    if source.is_dir():
        found = [_earlier(file) for file in sorted(source.glob("*/record.jsonl"))]
        if not found:
            raise UsageError(
                f"expected a directory that `poolproof verify` has written, got {source},"
                " which has no */record.jsonl"
            )
        return found
    return [_earlier(source)]


def _earlier(file: Path) -> steps.Run:
    record = records.read(file)
    beside = file.with_name("order.json")
    order = msgspec.json.decode(beside.read_bytes(), type=Order) if beside.exists() else Order()
    return steps.Run(step=steps.step_of(order, record.workers), record=record)
