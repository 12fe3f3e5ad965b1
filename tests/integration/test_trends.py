"""How a suite goes: what grows and what is flaky is found, and what only varies is not accused."""

import json
from pathlib import Path
from random import Random

import pytest

from poolproof.cli import main
from poolproof.errors import UsageError
from poolproof.isolation.runs.records import Case, Record
from poolproof.trends import MOST_RUNS, Trends, coverage_of, mann_kendall, opened

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("sigterm_kept")]


def record(**seconds: float) -> Record:
    cases = {name: Case(test=name, seconds={"call": took}) for name, took in seconds.items()}
    return Record(tests=cases, seconds=sum(seconds.values()))


def filled(kept: Trends, runs: int, growth: float = 0.0, seed: int = 1) -> None:
    rng = Random(seed)
    for number in range(runs):
        took = 0.1 * (1 + growth * number / runs) * rng.lognormvariate(0, 0.1)
        kept.add(record(grows=took, steady=0.01 * rng.lognormvariate(0, 0.3)), at=float(number))


def test_a_test_that_grows_is_found_and_one_that_varies_is_not(tmp_path: Path) -> None:
    with opened(tmp_path / "trends") as kept:
        filled(kept, 30, growth=1.0)

        assert [one.test for one in kept.growing()] == ["grows"]
        assert 1.5 < kept.growing()[0].factor < 2.5


def test_noise_is_hardly_ever_taken_for_growth(tmp_path: Path) -> None:
    accused = 0
    for seed in range(10):
        with opened(tmp_path / str(seed)) as kept:
            filled(kept, 30, seed=seed)
            accused += len(kept.growing())

    assert accused <= 1


def test_a_test_that_changes_its_mind_is_flaky_and_one_that_always_fails_is_not(
    tmp_path: Path,
) -> None:
    with opened(tmp_path / "trends") as kept:
        for number in range(4):
            cases = {
                "flaky": Case(test="flaky", outcome="failed" if number == 2 else "passed"),
                "broken": Case(test="broken", outcome="error"),
                "rerun": Case(test="rerun", reruns=number == 1),
                "skipped": Case(test="skipped", outcome="skipped"),
            }
            kept.add(Record(tests=cases))

        assert [(one.test, one.bad, one.runs) for one in kept.flaky()] == [
            ("flaky", 1, 4),
            ("rerun", 0, 4),
        ]
        assert kept.runs()[-1].tests == 3


def test_the_slowest_is_first_by_its_median(tmp_path: Path) -> None:
    with opened(tmp_path / "trends") as kept:
        for took in (1.0, 1.0, 9.0):
            kept.add(record(a=took, b=2.0))

        assert kept.slowest(2) == [("b", 2.0), ("a", 1.0)]


def test_the_oldest_runs_go(tmp_path: Path) -> None:
    with opened(tmp_path / "trends") as kept:
        for number in range(MOST_RUNS + 3):
            kept.add(record(a=1.0), at=float(number))

        assert (len(kept.runs()), kept.runs()[0].at) == (MOST_RUNS, 3.0)


def test_the_trend_test_is_manns() -> None:
    """H. B. Mann's variance for n = 10: 125; all 45 pairs go up."""
    assert mann_kendall(range(10)) == pytest.approx(44 / 125**0.5)
    assert mann_kendall([1.0] * 10) == 0


def test_a_file_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no database at all, and long enough to be looked at" * 20)
    with (
        pytest.raises(UsageError, match="expected a file of `poolproof trends`"),
        opened(tmp_path / "text"),
    ):
        pass
    with pytest.raises(UsageError, match="expected what `coverage json` wrote"):
        coverage_of(tmp_path / "text")


def test_the_command_adds_a_recorded_run_and_tells_all(
    pytester: pytest.Pytester, capsys: pytest.CaptureFixture[str]
) -> None:
    pytester.makeini("[pytest]\nasyncio_default_fixture_loop_scope = function\n")
    pytester.makepyfile(test_it="def test_a(): ...\ndef test_b(): assert 0\n")
    pytester.runpytest_inprocess("--poolproof=off", "--poolproof-record=run.jsonl")
    Path("coverage.json").write_text(json.dumps({"totals": {"percent_covered": 95.5}}))
    capsys.readouterr()

    assert (
        main(["trends", "--data", "data", "--add", "run.jsonl", "--coverage", "coverage.json"]) == 0
    )
    said = capsys.readouterr().out
    assert "the last: 2 tests, 1 bad" in said
    assert "95.5 % now" in said
    assert "test_it.py::test_a" in said
    assert main(["trends", "--data", "other"]) == 3
