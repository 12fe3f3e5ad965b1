"""`poolproof recheck RUN`: judge the saved histories of a run anew, with today's checkers; no process is started."""

import argparse
import datetime as dt
from pathlib import Path
from typing import Any, Final

import msgspec

from poolproof.chaos import accept
from poolproof.chaos.difference import difference
from poolproof.chaos.recheck import recheck
from poolproof.chaos.saved import open_run
from poolproof.cli import session
from poolproof.cli.check import EXIT, publish
from poolproof.report import difference as shown
from poolproof.report import terminal

HELP: Final = "judge the saved histories of a run anew, with today's checkers"


def add_parser(commands: Any) -> None:
    """Add the command's parser."""
    parser: argparse.ArgumentParser = commands.add_parser("recheck", help=HELP, description=HELP)
    parser.set_defaults(run=run)
    add = parser.add_argument
    session.add_run(parser)
    add(
        "--accept",
        type=Path,
        metavar="FILE",
        help="TOML file of known violations, beside those of then",
    )
    add("--junit", type=Path, metavar="FILE", help="write the verdicts to FILE as JUnit's XML")
    add("--json", type=Path, metavar="FILE", help="write everything that was found to FILE")


def run(arguments: argparse.Namespace) -> int:
    """Judge, show what is found now and what was found otherwise, and return the exit code of the verdict."""
    session.writable_file(arguments.json)
    session.writable_file(arguments.junit, "--junit")
    saved = open_run(arguments.saved)
    today = dt.datetime.now().astimezone().date()
    accepted = accept.load(arguments.accept, today) if arguments.accept else ()
    result = recheck(saved, accepted)
    if arguments.json:
        arguments.json.write_bytes(
            msgspec.json.format(msgspec.json.encode(result), indent=2) + b"\n"
        )
    terminal.show(result)
    shown.show(difference(saved.result, result), "the same as then")
    publish(result, arguments.junit)
    return EXIT[result.verdict]
