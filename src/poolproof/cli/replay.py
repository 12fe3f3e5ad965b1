"""`poolproof replay PLAN.json`: play one saved plan again, and say in how many of how many times it was broken."""

import argparse
import time
from pathlib import Path
from typing import Any

import msgspec

from poolproof import plan as plans
from poolproof.chaos.replay import Replayed, replay
from poolproof.cli import session
from poolproof.cli.replay_stack import is_of_a_stack, replay_stack
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
    parser.add_argument(
        "--shrink",
        type=Path,
        metavar="FILE",
        help="of a plan of one of our stacks: take away what it does not need to fail, and save the rest in FILE",
    )


def run(arguments: argparse.Namespace) -> int:
    """Play the plan; return 1 if a promise was broken, 0 if none was, 3 if that could not be told."""
    if arguments.times < 1:
        raise UsageError(f"expected --times to be at least 1, got {arguments.times}")
    if is_of_a_stack(arguments.plan):
        return replay_stack(arguments)
    if arguments.shrink:
        raise UsageError(
            f"expected --shrink with a plan of one of our stacks, got {arguments.plan}: `poolproof check` cuts its own"
        )
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
