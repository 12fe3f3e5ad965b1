"""`poolproof replay PLAN.json`: play one saved plan again, and say in how many of how many times it was broken."""

import argparse
import time
from pathlib import Path
from typing import Any

import msgspec

from poolproof import plan as plans
from poolproof.chaos.replay import Replayed, replay
from poolproof.cli import session
from poolproof.errors import UsageError

DEFAULT_TIMES = 1


def add_parser(commands: Any) -> None:
    """Add the command's parser."""
    parser: argparse.ArgumentParser = commands.add_parser("replay", help="play a saved plan again")
    parser.set_defaults(run=run)
    parser.add_argument("plan", type=Path, help="a plan that `poolproof check` has saved")
    parser.add_argument(
        "--times", type=int, default=DEFAULT_TIMES, metavar="N", help="how often (default 1)"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write what was found to FILE")


def run(arguments: argparse.Namespace) -> int:
    """Play the plan; return 1 if a promise was broken, 0 if none was, 3 if that could not be told."""
    if arguments.times < 1:
        raise UsageError(f"expected --times to be at least 1, got {arguments.times}")
    if _is_simulated(arguments.plan):
        return _simulate(arguments)
    plan = plans.load(arguments.plan)
    session.writable_file(arguments.json)
    with session.leased() as lease, session.progress() as progress:
        began = time.monotonic()
        found = session.run(
            replay(plan, arguments.times, Path(lease.directory), lease.run, progress)
        )
    _show(plan, found, time.monotonic() - began)
    if arguments.json:
        arguments.json.write_bytes(
            msgspec.json.format(msgspec.json.encode(found), indent=2) + b"\n"
        )
    return 1 if found.broken else 3 if found.unknown == found.times else 0


def _is_simulated(path: Path) -> bool:
    """Tell whether a file holds a plan for a simulation: it has a layer, and no target."""
    try:
        found: object = msgspec.json.decode(path.read_bytes())
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return False  # `load` says what is wrong with it
    return isinstance(found, dict) and "layer" in found and "target" not in found


def _simulate(arguments: argparse.Namespace) -> int:
    """Play a plan for a simulation: the same every time, and said so by its trace."""
    try:
        from poolproof.stateful import plans as simulated  # noqa: PLC0415 - it needs Hypothesis
    except ModuleNotFoundError as error:
        raise UsageError(
            f"expected Hypothesis to be installed for a simulated plan, got {error}; install poolproof[hypothesis]"
        ) from error
    session.writable_file(arguments.json)
    plan = simulated.load(arguments.plan)
    runs = [simulated.play_plan(plan) for _ in range(arguments.times)]
    broken = [run.error for run in runs if run.error is not None]
    traces = sorted({run.trace for run in runs})
    print(f"stack on {plan.layer}: {len(broken)} of {len(runs)} broke a promise, in virtual time")
    print(
        f"  {'the same' if len(traces) == 1 else len(traces)} order of steps: {', '.join(traces)}"
    )
    for text in dict.fromkeys(f"{getattr(e, 'invariant', type(e).__name__)}: {e}" for e in broken):
        print(f"  {text}")
    if arguments.json:
        told = {"times": len(runs), "broken": len(broken), "traces": traces}
        arguments.json.write_bytes(msgspec.json.format(msgspec.json.encode(told), indent=2) + b"\n")
    return 1 if broken else 0


def _show(plan: plans.Plan, found: Replayed, seconds: float) -> None:
    what = (
        plan.faults[0].kind
        if plan.faults
        else f"{plan.point.effect} at a crash point"
        if plan.point
        else "nothing"
    )
    print(
        f"{plan.target.name}, {what}: {found.broken} of {found.times} broke a promise, {seconds:.1f} s"
    )
    for invariant, hits in found.hits.items():
        low, high = found.interval(hits)
        print(
            f"  {invariant}: {hits} of {found.times} (95 % Wilson interval {low:.0%} to {high:.0%})"
        )
    if found.unknown:
        print(f"  unknown: {found.unknown} of {found.times}: {found.why_unknown}")
    for line in found.story:
        print(f"    {line}")
