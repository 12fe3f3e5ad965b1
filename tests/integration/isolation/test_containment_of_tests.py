"""Whatever becomes of one test, the others' outcomes are as they were; and nothing of it outlives the run."""

import os
from pathlib import Path
from typing import Final

import pytest

from tests.integration.isolation.suites import Outcome, run

pytestmark = pytest.mark.integration

AROUND: Final = ("test_a", "test_b", "test_y", "test_z")
SUITE: Final = """
    import os, pytest, signal, subprocess, time

    def test_a(): pass
    def test_b(): assert "PLANTED" not in os.environ

    @pytest.fixture
    def broken():
        os.environ["PLANTED"] = "1"
        assert False

    @pytest.fixture
    def fine(): pass

    {test}

    def test_y(): assert "PLANTED" not in os.environ
    def test_z(): pass
"""
ENDS: Final = {
    "fails": "def test_it(fine): assert not os.environ.setdefault('PLANTED', '1')",
    "times out": "@pytest.mark.timeout(0.3)\n    def test_it(fine): signal.pause()",
    "breaks in set-up": "def test_it(broken): pass",
    "calls os._exit": "def test_it(fine): os._exit(3)",
    "is killed": "def test_it(fine): os.kill(os.getpid(), signal.SIGKILL)",
}


def others(outcome: Outcome) -> dict[str, str]:
    calls = outcome.outcomes("call")
    return {test: calls.get(test, "lost") for test in AROUND}


@pytest.mark.parametrize("end", ENDS)
def test_however_a_test_ends_the_others_pass(tmp_path: Path, end: str) -> None:
    options = ("-n2", "--timeout=20", "--poolproof=fail")
    suite = SUITE.format(test=ENDS[end])
    outcome = run(tmp_path, suite, *options, plugins=("xdist.plugin", "pytest_timeout"))

    assert others(outcome) == dict.fromkeys(AROUND, "passed")
    assert any(r.outcome == "failed" and r.test == "test_it" for r in outcome.reports)


FORKER: Final = """
    import os, signal, sys

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
    assert waited < 10, "twenty seconds without the guard; within two on a machine that is not crowded"


def test_orphans_of_a_crashed_worker_are_ended_by_the_controller(tmp_path: Path) -> None:
    suite = """
        import os, subprocess

        def test_crash():
            child = subprocess.Popen(["sleep", "3600"])
            with open("pid", "w") as file: file.write(str(child.pid))
            os._exit(1)

        def test_other(): pass
    """
    outcome = run(tmp_path, suite, "-n2", plugins=("xdist.plugin",))

    assert outcome.outcomes("call")["test_other"] == "passed"
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


def test_a_forked_child_that_comes_back_runs_no_other_test(tmp_path: Path) -> None:
    suite = """
        import os

        def test_fork():
            if pid := os.fork():
                os.waitpid(pid, 0)

        def test_other():
            with open("ran", "a") as file: file.write("x")
    """
    outcome = run(tmp_path, suite)

    assert (tmp_path / "ran").read_text() == "x"
    assert outcome.exit_code == 0


def test_a_test_that_waits_for_a_daemons_number_to_be_nobodys_comes_to_its_end(
    tmp_path: Path,
) -> None:
    suite = """
        import os, signal, subprocess

        def test_daemon():
            command = ["setsid", "sh", "-c", "sleep 600 >/dev/null & echo $!"]
            pid = int(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
            os.kill(pid, signal.SIGKILL)
            try:
                while True:
                    os.kill(pid, 0)
            except ProcessLookupError:
                pass
    """
    outcome = run(tmp_path, suite, "--poolproof=fail", "--timeout=10", plugins=("pytest_timeout",))

    assert (outcome.exit_code, outcome.leaks()) == (0, [])


def test_the_failure_of_a_test_is_not_hidden_by_its_leak(tmp_path: Path) -> None:
    suite = """
        import os

        def test_both():
            os.environ["PLANTED"] = "1"
            assert False, "my own"
    """
    outcome = run(tmp_path, suite, "--poolproof=fail")

    by_phase = {report.when: report for report in outcome.reports}
    assert "my own" in by_phase["call"].text
    assert "left behind" not in by_phase["call"].text
    assert "PLANTED set" in by_phase["teardown"].text


ENDS_LATE: Final = """
    class Late:
        def __init__(self): self.me = self
        def __del__(self): raise OSError("too late")

    def test_late(tmp_path):
        late = Late()
        late.file = open(tmp_path / "left", "w")
        assert not late

    def test_other(): pass
"""


@pytest.mark.parametrize("strict", [True, False])
def test_what_a_finaliser_raises_is_told_by_the_test_that_left_it(
    tmp_path: Path,
    strict: bool,  # noqa: FBT001
) -> None:
    errors = "\n  error::ResourceWarning\n  error::pytest.PytestUnraisableExceptionWarning\n"
    outcome = run(tmp_path, ENDS_LATE, ini=f"filterwarnings ={errors}" if strict else "")

    ends = {(report.test, report.when): report.outcome for report in outcome.reports}
    assert ends["test_late", "teardown"] == ("failed" if strict else "passed")
    assert ends["test_other", "setup"] == ends["test_other", "teardown"] == "passed"
    assert outcome.leaks().count(("test_late", "unraisable")) == (2 if strict else 0)
    assert "OSError: too late" in outcome.output
    assert ("PytestUnraisableExceptionWarning: Exception ignored" in outcome.output) == (not strict)


def test_a_leak_stands_beside_a_failing_teardown(tmp_path: Path) -> None:
    suite = """
        import os, pytest

        @pytest.fixture
        def bad():
            yield
            assert False, "of the fixture"

        def test_both(bad): os.environ["PLANTED"] = "1"
    """
    outcome = run(tmp_path, suite, "--poolproof=fail")

    (report,) = [r for r in outcome.reports if r.when == "teardown"]
    assert "of the fixture" in report.text
    assert "PLANTED set" in outcome.output
    assert outcome.leaks() == [("test_both", "environment")]
