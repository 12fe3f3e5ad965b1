"""`poolproof verify`: run a suite alone, together, in parallel, shuffled, again and again: may it be trusted?"""

import argparse
import math
import os
import random
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from poolproof.cli import session
from poolproof.errors import UsageError
from poolproof.isolation import verify
from poolproof.isolation.leases import Lease
from poolproof.isolation.runs import steps
from poolproof.isolation.runs.child import Suite, has_xdist

HELP: Final = "run a suite alone, together, in parallel, shuffled and repeatedly, and say whether it may be trusted"
EXIT: Final = {"valid": 0, "not applicable": 0, "invalid": 1, "unknown": 3}
FEWEST_WORKERS: Final = 2


def add_parser(commands: Any) -> None:
    """Add the command's parser."""
    parser: argparse.ArgumentParser = commands.add_parser("verify", help=HELP, description=HELP)
    parser.set_defaults(run=run)
    add = parser.add_argument
    add(
        "--repeat",
        type=int,
        default=3,
        metavar="N",
        help="runs of each mode: 3 (the default) as a gate, 10 for flakes",
    )
    add("--seed", type=int, help="what the random orders are drawn from (default: a new one)")
    add("--one-process", action="store_true", help="no parallel runs; needs no pytest-xdist")
    add(
        "--without",
        action="append",
        default=[],
        choices=steps.MODES,
        help="leave out the runs of a mode: `alone` costs a large suite the most",
    )
    add(
        "--ladder",
        action="store_true",
        help="alone, by class, together, again, in parallel, shuffled; stop at the first that fails",
    )
    add(
        "--limit",
        action="append",
        default=[],
        metavar="MARKER=S",
        help="seconds that a test with this marker may take (default unit=1, integration=5)",
    )
    add_running(parser)


def add_running(parser: argparse.ArgumentParser) -> None:
    """Add what every command that runs somebody's tests takes."""
    add = parser.add_argument
    add("--workers", type=int, metavar="N", help="xdist workers (default: one a core, at least 2)")
    add(
        "--stall",
        type=float,
        default=300.0,
        metavar="SECONDS",
        help="end a run in which no test ends for so long (default 300)",
    )
    session.add_results(
        parser, kept="what each run recorded and printed (default .poolproof/suites/RUN)"
    )
    add(
        "arguments",
        nargs=argparse.REMAINDER,
        metavar="-- PYTEST ARGUMENTS",
        help="which tests, and how: as for pytest",
    )


def run(arguments: argparse.Namespace) -> int:
    """Make the runs, print what they say, and return the exit code of the verdict."""
    bounds = verify.Bounds(limits=_limits(arguments.limit))
    if arguments.repeat < 1:
        raise UsageError(f"expected --repeat to be at least 1, got {arguments.repeat}")
    seed = seed_of(arguments)
    workers = 0 if arguments.one_process else workers_of(arguments)
    planned = (
        steps.ladder(workers, seed)
        if arguments.ladder
        else steps.rounds(arguments.repeat, workers, seed)
    )
    planned = tuple(step for step in planned if step.mode not in arguments.without)
    if not planned:
        raise UsageError("expected --without to leave some runs, got none left")
    runs: list[steps.Run] = []

    def tell(*, interrupted: bool) -> verify.Verification:
        return _tell(verify.judge(runs, bounds, interrupted=interrupted), arguments.json)

    print(f"seed {seed}   {len(planned)} runs", flush=True)
    in_lease(
        arguments,
        lambda suite, progress: play(suite, planned, runs, progress, ladder=arguments.ladder),
        interrupted=lambda: runs and tell(interrupted=True),
    )
    return EXIT[tell(interrupted=False).verdict]


def _tell(found: verify.Verification, path: Path | None) -> verify.Verification:
    from poolproof.report import verification  # noqa: PLC0415 - only what is shown pays for rich

    write_json(found, path)
    verification.show(found)
    return found


def in_lease(
    arguments: argparse.Namespace,
    main: Callable[[Suite, "session.Lines | session.Bars"], Any],
    *,
    interrupted: Callable[[], object] = lambda: None,
) -> Any:
    """Run `main` with the suite that the command line names; nothing that it starts is left.

    When Ctrl-C or SIGTERM has ended it, `interrupted` is called, to tell what is known by then.
    """
    session.writable_file(arguments.json)
    if not arguments.stall > 0 or math.isinf(arguments.stall):
        raise UsageError(f"expected --stall to be a number above 0, got {arguments.stall:g}")
    with session.leased() as lease:
        suite = _suite(arguments, lease)
        try:
            with session.progress() as progress:
                return session.run(main(suite, progress))
        except BaseException as error:
            if not isinstance(error, Exception):
                interrupted()
            raise


def _suite(arguments: argparse.Namespace, lease: Lease) -> Suite:
    out = session.writable(arguments.out or Path(".poolproof", "suites", lease.run))
    if any(out.iterdir()):
        raise UsageError(f"expected a new directory for --out, got {out}, which is not empty")
    given = list(arguments.arguments)
    return Suite(
        given[1:] if given[:1] == ["--"] else given,
        lease,
        out=out,
        stall_seconds=arguments.stall,
    )


def seed_of(arguments: argparse.Namespace) -> int:
    """Return the seed that was asked for, else a new one."""
    asked: int | None = arguments.seed
    return asked if asked is not None else random.SystemRandom().randrange(1 << 32)


def workers_of(arguments: argparse.Namespace) -> int:
    """Return how many xdist workers to use.

    Raises:
        UsageError: fewer than 2 were asked for, or xdist is not there.
    """
    asked: int | None = arguments.workers
    if asked is not None and asked < FEWEST_WORKERS:
        raise UsageError(
            f"expected --workers to be at least {FEWEST_WORKERS}, got {asked}; --one-process does without"
        )
    if not has_xdist():
        raise UsageError(
            f"expected pytest-xdist in {sys.prefix}, got none; install it, or give --one-process"
        )
    return asked or max(FEWEST_WORKERS, len(os.sched_getaffinity(0)))


def _limits(texts: Sequence[str]) -> dict[str, float]:
    limits = dict(verify.Bounds().limits)
    for text in texts:
        marker, _, seconds = text.partition("=")
        try:
            limits[marker] = float(seconds)
        except ValueError:
            raise UsageError(
                f"expected --limit MARKER=SECONDS, for one unit=0.5, got {text}"
            ) from None
    return limits


async def play(
    suite: Suite,
    planned: Sequence[steps.Step],
    runs: list[steps.Run],
    progress: "session.Lines | session.Bars",
    *,
    ladder: bool = False,
) -> None:
    """Make one run after another, and append each to `runs` as soon as it has ended.

    A ladder stops after the first in which something failed.
    """
    for number, step in enumerate(planned, start=1):
        left = steps.estimate(planned[number - 1 :], runs)
        about = f", about {left:.0f} s left" if runs else ""
        name = f"{step.mode} ({number} of {len(planned)}{about})"
        shown = _Steps(progress, name, len(runs[0].record.collected) if runs else 0)
        record = await suite.run(step.order, workers=step.workers, heard=shown.heard)
        progress.over(name)
        runs.append(steps.Run(step=step, record=record))
        if ladder and any(test.bad for test in record.tests.values()):
            return


class _Steps:
    """Turns how many tests have ended so far into steps of the progress."""

    def __init__(self, progress: "session.Lines | session.Bars", name: str, total: int) -> None:
        self._progress, self._name, self._ended = progress, name, 0
        progress.phase(name, total or 1)

    def heard(self, ended: int) -> None:
        for _ in range(ended - self._ended):
            self._progress.step(self._name)
        self._ended = ended


def write_json(found: msgspec.Struct, path: Path | None) -> None:
    """Write what was found to a file, if one was asked for."""
    if path is not None:
        path.write_bytes(msgspec.json.format(msgspec.json.encode(found), indent=2) + b"\n")
