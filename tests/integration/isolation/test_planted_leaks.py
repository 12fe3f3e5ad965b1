"""Leaks of every kind, planted one a test: each is found, charged to the test that left it, and undone."""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest

from tests.integration.isolation.suites import FOREIGN

pytestmark = pytest.mark.integration

SUITES: Final = {
    file.stem: file.read_text(encoding="utf-8")
    for file in sorted((Path(__file__).parent / "planted").glob("*.py"))
}


def planted(source: str) -> dict[str, tuple[str, str]]:
    """Return `LEAKS` of a suite, without running it."""
    (leaks,) = (
        node.value
        for node in ast.parse(source).body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "LEAKS"
    )
    found: dict[str, tuple[str, str]] = ast.literal_eval(leaks)
    return found


KINDS: Final = [
    (suite, test, *expected)
    for suite, source in SUITES.items()
    for test, expected in planted(source).items()
]
PLUGINS: Final = {
    "loops": ["pytest_asyncio.plugin", "anyio.pytest_plugin", "_hypothesis_pytestplugin"]
}
INI: Final = """
[pytest]
asyncio_default_fixture_loop_scope = function
poolproof = fail
poolproof_policy = class-attribute: fail
"""
# The conftest of each suite: every report, as one line of JSON.
RECORDER: Final = """
import json
def pytest_runtest_logreport(report):
    leaks = [leak for name, value in report.user_properties if name == "poolproof_leaks" for leak in value]
    line = [report.nodeid.partition("::")[2], report.when, report.outcome, leaks]
    with open(__file__.replace("conftest.py", "reports.jsonl"), "a") as file:
        print(json.dumps(line), file=file)
"""

Reports = dict[str, dict[str, tuple[str, list[dict[str, str]]]]]


def begin(folder: Path, suite: str) -> subprocess.Popen[str]:
    (folder / f"test_{suite}.py").write_text(SUITES[suite], encoding="utf-8")
    (folder / "pytest.ini").write_text(INI, encoding="utf-8")
    (folder / "conftest.py").write_text(RECORDER, encoding="utf-8")
    plugins = ",".join(["poolproof.pytest_plugin", *PLUGINS.get(suite, [])])
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)},
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "PYTEST_PLUGINS": plugins,
    }
    # Without -s, pytest itself puts the streams back.
    command = [sys.executable, "-m", "pytest", "-s", "-p", "no:cacheprovider"]
    with (folder / "output.txt").open("w") as output:
        return subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            text=True,
        )


def end(running: subprocess.Popen[str], folder: Path) -> Reports:
    assert running.wait(100) == 1, (folder / "output.txt").read_text(encoding="utf-8")
    return read(folder / "reports.jsonl")


def read(file: Path) -> Reports:
    reports: Reports = {}
    for line in file.read_text(encoding="utf-8").splitlines():
        test, when, outcome, leaks = json.loads(line)
        reports.setdefault(test, {})[when] = (outcome, leaks)
    return reports


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Reports]:
    """Run the suites side by side: some leaks are given their time to end."""
    folders = {suite: tmp_path_factory.mktemp(suite) for suite in SUITES}
    running = {suite: begin(folder, suite) for suite, folder in folders.items()}
    try:
        return {suite: end(running[suite], folder) for suite, folder in folders.items()}
    finally:
        for process in running.values():
            process.kill()
            process.wait()


def test_there_are_at_least_thirty_kinds() -> None:
    assert len(KINDS) >= 30


@pytest.mark.parametrize(("suite", "test", "resource", "what"), KINDS)
def test_a_leak_is_found_and_charged_to_its_test(
    reports: dict[str, Reports], suite: str, test: str, resource: str, what: str
) -> None:
    outcome, leaks = reports[suite][test]["teardown"]
    found = [(leak["resource"], leak["what"]) for leak in leaks]

    assert any(slug == resource and what in text for slug, text in found), found
    assert {leak["owner"].partition("::")[2] for leak in leaks} == {test}
    assert outcome == ("passed" if resource == "atexit" else "failed")


@pytest.mark.parametrize(("suite", "test", "resource", "what"), KINDS)
def test_a_leak_fails_only_the_end_of_its_test(
    reports: dict[str, Reports], suite: str, test: str, resource: str, what: str
) -> None:
    del resource, what

    assert reports[suite][test]["call"][0] == "passed"


@pytest.mark.parametrize(("suite", "test", "resource", "what"), KINDS)
def test_the_next_test_is_unharmed_and_not_accused(
    reports: dict[str, Reports], suite: str, test: str, resource: str, what: str
) -> None:
    del resource, what
    phases: dict[str, Any] = reports[suite][f"{test}_next"]

    assert phases == dict.fromkeys(("setup", "call", "teardown"), ("passed", []))


def test_clean_use_of_everything_is_not_accused(reports: dict[str, Reports]) -> None:
    assert reports["things"]["test_clean_use_of_it_all"]["teardown"] == ("passed", [])
