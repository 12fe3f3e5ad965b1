"""`poolproof scenario NAME|FILE.toml [TARGET]`: harm a pool as a scenario says, and judge it by numbers."""

import argparse
import random
import sys
from pathlib import Path
from typing import Any, Final

import msgspec

from poolproof.cli import check, session
from poolproof.errors import UsageError

HELP: Final = "harm a pool as a scenario says, under load, heal it, and judge it by numbers"
STACK: Final = "poolproof.stack"
"""The target that is our own stack, on the layer of `--layer`."""


def add_parser(commands: Any) -> None:
    """Add the command's parser."""
    parser: argparse.ArgumentParser = commands.add_parser("scenario", help=HELP, description=HELP)
    parser.set_defaults(run=run)
    add = parser.add_argument
    add("scenario", nargs="?", help="a name, or a TOML file; without one, the names are listed")
    add("target", nargs="?", default=STACK, help=f"as for check (default: our own, {STACK})")
    add("--layer", default="mock", help="of our own stack: mock (default), bridge_mock or full")
    add("--seed", type=int, help="decides whatever is drawn (default: a new one, which is printed)")
    add("--pace", type=float, help="real seconds for each of the scenario's (default 0.1)")
    add("--deadline", type=float, default=10.0, metavar="SECONDS", help="bound of the factory")
    add("--python", default=sys.executable, metavar="PATH", help="what runs the target")
    add("--json", type=Path, metavar="FILE", help="write the report to FILE")
    parser.set_defaults(adapter=None, own=None, promise=[], workers=2, jobs=None, time=60.0)


def run(arguments: argparse.Namespace) -> int:
    """Play the scenario, print its report, and return the exit code of its verdict."""
    from poolproof.scenarios import SCENARIOS  # noqa: PLC0415 - other commands need not pay for it
    from poolproof.scenarios.data import load_file  # noqa: PLC0415
    from poolproof.scenarios.playing import ended, known  # noqa: PLC0415

    if arguments.scenario is None:
        for one in SCENARIOS.values():
            print(f"{one.name:<26}{one.does}  ({', '.join(one.layers)})")
        return 0
    if arguments.pace is not None and not 0 < arguments.pace <= 100:  # noqa: PLR2004 - a bound
        raise UsageError(f"expected --pace to be above 0 and at most 100, got {arguments.pace:g}")
    session.writable_file(arguments.json)
    name = arguments.scenario
    scenario = load_file(Path(name)) if name.endswith(".toml") else known(SCENARIOS, name)
    seed: int | None = arguments.seed
    if seed is None:
        seed = random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}   scenario {scenario.name}   target {arguments.target}", flush=True)
    report = _played(scenario, arguments, seed)
    _show(report)
    if arguments.json:
        arguments.json.write_bytes(
            msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n"
        )
    return ended(report)


def _played(scenario: Any, arguments: argparse.Namespace, seed: int) -> Any:
    from poolproof.scenarios.running import (  # noqa: PLC0415
        REAL_PACE,
        play_on_stack,
        play_on_target,
    )

    if arguments.target == STACK:
        return play_on_stack(scenario, arguments.layer, seed=seed, pace=arguments.pace)
    with session.leased() as lease:
        playing = play_on_target(
            scenario,
            check.target(arguments),
            seed=seed,
            pace=arguments.pace or REAL_PACE,
            run=lease.run,
            directory=Path(lease.directory),
        )
        return session.run(playing)


def _show(report: Any) -> None:
    for one in report.judgements:
        mark = {"valid": "ok", "invalid": "BROKEN"}.get(one.verdict, one.verdict)
        print(f"  {mark:<15}{one.invariant}: expected {one.wanted}, got {one.got}")
    for deed, told in report.receipts.items():
        print(f"  {'receipt':<15}{deed}: {told[-1] if told else 'none'}")
    if report.trace:
        print(f"  {'trace':<15}{report.trace}")
    what = f"{report.scenario} on {report.where}, seed {report.seed}"
    print(f"{report.verdict.upper()}  {what}: {report.jobs} jobs, {report.seconds:g} s")
