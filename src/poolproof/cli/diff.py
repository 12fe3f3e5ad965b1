"""`poolproof diff RUN RUN`: tell what two runs differ in, and whether anything got worse."""

import argparse
from pathlib import Path
from typing import Any, Final

import msgspec

from poolproof.chaos.difference import difference
from poolproof.chaos.saved import open_run
from poolproof.cli import session
from poolproof.report import difference as shown

HELP: Final = (
    "tell what two runs differ in: verdicts, broken promises, crash points; 1 if anything got worse"
)


def add_parser(commands: Any) -> None:
    """Add the command's parser."""
    parser: argparse.ArgumentParser = commands.add_parser("diff", help=HELP, description=HELP)
    parser.set_defaults(run=run)
    for name, what in (("before", "the earlier run"), ("after", "the later run")):
        parser.add_argument(
            name, type=Path, metavar="RUN", help=f"{what}: its directory, or its name"
        )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the differences to FILE")


def run(arguments: argparse.Namespace) -> int:
    """Compare; return 1 if anything got worse, else 0."""
    session.writable_file(arguments.json)
    found = difference(open_run(arguments.before).result, open_run(arguments.after).result)
    if arguments.json:
        arguments.json.write_bytes(
            msgspec.json.format(msgspec.json.encode(found), indent=2) + b"\n"
        )
    shown.show(found, "no difference")
    return 1 if found.worse else 0
