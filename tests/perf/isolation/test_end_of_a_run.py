"""How long a parallel run goes on after its last test, where a test has left a forked child that holds its pipes."""

from pathlib import Path
from typing import Final

import pytest

from tests.integration.isolation.suites import run

pytestmark = pytest.mark.perf

MOST_SECONDS: Final = 2.0
FORKER: Final = """
    import os, signal

    def test_fork():
        if os.fork() == 0:
            signal.pause()

    def test_other(): pass
"""
# The controller writes down when it has heard of the last test.
CLOCK: Final = """
import time
def pytest_runtest_logreport(report):
    if report.when == "teardown":
        with open("last", "w") as file: file.write(str(time.time()))
def pytest_unconfigure(config):
    if not hasattr(config, "workerinput"):
        with open("end", "w") as file: file.write(str(time.time()))
"""


@pytest.mark.parametrize("mode", ["report", "fail"])
def test_a_forked_child_does_not_hold_up_the_end_of_a_parallel_run(
    tmp_path: Path, mode: str
) -> None:
    (tmp_path / "clock.py").write_text(CLOCK)
    outcome = run(
        tmp_path,
        FORKER,
        "-n2",
        f"--poolproof={mode}",
        plugins=("xdist.plugin", "clock"),
        variables={"PYTHONPATH": str(tmp_path)},
    )

    waited = float((tmp_path / "end").read_text()) - float((tmp_path / "last").read_text())
    assert outcome.leaks() == [("test_fork", "child")]
    assert waited < MOST_SECONDS
