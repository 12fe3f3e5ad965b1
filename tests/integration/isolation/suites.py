"""Suites that tests write and run in a process of their own, and what came out of them."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent
from typing import Final

# Every report, as one line of JSON; the controller of pytest-xdist has those of its workers too.
_RECORDER: Final = """
import json
import os

def pytest_runtest_logreport(report):
    if "PYTEST_XDIST_WORKER" in os.environ:
        return
    leaks = [leak for name, value in report.user_properties if name == "poolproof_leaks" for leak in value]
    line = [report.nodeid.partition("::")[2], report.when, report.outcome, leaks, str(report.longrepr)]
    with open(__file__.replace("conftest.py", ".reports.jsonl"), "a") as file:
        print(json.dumps(line), file=file)
"""
FOREIGN: Final = ("PYTEST_ADDOPTS", "PYTEST_XDIST_")
"""Variables by which our own run would be told to a suite in it: it is no worker of ours."""
_INI: Final = "[pytest]\nasyncio_default_fixture_loop_scope = function\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """One phase of one test."""

    test: str
    when: str
    outcome: str
    leaks: list[dict[str, str]]
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a run has shown."""

    exit_code: int
    output: str
    seconds: float
    reports: list[Report]

    def outcomes(self, when: str) -> dict[str, str]:
        """Return the outcome of each test in one phase, its last one if it was run again."""
        return {report.test: report.outcome for report in self.reports if report.when == when}

    def leaks(self) -> list[tuple[str, str]]:
        """Return (test, kind) of each leak."""
        return [(r.test, leak["resource"]) for r in self.reports for leak in r.leaks]


def run(
    folder: Path,
    source: str,
    *options: str,
    plugins: tuple[str, ...] = (),
    ini: str = "",
    variables: Mapping[str, str] | None = None,
    timeout: float = 50,
) -> Outcome:
    """Run a suite of one file in a process of its own, with our plugin and the named ones, and no others."""
    (folder / "test_it.py").write_text(dedent(source), encoding="utf-8")
    (folder / "pytest.ini").write_text(_INI + ini, encoding="utf-8")
    (folder / "conftest.py").write_text(_RECORDER, encoding="utf-8")
    # pytest-cov erases the data file that it is told of, which is our own run's.
    foreign = (*FOREIGN, "COVERAGE_") if "pytest_cov.plugin" in plugins else FOREIGN
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(foreign)},
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "PYTEST_PLUGINS": ",".join(["poolproof.pytest_plugin", *plugins]),
        **(variables or {}),
    }
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *options]
    began = time.monotonic()
    result = subprocess.run(
        command,
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    return Outcome(
        exit_code=result.returncode,
        output=result.stdout + result.stderr,
        seconds=time.monotonic() - began,
        reports=_read(folder / ".reports.jsonl"),
    )


def _read(file: Path) -> list[Report]:
    if not file.exists():
        return []
    lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    return [Report(test=t, when=w, outcome=o, leaks=k, text=x) for t, w, o, k, x in lines]
