"""What every command that takes a TARGET shares: its options, and the target that they name."""

import argparse
import math
import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from poolproof.errors import UsageError
from poolproof.plan import Target

HELP: Final = "package.Name, package.module:factory, or path/to/file.py:factory"


def add_target(parser: argparse.ArgumentParser) -> None:
    """Add TARGET, and how it is built and run."""
    add = parser.add_argument
    add("target", help=HELP)
    add("--workers", type=int, default=2, help="how many workers the factory is asked for (2)")
    add(
        "--deadline",
        type=float,
        default=10.0,
        metavar="SECONDS",
        help="bound of the factory and of a first job",
    )
    add("--adapter", help="the family of the pool, or module:Class (default: by its shape)")
    add(
        "--python",
        default=sys.executable,
        metavar="PATH",
        help="the interpreter that has the target",
    )


def target(
    arguments: argparse.Namespace,
    *,
    own: tuple[str, ...] = (),
    promises: Mapping[str, Any] | None = None,
) -> Target:
    """Return the target that the options name.

    Raises:
        UsageError: an option that cannot be.
    """
    at_least("--workers", arguments.workers, 1)
    at_least("--deadline", arguments.deadline, 0.1)
    cwd = Path.cwd()
    return Target(
        name=named(arguments.target, cwd),
        cwd=str(cwd),
        python=interpreter(arguments.python),
        adapter=arguments.adapter,
        own=own,
        workers=arguments.workers,
        deadline=arguments.deadline,
        promises=dict(promises or {}),
    )


def named(name: str, cwd: Path) -> str:
    """Return the name of a target such that it is found from anywhere."""
    file, colon, factory = name.rpartition(":")
    return f"{os.path.normpath(cwd / file)}{colon}{factory}" if file.endswith(".py") else name


def at_least(option: str, value: float | None, least: float) -> None:
    """Raise UsageError where an option's number is too small, or none."""
    if value is not None and not least <= value < math.inf:
        raise UsageError(f"expected {option} to be a number from {least:g} on, got {value:g}")


def interpreter(path: str) -> str:
    """Return the absolute path of an interpreter; raise UsageError if it cannot be run."""
    found = shutil.which(path)
    if found is None:
        raise UsageError(
            f"expected a Python interpreter for --python, got {path}, which cannot be run"
        )
    return os.path.abspath(found)  # noqa: PTH100 - a virtual environment is known by its link
