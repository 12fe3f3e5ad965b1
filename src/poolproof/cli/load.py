"""`poolproof load TARGET`: ask a pool for so many operations a second, whatever it answers; tell what callers see."""

import argparse
import math
import random
from pathlib import Path
from typing import Any, Final

import msgspec

from poolproof.cli import session, targeting
from poolproof.errors import UsageError
from poolproof.host import Host
from poolproof.load import mix, running, schedule, slo, striking
from poolproof.load.result import EXIT, LoadPlan, LoadResult
from poolproof.report import load as report
from poolproof.report import pictures

HELP: Final = (
    "put an open load on a pool, timed from when each operation was due, and hold it to bounds"
)
MOST_CLIENTS: Final = 10_000


def add_parser(commands: Any) -> None:
    """Add the command's parser."""
    parser: argparse.ArgumentParser = commands.add_parser("load", help=HELP, description=HELP)
    parser.set_defaults(run=run)
    targeting.add_target(parser)
    add = parser.add_argument
    add("--rate", type=float, default=1000.0, help="operations a second, the highest of the shape")
    add("--shape", choices=schedule.SHAPES, default="steady", help="how the rate goes")
    add("--for", dest="seconds", default="10s", metavar="TIME", help="such as 300s or 5m (10s)")
    add("--rise", metavar="TIME", help="how long a ramp rises (a third of the time)")
    add("--spacing", choices=("poisson", "even"), default="poisson", help="how arrivals are spaced")
    add(
        "--mix",
        default="",
        metavar="OPERATIONS",
        help="with weights: echo:100=70,sleep:5ms=20,burn:1ms=9,fail=1; noop, own",
    )
    add(
        "--sessions", type=int, default=0, metavar="N", help="give each operation one of N sessions"
    )
    add(
        "--fault",
        action="append",
        default=[],
        metavar="KIND@TIME",
        help="such as kill-busy@5s/2s (again every 2 s) or freeze-all@20s+6s (for 6 s)",
    )
    add("--slo", default="", metavar="BOUNDS", help="p99<100ms, errors<0.1%%, recovery<500ms")
    add("--abort-on-breach", action="store_true", help="end when a bound is certainly broken")
    add("--closed", type=int, default=0, metavar="CLIENTS", help="a closed loop, labelled as such")
    add(
        "--beside",
        type=int,
        default=0,
        metavar="CLIENTS",
        help="a closed loop after the open one, to show what it hides",
    )
    add("--drain", default="10s", metavar="TIME", help="how long open operations are waited for")
    add("--seed", type=int, help="of arrivals, mix and sessions (default: a new one, printed)")
    add("--json", type=Path, metavar="FILE", help="write all that was measured to FILE")
    add("--plot", type=Path, metavar="FILE", help="draw it over time, as PNG or SVG")


def run(arguments: argparse.Namespace) -> int:
    """Put the load on the pool, show what came of it, and return the exit code of the verdict."""
    plan = _plan(arguments)
    beside = _whole("--beside", arguments.beside, MOST_CLIENTS)
    session.writable_file(arguments.json)
    session.drawable_file(arguments.plot)
    results: list[LoadResult] = []
    try:
        with session.leased() as lease:
            print(f"seed {plan.seed}   target {plan.target.name}   run {lease.run}", flush=True)
            session.run(_play(plan, beside, lease.run, Path(lease.directory), results))
    finally:
        # Also where it was interrupted: what has been measured is not lost.
        if results:
            _tell(results, arguments)
    return EXIT[results[0].verdict]


def _tell(results: list[LoadResult], arguments: argparse.Namespace) -> None:
    if arguments.json is not None:
        data = msgspec.json.encode(results if arguments.beside else results[0])
        arguments.json.write_bytes(msgspec.json.format(data, indent=1) + b"\n")
    if arguments.plot is not None:
        pictures.load(results[0], arguments.plot)
    report.show(results[0], results[1] if len(results) > 1 else None)


async def _play(
    plan: LoadPlan, beside: int, run: str, private: Path, results: list[LoadResult]
) -> None:
    """Play the load, and the closed loop beside it; add what came of each."""
    plans = [plan]
    if beside:
        plans.append(msgspec.structs.replace(plan, clients=beside, slo=()))
    async with Host(plan.target, run=run, directory=private) as host:
        for number, one in enumerate(plans):
            with report.View() as view:
                directory = private / f"load-{number}"
                results.append(
                    await running.play(host, one, directory, view.show, keep=results.append)
                )


def _plan(arguments: argparse.Namespace) -> LoadPlan:
    seconds = mix.seconds(arguments.seconds)
    rise = mix.seconds(arguments.rise) if arguments.rise else None
    schedule.pieces(arguments.shape, arguments.rate, seconds, rise=rise)  # refuses what cannot be
    clients = _whole("--closed", arguments.closed, MOST_CLIENTS)
    if clients and arguments.beside:
        raise UsageError("expected --closed or --beside, got both; --beside is for an open load")
    return LoadPlan(
        target=targeting.target(arguments),
        shape=arguments.shape,
        rate=arguments.rate,
        seconds=seconds,
        rise=rise,
        spacing=arguments.spacing,
        seed=_seed(arguments.seed),
        mix=mix.parse(arguments.mix) if arguments.mix else (),
        sessions=_whole("--sessions", arguments.sessions, running.MOST_SESSIONS),
        clients=clients,
        strikes=tuple(s for text in arguments.fault for s in striking.parse(text, seconds)),
        slo=slo.parse(arguments.slo),
        drain=mix.seconds(arguments.drain),
        abort=arguments.abort_on_breach,
    )


def _seed(given: int | None) -> int:
    return given if given is not None else random.SystemRandom().randrange(1 << 32)


def _whole(option: str, value: float, most: int) -> int:
    if not 0 <= value <= most or math.isnan(value):
        raise UsageError(f"expected {option} to be a number from 0 to {most}, got {value}")
    return int(value)
