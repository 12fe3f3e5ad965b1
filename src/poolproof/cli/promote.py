"""`poolproof promote RUN`: write a regression test for what a run broke, or bring one up to date, never looser."""

import argparse
import difflib
import os
import re
from pathlib import Path
from typing import Any, Final

from poolproof.chaos import promotion
from poolproof.chaos.saved import Run, open_run
from poolproof.cli import session
from poolproof.errors import UsageError

HELP: Final = (
    "write a regression test for what a run broke, or bring one up to date, never loosening it"
)


def add_parser(commands: Any) -> None:
    """Add the command's parser."""
    parser: argparse.ArgumentParser = commands.add_parser("promote", help=HELP, description=HELP)
    parser.set_defaults(run=run)
    add = parser.add_argument
    session.add_run(parser)
    add(
        "--to",
        type=Path,
        metavar="FILE",
        help="the test file (default: tests/test_TARGET_keeps.py)",
    )
    add(
        "--only",
        action="append",
        default=[],
        metavar="WORD",
        help="an invariant or a kind of fault; may be given again (default: everything that was broken)",
    )
    add(
        "--times",
        type=int,
        default=promotion.TIMES,
        metavar="N",
        help="how often each plan is played (default 3)",
    )
    add("--dry-run", action="store_true", help="print the difference, and write nothing")


def run(arguments: argparse.Namespace) -> int:
    """Write the file, and print what changed in it."""
    if arguments.times < 1:
        raise UsageError(f"expected --times to be at least 1, got {arguments.times}")
    saved = open_run(arguments.saved)
    path: Path = arguments.to or _default(saved)
    found = promotion.cases(saved, arguments.only, arguments.times)
    before = path.read_text() if path.exists() else None
    name = str(found[0].plan["target"]["name"])
    after = promotion.written(before, found, target=name, root=_root(saved, path))
    for line in difflib.unified_diff(
        (before or "").splitlines(), after.splitlines(), f"{path} (before)", str(path), lineterm=""
    ):
        print(line)
    if before == after:
        print(f"{path} has it all already")
    elif not arguments.dry_run:
        session.writable_file(path, "--to")
        path.write_text(after)
    return 0


def _default(saved: Run) -> Path:
    words = re.sub(r"[^a-z0-9]+", "_", saved.result.target.rpartition("/")[2].lower()).strip("_")
    return Path("tests", f"test_{words}_keeps.py")


def _root(saved: Run, path: Path) -> str:
    """Return an expression for the directory of the check, from where the test file is."""
    cwd = str(saved.result.environment.get("cwd", "."))
    up = os.path.relpath(cwd, path.resolve().parent)
    steps = Path(up).parts
    if steps and all(step == ".." for step in steps):
        return f"Path(__file__).parents[{len(steps)}]"
    return "Path(__file__).parent" if not steps else f'Path("{cwd}")'
