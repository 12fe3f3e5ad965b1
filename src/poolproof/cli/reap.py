"""`poolproof reap`: clear what interrupted runs left, and nothing of those that live."""

import argparse
from typing import Any

from poolproof.cli import session
from poolproof.isolation import leases


def add_parser(commands: Any) -> None:
    """Add the command's parser."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "reap", help="clear what interrupted runs left"
    )
    parser.set_defaults(run=run)


def run(_arguments: argparse.Namespace) -> int:
    """Clear, and print a line for each thing that was cleared; always 0."""
    session.require_linux()
    cleared = leases.reap()
    print("\n".join(cleared) or "nothing was left")
    return 0
