"""Whatever becomes of one test, the others' outcomes are as they were; and nothing of it outlives the run."""

import os
import re
from pathlib import Path
from typing import Final

import pytest

from tests.integration.isolation.suites import Outcome, run

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("unmeasured")]

PLACES: Final = ("before", "after")
SUITE: Final = """
    import os, pytest, signal

    @pytest.fixture
    def broken():
        os.environ["PLANTED"] = "1"
        assert False

    @pytest.fixture
    def fine(): pass
"""
# Each is a test, between others that are sound.
ENDS: Final = {
    "fails": "def test_fails(fine): assert not os.environ.setdefault('PLANTED', '1')",
    "times out": "@pytest.mark.timeout(0.3)\n    def test_times_out(fine): signal.pause()",
    "breaks in set-up": "def test_breaks(broken): pass",
    "calls os._exit": "def test_exits(fine): os._exit(3)",
    "is killed": "def test_is_killed(fine): os.kill(os.getpid(), signal.SIGKILL)",
}
SOUND: Final = """
    def test_before_{0}(): assert "PLANTED" not in os.environ

    {1}

    def test_after_{0}(): assert "PLANTED" not in os.environ
"""


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """Run them all, on two workers, of which two die."""
    suite = SUITE + "".join(SOUND.format(*each) for each in enumerate(ENDS.values()))
    return run(
        tmp_path_factory.mktemp("ends"),
        suite,
        *("-n2", "--timeout=60", "--poolproof=fail"),
        plugins=("xdist.plugin", "pytest_timeout"),
        timeout=100,
    )


@pytest.mark.parametrize("end", ENDS)
def test_however_a_test_ends_it_alone_fails(ended: Outcome, end: str) -> None:
    (test,) = re.findall(r"def (\w+)", ENDS[end])

    assert any(report.test == test and report.outcome == "failed" for report in ended.reports)


def test_however_tests_end_the_others_pass(ended: Outcome) -> None:
    sound = [f"test_{place}_{number}" for number in range(len(ENDS)) for place in PLACES]
    calls = ended.outcomes("call")

    assert [calls.get(test, "lost") for test in sound] == ["passed"] * len(sound)
    assert not [r for r in ended.reports if r.test in sound and r.outcome != "passed"]


FORKER: Final = """
    import os, signal

    def test_fork():
        if (child := os.fork()) == 0:
            signal.pause()
        with open(".child", "w") as file: file.write(str(child))

    def test_other(): pass
"""


def test_a_forked_child_is_charged_to_its_test_and_does_not_outlive_a_parallel_run(
    tmp_path: Path,
) -> None:
    outcome = run(tmp_path, FORKER, "-n2", plugins=("xdist.plugin",))

    assert outcome.leaks() == [("test_fork", "child")]
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / ".child").read_text()), 0)


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


MANY: Final = """
    import os, pytest, signal, subprocess

    def test_fork():
        if pid := os.fork():
            os.waitpid(pid, 0)

    def test_other():
        with open(".ran", "a") as file: file.write("x")

    def test_daemon():
        command = ["setsid", "sh", "-c", "sleep 600 >/dev/null & echo $!"]
        pid = int(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
        os.kill(pid, signal.SIGKILL)
        try:
            while True:
                os.kill(pid, 0)
        except ProcessLookupError:
            pass

    def test_both():
        os.environ["PLANTED"] = "1"
        assert False, "my own"

    @pytest.fixture
    def bad():
        yield
        assert False, "of the fixture"

    def test_badly_ended(bad): os.environ["PLANTED"] = "1"
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("many")


@pytest.fixture(scope="module")
def many(folder: Path) -> Outcome:
    return run(folder, MANY, "--poolproof=fail", "--timeout=60", plugins=("pytest_timeout",))


def test_a_forked_child_that_comes_back_runs_no_other_test(many: Outcome, folder: Path) -> None:
    assert (folder / ".ran").read_text() == "x"
    assert many.outcomes("call")["test_fork"] == "passed"


def test_a_test_that_waits_for_a_daemons_number_to_be_nobodys_comes_to_its_end(
    many: Outcome,
) -> None:
    assert many.outcomes("call")["test_daemon"] == "passed"
    assert many.leaks() == [("test_both", "environment"), ("test_badly_ended", "environment")]


def test_the_failure_of_a_test_is_not_hidden_by_its_leak(many: Outcome) -> None:
    by_phase = {report.when: report for report in many.reports if report.test == "test_both"}

    assert "my own" in by_phase["call"].text
    assert "left behind" not in by_phase["call"].text
    assert "PLANTED set" in by_phase["teardown"].text


def test_a_leak_stands_beside_a_failing_teardown(many: Outcome) -> None:
    ends = [r for r in many.reports if (r.test, r.when) == ("test_badly_ended", "teardown")]

    assert ["of the fixture" in report.text for report in ends] == [True]
    assert many.output.count("PLANTED set") >= 2


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
