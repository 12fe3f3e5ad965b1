"""`poolproof scenario NAME|FILE.toml [TARGET]`: harm a pool as a scenario says, and judge it by numbers."""

import argparse
import contextlib
import random
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from poolproof.cli import session, targeting
from poolproof.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from poolproof.scenarios import Report, Scenario

HELP: Final = "harm a pool as a scenario says, under load, heal it, and judge it by numbers"
STACK: Final = "poolproof.stack"
"""The target that is our own stack, on the layer of `--layer`."""
MOST_TIMES: Final = 10_000
MOST_PACE: Final = 100
_BESIDE_SECONDS: Final = 2.0
"""About what a play on processes takes besides its load."""


def add_parser(commands: Any) -> None:
    """Add the command's parser."""
    parser: argparse.ArgumentParser = commands.add_parser("scenario", help=HELP, description=HELP)
    parser.set_defaults(run=run)
    add = parser.add_argument
    add("scenario", nargs="?", help="a name, or a TOML file; without one, the names are listed")
    add("target", nargs="?", default=STACK, help=f"as for check (default: our own, {STACK})")
    add("--layer", default="mock", help="of our own stack: mock (default), bridge_mock or full")
    add("--seed", type=int, help="decides whatever is drawn (default: a new one, which is printed)")
    add("--times", type=int, default=1, metavar="N", help="play it N times, each with its own seed")
    add("--rate", type=float, help="jobs a second besides, whatever is answered: a finer curve")
    add("--pace", type=float, help="real seconds for each of the scenario's (default 0.1)")
    add("--deadline", type=float, default=10.0, metavar="SECONDS", help="bound of the factory")
    add("--python", default=sys.executable, metavar="PATH", help="what runs the target")
    add("--json", type=Path, metavar="FILE", help="write the report to FILE, or all of them")
    add("--plot", type=Path, metavar="FILE", help="draw the last play's curve of recovery to FILE")
    parser.set_defaults(adapter=None, workers=2)


def run(arguments: argparse.Namespace) -> int:
    """Play the scenario, print its report, and return the exit code of the worst verdict."""
    from poolproof.scenarios import SCENARIOS  # noqa: PLC0415 - other commands need not pay for it
    from poolproof.scenarios.playing import ended  # noqa: PLC0415

    if arguments.scenario is None:
        for one in SCENARIOS.values():
            print(f"{one.name:<26}{one.does}  ({', '.join(one.layers)})")
        return 0
    scenario = _asked(arguments)
    seed: int | None = arguments.seed
    if seed is None:
        seed = random.SystemRandom().randrange(1 << 32)
    takes = _takes(scenario, arguments)
    print(f"seed {seed}   scenario {scenario.name}   target {arguments.target}{takes}", flush=True)
    reports: list[Report] = []
    try:
        _play(scenario, arguments, range(seed, seed + arguments.times), reports)
    finally:
        # Also where it was interrupted: what has been played is not lost.
        if reports:
            _tell(reports, arguments)
    return ended(reports)


def _tell(reports: "list[Report]", arguments: argparse.Namespace) -> None:
    from poolproof.report import pictures, scenario  # noqa: PLC0415 - other commands need not pay for it

    scenario.show(reports[-1])
    if len(reports) > 1:
        scenario.show_all(reports)
    if arguments.json:
        data = msgspec.json.encode(reports if arguments.times > 1 else reports[0])
        arguments.json.write_bytes(msgspec.json.format(data, indent=2) + b"\n")
    if arguments.plot:
        pictures.recovery(reports[-1], arguments.plot)


def _asked(arguments: argparse.Namespace) -> "Scenario":
    """Return the scenario that is asked for; nothing is begun before all that is asked for can be done."""
    from poolproof.scenarios import SCENARIOS  # noqa: PLC0415
    from poolproof.scenarios.data import check, load_file  # noqa: PLC0415
    from poolproof.scenarios.playing import known  # noqa: PLC0415

    if arguments.pace is not None and not 0 < arguments.pace <= MOST_PACE:
        raise UsageError(
            f"expected --pace to be above 0 and at most {MOST_PACE}, got {arguments.pace:g}"
        )
    if not 1 <= arguments.times <= MOST_TIMES:
        raise UsageError(f"expected --times from 1 to {MOST_TIMES}, got {arguments.times}")
    session.writable_file(arguments.json)
    session.drawable_file(arguments.plot)
    name = arguments.scenario
    scenario = load_file(Path(name)) if name.endswith(".toml") else known(SCENARIOS, name)
    if arguments.rate is not None:
        load = msgspec.structs.replace(scenario.load, rate=arguments.rate)
        scenario = msgspec.structs.replace(scenario, load=load)
        check(scenario)
    return scenario


def _takes(scenario: "Scenario", arguments: argparse.Namespace) -> str:
    from poolproof.scenarios.running import REAL_PACE  # noqa: PLC0415

    if arguments.target == STACK and arguments.layer != "full":
        return ""
    each = scenario.load.seconds * (arguments.pace or REAL_PACE) + _BESIDE_SECONDS
    return f"   {each * arguments.times:.0f} s, or more where jobs hang"


def _play(
    scenario: "Scenario", arguments: argparse.Namespace, seeds: range, reports: "list[Report]"
) -> None:
    """Play once for each seed, and add what came of it."""
    from poolproof.report import scenario as report  # noqa: PLC0415

    began = time.monotonic()
    with contextlib.ExitStack() as stack:
        play = _player(scenario, arguments, stack)
        heard = stack.enter_context(session.hearing())
        for seed in seeds:
            reports.append(play(seed))
            if len(seeds) > 1:
                took = time.monotonic() - began
                print(report.line(reports[-1], len(reports), len(seeds), took), flush=True)
            heard.leave_if_told()


def _player(
    scenario: "Scenario", arguments: argparse.Namespace, stack: contextlib.ExitStack
) -> "Callable[[int], Report]":
    """Return what plays a seed; what it needs meanwhile is given back with the stack."""
    from poolproof.scenarios.running import (  # noqa: PLC0415
        REAL_PACE,
        play_on_stack,
        play_on_target,
    )

    if arguments.target == STACK:
        return lambda seed: play_on_stack(
            scenario, arguments.layer, seed=seed, pace=arguments.pace, run=session.run
        )
    target, pace = targeting.target(arguments), arguments.pace or REAL_PACE
    lease = stack.enter_context(session.leased())

    def play(seed: int) -> "Report":
        private = Path(lease.directory) / f"seed-{seed}"
        private.mkdir()
        return session.run(
            play_on_target(scenario, target, seed=seed, pace=pace, run=lease.run, directory=private)
        )

    return play
