"""`poolproof scenario`: the names, a play in virtual time, a scenario of one's own, and what is refused."""

import json
from pathlib import Path

import pytest

from poolproof import cli
from poolproof.scenarios import SCENARIOS

pytestmark = [pytest.mark.unit, pytest.mark.usefixtures("sigterm_kept")]

# Whoever was at work when all workers died has no answer at the first asking.
UNHARMED = """
name = "without-a-scratch"
does = "all workers die, and nobody may notice"
workers = 4
[load]
clients = 8
seconds = 5
[[steps]]
do = "wait"
seconds = 2.0
[[steps]]
do = "kill"
count = 4
[criteria]
success = 1.0
"""


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_without_a_name_all_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["scenario"]) == 0

    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(SCENARIOS)


def test_one_is_played_and_told_and_kept(capsys: pytest.CaptureFixture[str]) -> None:
    code = cli.main(["scenario", "kill_60_percent", "--seed", "7", "--json", "told.json"])

    told, shown = json.loads(Path("told.json").read_text()), capsys.readouterr().out
    assert (code, told["verdict"], told["seed"]) == (0, "valid", 7)
    assert shown.startswith("seed 7   scenario kill_60_percent   target poolproof.stack\n")
    assert all(
        f"{one['invariant']}: expected {one['wanted']}" in shown for one in told["judgements"]
    )
    assert "VALID  kill_60_percent on " in shown


def test_several_plays_have_their_own_seeds_and_a_table_of_their_curves(
    capsys: pytest.CaptureFixture[str],
) -> None:
    options = ["--times", "3", "--seed", "7", "--rate", "20", "--json", "told.json"]
    code = cli.main(["scenario", "kill_60_percent", *options])

    told, shown = json.loads(Path("told.json").read_text()), capsys.readouterr().out
    assert (code, [one["seed"] for one in told]) == (0, [7, 8, 9])
    assert "  seed 8: valid   (2 of 3; about" in shown
    assert "3 curves" in shown


def test_what_was_played_is_kept_as_a_baseline_and_compared(
    capsys: pytest.CaptureFixture[str],
) -> None:
    Path("mine.toml").write_text(UNHARMED)
    for name, first in (("old", "1"), ("new", "2")):
        options = ["--times", "20", "--seed", first, "--json", f"{name}.json"]
        assert cli.main(["scenario", "mine.toml", *options]) == 1
    assert cli.main(["baseline", "save", "mine", "old.json", "--dir", "kept"]) == 0
    assert cli.main(["baseline", "compare", "mine", "new.json", "--dir", "kept"]) == 0

    assert "without-a-scratch repaired, on mock" in capsys.readouterr().out
    assert cli.main(["baseline", "list", "--dir", "kept"]) == 0
    assert "any: virtual time" in capsys.readouterr().out


def test_a_seed_is_drawn_and_printed_where_none_is_given(
    capsys: pytest.CaptureFixture[str],
) -> None:
    cli.main(["scenario", "poison_job"])
    seed = capsys.readouterr().out.split()[1]
    cli.main(["scenario", "poison_job", "--seed", seed])

    again = capsys.readouterr().out
    assert again.split()[1] == seed


def test_ones_own_is_read_from_a_file_and_may_be_failed(capsys: pytest.CaptureFixture[str]) -> None:
    Path("mine.toml").write_text(UNHARMED)

    assert cli.main(["scenario", "mine.toml", "--seed", "1"]) == 1
    assert "BROKEN" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["kill_60_percents"], "kill_60_percent"),
        (
            ["kill_60_percent", "--pace", "0"],
            "expected --pace to be above 0 and at most 100, got 0",
        ),
        (["none.toml"], "none.toml"),
        (["kill_60_percent", "--times", "0"], "expected --times from 1 to 10000, got 0"),
        (["kill_60_percent", "--rate", "-1"], "a rate from 0 to 10,000, got 10 and -1"),
        (["kill_60_percent", "--plot", "/dev/null/no.png"], "can be written for --plot"),
    ],
    ids=["unknown name", "no pace", "no file", "no times", "no rate", "no place for a picture"],
)
def test_what_cannot_be_played_is_refused(
    arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["scenario", *arguments]) == 2

    (line,) = capsys.readouterr().err.splitlines()
    assert told in line


def test_what_has_no_meaning_on_a_layer_is_unknown_there(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert cli.main(["scenario", "corrupt_messages", "--layer", "mock"]) == 3
    assert "NOT APPLICABLE" in capsys.readouterr().out
