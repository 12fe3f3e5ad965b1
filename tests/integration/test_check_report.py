"""What a check says, on the terminal and in its JSON, is whole, adds up, and can be repeated."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest

from tests.integration.commands import QUICK, Command, Ended, check, loaded

pytestmark = pytest.mark.integration

KILL_BUSY: Final = ("multiprocessing.Pool", *QUICK, "--faults", "kill-busy")
KNOWN: Final = """[[accept]]
invariant = "unresolved-job"
fault = "kill-busy"
reason = "python/cpython#66587"
expires = 2999-12-31
"""
SOUND: Final = ("concurrent.futures.ThreadPoolExecutor", *QUICK, "--faults", "error-in-job")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("report")


@pytest.fixture(scope="module")
def ended(folder: Path) -> Ended:
    """A check of a pool that loses the job of a killed worker."""
    return check(*KILL_BUSY, "--out", "out", "--json", "sub/report.json", cwd=folder)


@pytest.fixture(scope="module")
def report(ended: Ended, folder: Path) -> dict[str, Any]:
    assert ended.code == 1, ended.err
    return loaded(folder / "sub" / "report.json")


@pytest.fixture(scope="module")
def plan(report: dict[str, Any]) -> Path:
    return Path(violations(report)[0]["plan"])


def violations(report: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the rows of what was broken."""
    return [row for row in report["checks"] if row["verdict"] == "invalid"]


def plans(folder: Path) -> dict[str, Any]:
    """Return every saved plan, without the places where it was made."""
    found = {path.name: loaded(path) for path in (folder / "plans").glob("*.json")}
    return {name: {**plan, "target": plan["target"]["name"]} for name, plan in found.items()}


def test_a_sound_pool_is_valid(folder: Path) -> None:
    sound = check(*SOUND, "--out", "sound", cwd=folder)

    assert (sound.code, sound.left) == (0, [])
    assert "VALID  concurrent.futures.ThreadPoolExecutor: 0 broken promises" in sound.out


def test_a_pool_to_which_nothing_that_was_asked_applies_is_unknown(folder: Path) -> None:
    arguments = ("concurrent.futures.ThreadPoolExecutor", *QUICK, "--null", "--faults", "kill-busy")

    assert check(*arguments, "--out", "nothing", cwd=folder).code == 3


def test_an_error_of_poolproof_itself_is_no_verdict(folder: Path) -> None:
    program = (
        "import sys; from poolproof import cli; from poolproof.chaos import check;"
        "check.Inquiry.result = lambda *_: 1 / 0;"
        f"sys.exit(cli.main({['check', *SOUND, '--out', 'error']!r}))"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], cwd=folder, capture_output=True, text=True, check=False
    )

    assert run.returncode == 4
    assert "ZeroDivisionError" in run.stderr
    assert run.stderr.endswith(
        "this is an error of poolproof itself, not a verdict on the target\n"
    )


def test_the_first_line_is_the_seed(ended: Ended) -> None:
    assert ended.out.splitlines()[0].startswith("seed 1 ")


def test_every_violation_is_shown_with_evidence_a_story_and_a_replay(
    ended: Ended, report: dict[str, Any]
) -> None:
    assert violations(report)
    for row in violations(report):
        assert row["evidence"]
        assert row["story"]
        assert row["hits"] <= row["trials"]
        assert row["replay"] == f"poolproof replay {row['plan']}"
        assert Path(row["plan"]).is_file()
        assert f"replay: {row['replay']}" in ended.out


def test_a_violation_takes_at_most_25_lines(ended: Ended) -> None:
    stories = ended.out.split("\nBROKEN")[1:]

    assert [len(story.split("\n\n")[0].splitlines()) for story in stories if story] != []
    assert max(len(story.split("\n\n")[0].splitlines()) for story in stories) <= 25


def test_the_report_in_the_directory_of_the_run_is_the_same(
    report: dict[str, Any], folder: Path
) -> None:
    assert loaded(folder / "out" / "result.json") == report


@pytest.fixture(scope="module")
def accepted(folder: Path) -> Ended:
    """The same check with the same seed, of which the violation is known."""
    (folder / "known.toml").write_text(KNOWN)
    return check(*KILL_BUSY, "--accept", "known.toml", "--out", "again", cwd=folder)


@pytest.mark.slow
def test_a_seed_given_twice_makes_the_same_plans(
    ended: Ended, accepted: Ended, folder: Path
) -> None:
    assert ended.out.split()[:2] == accepted.out.split()[:2] == ["seed", "1"]
    assert plans(folder / "out") == plans(folder / "again") != {}


def test_what_is_accepted_is_said_and_does_not_fail(accepted: Ended) -> None:
    assert accepted.code == 0, accepted.out
    assert "accepted: python/cpython#66587" in accepted.out
    assert "0 broken promises, 1 accepted" in accepted.out


def test_a_violation_is_replayed_from_its_file_alone_nine_times_of_ten(
    plan: Path, tmp_path: Path
) -> None:
    moved = tmp_path / "moved.json"
    shutil.copy(plan, moved)

    replayed = Command(
        "replay", str(moved), "--times", "10", "--json", "found.json", cwd=tmp_path
    ).end()

    hits = loaded(tmp_path / "found.json")["hits"]["unresolved-job"]
    assert (replayed.code, replayed.left) == (1, [])
    assert hits >= 9
    assert f"unresolved-job: {hits} of 10 (95 % Wilson interval " in replayed.out
    assert "FAULT kill-busy of process" in replayed.out


def test_a_plan_of_what_is_no_longer_there_is_refused(plan: Path, tmp_path: Path) -> None:
    gone = loaded(plan)
    gone["target"]["cwd"] = str(tmp_path / "gone")
    (tmp_path / "gone.json").write_text(json.dumps(gone))

    replayed = Command("replay", "gone.json", cwd=tmp_path).end()

    assert (replayed.code, replayed.left) == (2, [])
    assert str(tmp_path / "gone") in replayed.complaint


def test_what_did_not_fit_into_the_time_is_said_not_to_be_tried(folder: Path) -> None:
    result = folder / "short" / "result.json"
    # In the shortest time, a crowded machine does not end the first trial, either.
    for seconds in ("2", "4", "8", "16"):
        if not result.exists():
            arguments = ("--seed", "1", "--time", seconds, "--out", "short")
            check("multiprocessing.Pool", *arguments, cwd=folder)

    found = loaded(result)
    rows = {row["fault"]: row["verdict"] for row in found["faults"]}
    assert rows.get("crash-points") == "not tried" or found["crash_points"]["not_tried"]


def test_a_pool_of_threads_has_no_crash_points_and_that_is_said(folder: Path) -> None:
    arguments = ("concurrent.futures.ThreadPoolExecutor", "--faults", "none", "--seed", "1")
    check(*arguments, "--out", "threads", cwd=folder)

    (*_, row) = loaded(folder / "threads" / "result.json")["faults"]
    assert (row["fault"], row["verdict"]) == ("crash-points", "not applicable")


def test_a_check_leaves_its_page_and_says_where(ended: Ended, folder: Path) -> None:
    page = folder / "out" / "report.html"

    assert f"report: {page}" in ended.out
    assert "unresolved-job" in page.read_text()


def test_the_page_is_written_again_where_it_is_wanted(ended: Ended, folder: Path) -> None:
    assert ended.code == 1
    told = Command("report", "out", "--out", "sub/page.html", cwd=folder).end()

    assert (told.code, told.out.strip()) == (0, str(folder / "sub" / "page.html"))
    assert (folder / "sub" / "page.html").stat().st_size < 2_000_000


def test_a_run_that_is_judged_anew_is_judged_the_same(ended: Ended, folder: Path) -> None:
    again = Command(
        "recheck", "out", "--junit", "junit.xml", cwd=folder, GITHUB_ACTIONS="true"
    ).end()

    assert again.code == ended.code
    assert "the same as then" in again.out
    assert "::error title=poolproof%3A unresolved-job under kill-busy::" in again.out
    assert '<failure type="invalid"' in (folder / "junit.xml").read_text()


def test_two_runs_are_compared_and_worse_is_worse(
    ended: Ended, accepted: Ended, folder: Path
) -> None:
    assert {ended.code, accepted.code} == {0, 1}
    worse = Command("diff", "again", "out", "--json", "diff.json", cwd=folder).end()

    assert worse.code == 1
    assert loaded(folder / "diff.json")["verdict"] == [
        {"about": "verdict", "before": "valid", "after": "invalid", "way": "worse"}
    ]


@pytest.fixture(scope="module")
def promoted(ended: Ended, folder: Path) -> Path:
    """The test that is written for what was broken."""
    assert ended.code == 1
    arguments = ("promote", "out", "--to", "tests/test_keeps.py", "--times", "1")
    told = Command(*arguments, cwd=folder).end()
    assert (told.code, told.out.count("\n+def test_")) == (0, 1)
    return folder / "tests" / "test_keeps.py"


@pytest.fixture(scope="module")
def played(promoted: Path, folder: Path) -> str:
    """What plain pytest says of that test, and of the same for a sound pool."""
    sound = Path(__file__).parents[1] / "chaos" / "zoo" / "process_pool.py"
    other = promoted.read_text().replace('"multiprocessing.Pool"}', f'"{sound}:make_pool"}}')
    assert str(sound) in other
    promoted.with_name("test_sound.py").write_text(other)
    arguments = [
        sys.executable,
        "-m",
        "pytest",
        "-rA",
        "-p",
        "no:cacheprovider",
        "-W",
        "ignore",
        "tests",
    ]
    return subprocess.run(arguments, cwd=folder, capture_output=True, text=True, check=False).stdout


@pytest.mark.slow
def test_the_promoted_test_fails_on_the_broken_pool(played: str) -> None:
    assert "\nFAILED tests/test_keeps.py::test_kill_busy_unresolved_job" in played
    assert "BrokenAgainError: invalid: unresolved-job" in played
    for line in (
        "verdict: invalid: unresolved-job",
        "receipt: gone from /proc",
        "replay: poolproof",
    ):
        assert f"\n{line}" in played


def test_the_promoted_test_passes_on_a_sound_pool(played: str) -> None:
    assert "\nPASSED tests/test_sound.py::test_kill_busy_unresolved_job" in played
