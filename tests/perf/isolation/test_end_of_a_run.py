"""How long a parallel run goes on after its last test, where a test has left a forked child that holds its pipes."""

from pathlib import Path
from typing import Final

import pytest

from tests.integration.isolation.suites import run

pytestmark = pytest.mark.perf

MOST_SECONDS: Final = 2.0
# For whose pipes are held, xdist waits 10 s, each time (its EXIT_TIMEOUT); a machine is crowded once.
TRIES: Final = 3
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
    assert any(seconds_to_the_end(tmp_path / str(n), mode) < MOST_SECONDS for n in range(TRIES))


def seconds_to_the_end(folder: Path, mode: str) -> float:
    """Return how long after its last test a run of two workers is over, one of which has left a child."""
    folder.mkdir()
    (folder / "clock.py").write_text(CLOCK)
    outcome = run(
        folder,
        FORKER,
        "-n2",
        f"--poolproof={mode}",
        plugins=("xdist.plugin", "clock"),
        variables={"PYTHONPATH": str(folder)},
    )
    assert outcome.leaks() == [("test_fork", "child")]
    return float((folder / "end").read_text()) - float((folder / "last").read_text())
