"""`poolproof faults`: the kinds of fault that `check` knows, and what each does."""

import argparse
from typing import Any

import msgspec

from poolproof.faults import FAULTS
from poolproof.faults.base import MISSING


def add_parser(commands: Any) -> None:
    """Add the command's parser."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "faults", help="list the kinds of fault that check knows"
    )
    parser.set_defaults(run=run)
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace) -> int:
    """Print the table; always 0."""
    rows = [{"kind": f.kind, "does": f.does, "needs": list(f.needs)} for f in FAULTS.values()]
    if arguments.json:
        print(msgspec.json.format(msgspec.json.encode(rows), indent=2).decode())
        return 0
    for fault in FAULTS.values():
        print(f"{fault.kind:<24}{fault.does}")
    print("\nnot applicable where:")
    for reason in MISSING.values():
        print(f"  {reason}")
    return 0
