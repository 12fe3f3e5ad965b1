"""`poolproof verify` and `poolproof doctor` on suites that are wrong in known ways, and on one that is not."""

from pathlib import Path
from typing import Any, Final

import pytest

from tests.integration.isolation.wrong_suites import found, suite

# Each run of a suite is a start of pytest, which takes its time on a busy machine.
pytestmark = [
    pytest.mark.integration,
    pytest.mark.timeout(300),
    pytest.mark.usefixtures("unmeasured"),
]

WRONG: Final = """
    import os, time, pytest

    HERE = os.path.dirname(__file__)

    def times(name):
        with open(os.path.join(HERE, name), "a+") as file:
            file.write("x")
            return file.tell()

    def test_broken():
        raise OSError(98, "Address already in use")

    def test_flaky():
        assert times(".flaky") != 5  # the second one of all in one process

    def test_polluter():
        os.environ["MODE"] = "slow"

    def test_victim():
        assert "MODE" not in os.environ

    @pytest.mark.skipif("PYTEST_XDIST_WORKER" in os.environ, reason="not in parallel")
    def test_shy():
        pass

    @pytest.mark.skipif(os.path.exists(HERE + "/.flaky"), reason="never in a later run")
    def test_never():
        pass

    if "PYTEST_XDIST_WORKER" not in os.environ:
        def test_gone():
            pass

    @pytest.mark.unit
    def test_slow():
        time.sleep(1.01)

    def test_careless():
        open(__file__)
"""


@pytest.fixture(scope="module")
def wrong(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int, dict[str, Any]]:
    folder = suite(tmp_path_factory.mktemp("wrong"), test_it=WRONG)
    arguments = ("--repeat", "2", "--workers", "2", "--seed", "3", "--out", "runs")
    return folder, *found(folder, "verify", *arguments)


def test_each_thing_that_is_wrong_is_found_under_its_name(
    wrong: tuple[Path, int, dict[str, Any]],
) -> None:
    _, code, answer = wrong
    kinds = {
        (finding["kind"], finding["test"].rpartition("_")[2]) for finding in answer["findings"]
    }

    assert {
        ("fails", "broken"),
        ("flaky", "flaky"),
        ("polluted", "victim"),
        ("newly skipped", "shy"),
        ("newly skipped", "never"),
        ("lost", "gone"),
        ("slow", "slow"),
        ("leak", "polluter"),
        ("unclosed", "careless"),
    } <= kinds
    assert code == 1


def test_every_gate_that_is_broken_is_told(wrong: tuple[Path, int, dict[str, Any]]) -> None:
    _, _, answer = wrong
    verdicts = {gate["name"]: gate["verdict"] for gate in answer["gates"]}

    assert {name for name, verdict in verdicts.items() if verdict == "invalid"} >= {
        "tests",
        "flakes",
        "clean-ups",
        "lost tests",
        "newly skipped",
    }


def test_the_doctor_reads_these_runs_and_says_what_comes_first(
    wrong: tuple[Path, int, dict[str, Any]],
) -> None:
    code, answer = found(wrong[0], "doctor", "--from", "runs")
    broken = next(d for d in answer["diagnoses"] if d["test"].endswith("broken"))

    assert (code, answer["compromised"], answer["advice"]) == (1, True, "fix clean-up first")
    assert broken["failure"] == "address-in-use"


SOUND: Final = """
    def test_one(tmp_path):
        (tmp_path / "a").write_text("a")

    class TestThings:
        def test_two(self, monkeypatch):
            monkeypatch.setenv("A_MODE", "slow")

        def test_three(self):
            pass
"""


def test_a_sound_suite_passes_on_every_rung_and_in_every_gate(tmp_path: Path) -> None:
    folder = suite(tmp_path, test_it=SOUND)

    code, answer = found(folder, "verify", "--ladder", "--workers", "2", "--out", "runs")
    healthy, checkup = found(folder, "doctor", "--from", "runs")

    assert (code, answer["verdict"], answer["findings"]) == (0, "valid", [])
    assert [run["tests"] for run in answer["runs"]] == [3] * 6
    assert (healthy, checkup["score"], checkup["advice"]) == (0, 0, "parallel")


@pytest.mark.slow
def test_the_doctor_makes_its_own_runs(tmp_path: Path) -> None:
    folder = suite(tmp_path, test_it="def test_it(): assert False")

    code, answer = found(folder, "doctor", "--one-process")

    assert (code, answer["advice"]) == (1, "fix the failing tests first")


def test_a_ladder_ends_at_the_rung_that_fails(tmp_path: Path) -> None:
    folder = suite(tmp_path, test_it="def test_it(): assert False")

    code, answer = found(folder, "verify", "--ladder", "--one-process")

    assert (code, [run["mode"] for run in answer["runs"]]) == (1, ["alone"])
