"""`poolproof check TARGET`: break a worker pool on purpose and tell, replayably, which promise it broke."""

import argparse
import datetime as dt
import os
import random
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from poolproof.chaos import accept
from poolproof.chaos.check import Options, check
from poolproof.chaos.result import Result
from poolproof.chaos.saved import Run
from poolproof.checkers import Verdict, check_promises
from poolproof.cli import session, targeting
from poolproof.errors import UsageError
from poolproof.faults import FAULTS, lookup
from poolproof.plan import Target
from poolproof.report import annotations, html, junit, terminal

EXIT: Final[Mapping[Verdict, int]] = {
    "valid": 0,
    "by contract": 0,
    "invalid": 1,
    "unknown": 3,
    "not applicable": 3,
}


HELP: Final = "break a worker pool on purpose and tell, replayably, which promise it broke"
MARK: Final = ".poolproof-run"
"""The file that tells that a directory is a run's own, to be cleared by the next one that gets it."""
OUTPUT: Final = ("trials", "plans", "sources", "result.json", "report.html")


def add_parser(commands: Any) -> None:
    """Add the command's parser."""
    parser: argparse.ArgumentParser = commands.add_parser("check", help=HELP, description=HELP)
    parser.set_defaults(run=run)
    add = parser.add_argument
    add("target", help="package.Name, package.module:factory, or path/to/file.py:factory")
    add(
        "--workers",
        type=int,
        default=2,
        help="how many workers the factory is asked for (default 2)",
    )
    add("--jobs", type=int, help="jobs in each phase of a trial (default: two for each worker)")
    add_breaking(parser)
    add("--seed", type=int, help="the seed of the run (default: a new one, which is printed)")
    add(
        "--deadline",
        type=float,
        default=10.0,
        metavar="SECONDS",
        help="bound of one job and of the factory",
    )
    add(
        "--time",
        type=float,
        default=120.0,
        metavar="SECONDS",
        help="bound of the whole run (default 120)",
    )
    _add_surroundings(parser)


def add_breaking(parser: argparse.ArgumentParser) -> None:
    """Add what is to be broken: which faults, where workers die, in whose code, against which promises."""
    add = parser.add_argument
    add(
        "--faults",
        default="all",
        metavar="LIST",
        help="kinds separated by commas, `all`, `every` (rare ones, too) or `none`",
    )
    add(
        "--crash-points",
        choices=("off", "kill", "all"),
        default="kill",
        help="what happens at each line",
    )
    add(
        "--own",
        metavar="MODULES",
        help="modules, by commas, that count as the pool's own (default: inferred)",
    )
    add(
        "--promise",
        action="append",
        default=[],
        metavar="P",
        help="at-most-once, exactly-once, exclusive, fenced, cancel-final, retries=N, order=fifo, queue=N, "
        "recovery=S, deadline=S, capacity=S, shedding=S, work-conserving=S",
    )


def _add_surroundings(parser: argparse.ArgumentParser) -> None:
    """Add what does not change what is tried: where it runs, what is known, where the findings go."""
    add = parser.add_argument
    add(
        "--adapter",
        help="the family of the pool, or module:Class of your own (default: by its shape)",
    )
    add(
        "--python",
        default=sys.executable,
        metavar="PATH",
        help="the interpreter that has the target",
    )
    add(
        "--accept",
        type=Path,
        metavar="FILE",
        help="TOML file of known violations, with reason and expiry",
    )
    add("--junit", type=Path, metavar="FILE", help="write the verdicts to FILE as JUnit's XML")
    session.add_results(parser, kept="where plans and histories go (default .poolproof/runs/RUN)")
    add("--null", action="store_true", help=argparse.SUPPRESS)


def run(arguments: argparse.Namespace) -> int:
    """Run the check, print its report, and return the exit code of its verdict."""
    seed = (
        arguments.seed if arguments.seed is not None else random.SystemRandom().randrange(1 << 32)
    )
    checked = target(arguments)
    chosen = faults(arguments.faults)
    acceptances = (
        accept.load(arguments.accept, dt.datetime.now().astimezone().date())
        if arguments.accept
        else ()
    )
    session.writable_file(arguments.json)
    session.writable_file(arguments.junit, "--junit")
    with session.leased() as lease:
        out = session.writable(arguments.out or Path(".poolproof", "runs", lease.run))
        print(f"seed {seed}   target {checked.name}   run {lease.run}", flush=True)
        options = Options(
            target=checked,
            faults=chosen,
            crash_points=arguments.crash_points,
            jobs=arguments.jobs,
            seed=seed,
            seconds=arguments.time,
            directory=_fresh(out),
            run=lease.run,
            private=Path(lease.directory),
            accept=acceptances,
            null=arguments.null,
        )
        with session.progress() as progress:
            result = session.run(check(options, progress))
    _save(result, out, arguments.json)
    terminal.show(result)
    print(f"report: {html.write(Run(out, result))}")
    publish(result, arguments.junit)
    return EXIT[result.verdict]


def target(arguments: argparse.Namespace) -> Target:
    """Return what the options name; raise UsageError if it cannot be."""
    targeting.at_least("--jobs", arguments.jobs, 1)
    targeting.at_least("--time", arguments.time, 1)
    return named_target(arguments)


def named_target(arguments: argparse.Namespace) -> Target:
    """Return the target with what counts as its own and what it promises."""
    return targeting.target(
        arguments,
        own=tuple(filter(None, (arguments.own or "").split(","))),
        promises=check_promises(dict(_promise(text) for text in arguments.promise)),
    )


def _promise(text: str) -> tuple[str, object]:
    name, equals, value = text.partition("=")
    if not equals:
        return name, True
    try:
        return name, msgspec.json.decode(value)
    except msgspec.DecodeError:
        return name, value


def faults(text: str) -> tuple[str, ...]:
    """Return the kinds that `--faults` names; raise UsageError where one is not known."""
    if text == "none":
        return ()
    if text in ("all", "every"):
        return tuple(kind for kind, fault in FAULTS.items() if text == "every" or not fault.rare)
    return tuple(lookup(kind.strip()).kind for kind in text.split(",") if kind.strip())


def _fresh(out: Path) -> Path:
    """Clear what an earlier run has left in its directory; raise UsageError where it is not poolproof's to clear."""
    taken = [name for name in OUTPUT if (out / name).exists()]
    if taken and not (out / MARK).exists():
        raise UsageError(
            f"expected a new directory for --out, or one of an earlier run, got {out},"
            f" where {taken[0]} is not poolproof's"
        )
    (out / MARK).touch()
    for name in ("trials", "plans", "sources"):
        shutil.rmtree(out / name, ignore_errors=True)
    return out


def publish(result: Result, junit_file: Path | None) -> None:
    """Write JUnit's XML where it is wanted, and annotations where GitHub reads them."""
    if junit_file is not None:
        junit.write(result, junit_file)
    if annotations.wanted(os.environ):
        for line in annotations.lines(result):
            print(line)


def _save(result: Result, out: Path, json: Path | None) -> None:
    data = msgspec.json.format(msgspec.json.encode(result), indent=2) + b"\n"
    (out / "result.json").write_bytes(data)
    if json is not None:
        json.write_bytes(data)
