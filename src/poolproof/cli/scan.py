"""`poolproof scan PATH...`: what in the text of a project will be shared between tests, and what to do about it."""

import argparse
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from poolproof.errors import UsageError
from poolproof.isolation.scan import ADVICE, Finding, scan


def add_parser(commands: Any) -> None:
    """Add the command's parser."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "scan", help="find what tests will share: singletons, globals, caches, ports, names"
    )
    parser.set_defaults(run=run)
    parser.add_argument("paths", nargs="+", type=Path, help="files, or directories with all below")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write what was found to FILE")


def run(arguments: argparse.Namespace) -> int:
    """Print each finding, and what to do about its kind; always 0: it is advice, no verdict.

    Raises:
        UsageError: a path is not there, or a file is no Python.
    """
    try:
        found = scan(_sources(arguments.paths))
    except (SyntaxError, UnicodeDecodeError, OSError) as error:
        raise UsageError(f"expected Python files, got {error}") from error
    for finding in found:
        print(f"{finding.file}:{finding.line}: {finding.kind}: {finding.what}")
    _advise(found)
    if arguments.json:
        _save(found, arguments.json)
    return 0


def _sources(paths: list[Path]) -> Iterator[tuple[str, str]]:
    for path in paths:
        if not path.exists():
            raise UsageError(f"expected a file or a directory, got {path}, which is not there")
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            if not any(part.startswith(".") for part in file.parts[len(path.parts) :]):
                yield str(file), file.read_text(encoding="utf-8")


def _advise(found: list[Finding]) -> None:
    counts = Counter(finding.kind for finding in found)
    print("\n".join(f"{counts[kind]:5} {kind}: {ADVICE[kind]}" for kind in ADVICE if counts[kind]))
    if not found:
        print("nothing was found that tests would share")


def _save(found: list[Finding], file: Path) -> None:
    import msgspec  # noqa: PLC0415 - only for those who want a file

    rows = [{**msgspec.to_builtins(finding), "advice": finding.advice} for finding in found]
    file.write_bytes(msgspec.json.format(msgspec.json.encode(rows), indent=2) + b"\n")
