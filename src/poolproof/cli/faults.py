"""`poolproof faults`: the fault model, what does each row on each layer, and the kinds that `check` knows."""

import argparse
from typing import Any

import msgspec

from poolproof.faults import FAULTS, syscalls
from poolproof.faults.base import MISSING, Fault
from poolproof.faults.catalogue import ROWS, Row


def add_parser(commands: Any) -> None:
    """Add the command's parser."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "faults", help="list what can be broken, how, on which layers, and what is not available"
    )
    parser.set_defaults(run=run)
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace) -> int:
    """Print the tables; always 0."""
    if arguments.json:
        print(msgspec.json.format(msgspec.json.encode(_data()), indent=2).decode())
        return 0
    for fault in FAULTS.values():
        print(f"{fault.kind:<24}{fault.does}{_remark(fault)}")
    print("\nnot applicable where:")
    for reason in MISSING.values():
        print(f"  {reason}")
    print("\nthe fault model: m mock, b bridge_mock, f full\n")
    for row in ROWS:
        _show(row)
    return 0


def _data() -> list[dict[str, Any]]:
    return [
        {
            "kind": fault.kind,
            "does": fault.does,
            "needs": list(fault.needs),
            "rare": fault.rare,
            "available": _why_not(fault) is None,
            "rows": [row.number for row in ROWS if fault.kind in row.full],
        }
        for fault in FAULTS.values()
    ]


def _remark(fault: Fault) -> str:
    why = _why_not(fault)
    words = ["only by name or by `every`"] if fault.rare else []
    words += [f"not available here: {why}"] if why else []
    return f"  ({'; '.join(words)})" if words else ""


def _why_not(fault: Fault) -> str | None:
    """Return why this machine cannot do it, whatever the target; None if it can."""
    if "strace" in fault.needs and not syscalls.available():
        return MISSING["strace"]
    return None


def _show(row: Row) -> None:
    places = (("m", row.mock), ("b", row.bridge_mock), ("f", row.full))
    layers = "".join(letter if by else "-" for letter, by in places)
    print(f"{row.number:>2} {layers}  {row.fault}: {row.mechanism}")
    for letter, by in places:
        if by:
            print(f"        {letter}: {', '.join(by)}")
    for word, text in (("needs", row.privilege), ("not here", row.not_here)):
        if text:
            print(f"        {word}: {text}")
