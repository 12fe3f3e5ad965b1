"""`poolproof bench TARGET`: how fast a pool is, whether it is faster than another one; what a function costs."""

import argparse
import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from poolproof.bench import by_pyperf, measuring, micro, versus
from poolproof.bench.measuring import Options
from poolproof.cli import session, targeting
from poolproof.errors import UsageError
from poolproof.load import mix
from poolproof.report import bench as report

if TYPE_CHECKING:
    from poolproof.bench.result import BenchResult

HELP: Final = "measure a pool: start, latency, throughput, scaling, replacement, memory"
EXIT: Final = {"faster": 0, "same": 0, "slower": 1, "inconclusive": 3}
"""Of `--against`."""


def add_parser(commands: Any) -> None:
    """Add the command's parser."""
    parser: argparse.ArgumentParser = commands.add_parser("bench", help=HELP, description=HELP)
    parser.set_defaults(run=run)
    targeting.add_target(parser)
    add = parser.add_argument
    add(
        "--rounds", type=int, default=15, help="samples of each measure (15); of --micro: processes"
    )
    add("--for", dest="seconds", default="200ms", metavar="TIME", help="one sample (200ms)")
    add(
        "--against",
        metavar="TARGET",
        help="only compare: measure both by turns until it is decided",
    )
    add("--mix", default="", metavar="OPERATIONS", help="what --against compares, as for load")
    add(
        "--micro",
        action="store_true",
        help="TARGET is a function without arguments, or several, file.py:one,two: what a call costs, by pyperf",
    )
    add("--json", type=Path, metavar="FILE", help="write every sample to FILE")
    add("--pyperf", type=Path, metavar="FILE", help="the same as pyperf has it, for its compare_to")
    add("--plot", type=Path, metavar="FILE", help="draw how it scales, as PNG or SVG")


def run(arguments: argparse.Namespace) -> int:
    """Measure, show, and return the exit code."""
    targeting.at_least("--rounds", arguments.rounds, 1)
    for path in (arguments.json, arguments.pyperf):
        session.writable_file(path)
    session.drawable_file(arguments.plot)
    if arguments.micro:
        return _micro(arguments)
    with session.leased() as lease:
        options = Options(
            target=targeting.target(arguments),
            run=lease.run,
            directory=Path(lease.directory),
            rounds=arguments.rounds,
            seconds=mix.seconds(arguments.seconds),
        )
        print(f"target {options.target.name}   run {lease.run}", flush=True)
        if arguments.against:
            return _compare(arguments, options)
        interrupted: list[BenchResult] = []
        try:
            result = session.run(measuring.bench(options, say, interrupted.append))
        finally:
            for part in interrupted:
                _save(part, arguments.json)
                report.show(part)
    _save(result, arguments.json)
    if arguments.pyperf:
        by_pyperf.save(result, arguments.pyperf)
    if arguments.plot:
        report.plot(result, arguments.plot)
    report.show(result)
    return 0


def _micro(arguments: argparse.Namespace) -> int:
    """Have pyperf measure functions, and show it; it shows its own results."""
    if arguments.against or arguments.mix or arguments.plot:
        raise UsageError("expected --micro without --against, --mix and --plot: they are for pools")
    before, name = os.getloadavg()[0], targeting.named(arguments.target, Path.cwd())
    python = targeting.interpreter(arguments.python)
    with tempfile.TemporaryDirectory() as place:
        out = arguments.pyperf or Path(place) / "pyperf.json"
        micro.measure(
            name,
            python=python,
            processes=arguments.rounds,
            seconds=mix.seconds(arguments.seconds),
            out=out,
        )
        if arguments.json:
            _save(micro.read(out, arguments.target, before, python), arguments.json)
    return 0


def _compare(arguments: argparse.Namespace, options: Options) -> int:
    other = msgspec.structs.replace(
        options.target, name=targeting.named(arguments.against, Path.cwd())
    )
    operations = mix.parse(arguments.mix) if arguments.mix else ()
    found = session.run(versus.versus(options, other, operations, say))
    _save(found, arguments.json)
    report.show_versus(found)
    return EXIT[found.comparison.verdict]


def _save(result: msgspec.Struct, path: Path | None) -> None:
    if path is not None:
        path.write_bytes(msgspec.json.format(msgspec.json.encode(result), indent=1) + b"\n")


def say(what: str) -> None:
    """Say on standard error how far it is."""
    print(f"  {what}", file=sys.stderr, flush=True)
