"""`poolproof bisect TEST`: who spoils this test, and by which resource."""

import argparse
import random
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from poolproof.cli.verify import add_running, in_lease, write_json
from poolproof.errors import UsageError
from poolproof.isolation.bisect import Bisection, Bisector, Resource
from poolproof.isolation.runs import records
from poolproof.isolation.runs.child import Suite, has_xdist

if TYPE_CHECKING:
    from poolproof.cli import session

HELP: Final = "find the tests that spoil this one, and the resource by which they do"
MESSAGE_WIDTH: Final = 200
EXIT: Final = {
    "polluted": 1,
    "needs others": 1,
    "fails alone": 1,
    "not reproduced": 3,
    "unsteady": 3,
}
SAID: Final = {
    "polluted": "fails after",
    "needs others": "passes only after",
    "fails alone": "fails alone: no other test is needed for it",
    "not reproduced": "gave the same outcome alone and after what ran before it in its process",
    "unsteady": "does not fail for one reason: the same order gave both outcomes, or the bound of runs was hit",
}
HINT: Final = {
    "not reproduced": "give the order in which it failed: --seed, --workers, or --record of that run; if it was"
    " that, what spoils it is outside of its process: a file, a port, a server, or time",
    "unsteady": "poolproof verify --repeat 10 says how often it fails",
    "fails alone": "",
    "polluted": "",
    "needs others": "",
}


def add_parser(commands: Any) -> None:
    """Add the command's parser."""
    parser: argparse.ArgumentParser = commands.add_parser("bisect", help=HELP, description=HELP)
    parser.set_defaults(run=run)
    add = parser.add_argument
    add("test", help="the test that fails in some orders, by its full name: file.py::Class::test")
    add("--seed", type=int, help="the random order in which it failed")
    add(
        "--tries", type=int, default=3, metavar="N", help="orders to try until it fails (default 3)"
    )
    add(
        "--record",
        type=Path,
        metavar="FILE",
        help="a run in which it failed, recorded by --poolproof-record or verify",
    )
    add_running(parser)


def run(arguments: argparse.Namespace) -> int:
    """Search, print what was found, and return 1 if something was, 3 if nothing could be."""
    if arguments.tries < 1:
        raise UsageError(f"expected --tries to be at least 1, got {arguments.tries}")
    if arguments.workers and not has_xdist():
        raise UsageError(f"expected pytest-xdist in {sys.prefix}, got none; leave --workers out")
    record = records.read(arguments.record) if arguments.record else None
    found: Bisection = in_lease(
        arguments, lambda suite, progress: _bisect(suite, arguments, record, progress)
    )
    write_json(found, arguments.json)
    _show(found)
    return EXIT[found.kind]


async def _bisect(
    suite: Suite,
    arguments: argparse.Namespace,
    record: records.Record | None,
    progress: "session.Lines | session.Bars",
) -> Bisection:
    def step(before: int) -> None:
        progress.phase("all tests" if before < 0 else f"after {before} tests", 1)

    bisector = Bisector(suite, arguments.test, suite.out, step)
    return await bisector.find(
        workers=arguments.workers or 0, seeds=_seeds(arguments), record=record
    )


def _seeds(arguments: argparse.Namespace) -> list[int | None]:
    """Return the orders to try: the one that was asked for, else the suite's own and then random ones."""
    if arguments.seed is not None:
        return [arguments.seed]
    draw = random.Random(0)  # noqa: S311 - the same orders each time
    return [None, *(draw.randrange(1 << 32) for _ in range(arguments.tries - 1))]


def _show(found: Bisection) -> None:
    print(f"{found.victim}\n  {SAID[found.kind]}")
    for other in found.others:
        print(f"    {other}")
    for resource in found.resources:
        print(f"  {_told(resource)}")
    if found.message:
        print(f"  it said: {found.message.splitlines()[0][:MESSAGE_WIDTH]}")
    if found.others:
        names = shlex.join([*found.others, found.victim])
        print(f"  see it: python -m pytest {names}")
    if hint := HINT[found.kind]:
        print(f"  {hint}")
    print(
        f"{found.runs} runs of pytest, {found.candidates} tests before it"
        f" (one culprit takes at most {found.bound})"
    )


def _told(resource: Resource) -> str:
    what = f"{resource.resource}: {resource.what}".rstrip(": ")
    if resource.passing or resource.failing:
        what += f" is {resource.failing or 'gone'}, and was {resource.passing or 'absent'} where it passed"
    where = resource.where if " at " in resource.where else f"made at {resource.where}"
    return f"{what}; {where}" if resource.where else what
