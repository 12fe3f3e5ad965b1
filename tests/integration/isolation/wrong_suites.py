"""Suites that are wrong on purpose, written into a directory of their own, and the commands that must find it."""

import json
import textwrap
from pathlib import Path
from typing import Any, Final

from tests.integration.commands import Command, Ended

PATIENCE_SECONDS: Final = 280.0
# Only what the suite itself is about: other plugins cost each of a hundred starts its time.
INI: Final = """
[pytest]
addopts = -p no:asyncio -p no:hypothesispytest -p no:anyio -p no:randomly -p no:rerunfailures -p no:pytest_cov
markers =
    unit: one part
    integration: several parts
"""


def suite(folder: Path, **files: str) -> Path:
    """Write a suite: each file by its name without `.py`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "pytest.ini").write_text(INI)
    for name, source in files.items():
        (folder / f"{name}.py").write_text(textwrap.dedent(source))
    return folder


def command(folder: Path, *arguments: str) -> Command:
    """Start the command in the suite's directory, with leases of its own."""
    leases = folder / ".leases"
    leases.mkdir(exist_ok=True)
    return Command(*arguments, cwd=folder, XDG_RUNTIME_DIR=str(leases))


def ran(folder: Path, *arguments: str) -> Ended:
    """Run the command to its end."""
    return command(folder, *arguments).end(PATIENCE_SECONDS)


def found(folder: Path, *arguments: str) -> tuple[int, dict[str, Any]]:
    """Run the command; return its exit code and its `--json`."""
    name, *rest = arguments
    ended = ran(folder, name, "--json", "found.json", *rest)
    file = folder / "found.json"
    assert file.exists(), ended.err
    answer: dict[str, Any] = json.loads(file.read_bytes())
    return ended.code, answer
