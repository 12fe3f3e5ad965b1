"""What is refused before anything is started: exit code 2, and one line that says what was expected."""

import signal
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from poolproof import cli

pytestmark = pytest.mark.unit

PLAN = '{"target": {"name": "multiprocessing.Pool", "cwd": "/", "python": "python"}, "schema": 99}'


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    for name in ("file", "script"):
        (tmp_path / name).touch()
    (tmp_path / "directory").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "directory"))
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    yield tmp_path
    assert not list((tmp_path / "directory").glob("*/*")), "a lease was left"


def refusal(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Run the command, which must refuse, and return what it says, without the dead runs of others that it cleared."""
    assert cli.main(arguments) == 2
    lines = capsys.readouterr().err.splitlines(keepends=True)
    return "".join(line for line in lines if not line.startswith("poolproof: cleared "))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--workers", "0"], ["--workers", "from 1 on, got 0"]),
        (["--workers", "-3"], ["--workers", "got -3"]),
        (["--jobs", "0"], ["--jobs", "got 0"]),
        (["--time", "0"], ["--time", "got 0"]),
        (["--time", "inf"], ["--time", "got inf"]),
        (["--deadline", "0"], ["--deadline", "from 0.1 on, got 0"]),
        (["--deadline", "nan"], ["--deadline", "got nan"]),
        (["--faults", "kill-bussy"], ["'kill-bussy'", "kill-busy"]),
        (["--promise", "fast"], ["'fast'", "at-most-once"]),
        (["--promise", "retries=-1"], ["retries=-1"]),
        (["--python", "unheard"], ["--python", "unheard"]),
        (["--python", "./file"], ["--python", "file"]),
        (["--out", "file"], ["--out", "file"]),
        (["--out", "file/below"], ["--out", "file/below"]),
        (["--json", "file/below.json"], ["--json", "file/below.json"]),
        (["--json", "directory"], ["--json", "directory"]),
        (["--accept", "absent.toml"], ["absent.toml", "[[accept]]"]),
        (["--accept", "directory"], ["directory", "[[accept]]"]),
    ],
    ids=" ".join,
)
def test_an_option_that_cannot_be_meant(
    options: list[str], words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    said = refusal(capsys, "check", "multiprocessing.Pool", *options)

    assert said.startswith("poolproof: expected ")
    assert [word for word in words if word not in said] == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--seeds", "0"], ["--seeds", "from 1 on, got 0"]),
        (["--jobs", "0"], ["--jobs", "got 0"]),
        (["--workers", "0"], ["--workers", "got 0"]),
        (["--time", "nan"], ["--time", "got nan"]),
        (["--faults", "nonsense"], ["'nonsense'", "kill-busy"]),
        (["--executor", "nowhere:make"], ["module:factory", "nowhere:make"]),
        (["--executor", "json:dumps"], ["module:factory", "json:dumps"]),
        (["--executor", "builtins:dict"], ["`submit`", "a dict"]),
        (["--out", "file"], ["--out", "file"]),
    ],
    ids=" ".join,
)
def test_an_option_of_a_campaign_that_cannot_be_meant(
    options: list[str], words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    said = refusal(capsys, "campaign", "multiprocessing.Pool", *options)

    assert said.startswith("poolproof: expected ")
    assert len(said.splitlines()) == 1
    assert [word for word in words if word not in said] == []


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ('invariant = "leak"\nreason = "known"\nexpires = 2020-01-31', ["expired", "2020-01-31"]),
        ('invariant = "leak"\nexpires = 2999-01-31', ["reason"]),
        ('invariant = "leak"\nreason = " "\nexpires = 2999-01-31', ["reason", "empty"]),
        ('invariant = "leek"\nreason = "known"\nexpires = 2999-01-31', ["leek", "mean leak?"]),
        ('invariant = "leak"\nreason = "known"', ["expires"]),
    ],
    ids=["expired", "no reason", "empty reason", "unknown invariant", "no expiry"],
)
def test_an_acceptance_that_cannot_be_granted(
    entry: str, words: list[str], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "known.toml").write_text(f"[[accept]]\n{entry}\n")

    said = refusal(capsys, "check", "multiprocessing.Pool", "--accept", "known.toml")

    assert [word for word in words if word not in said] == []


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (PLAN.encode(), ["schema 1, got 99"]),
        (PLAN.encode()[:40], ["truncated"]),
        (b"", ["truncated"]),
        (b"[]", ["expected a plan"]),
        (b"\xff\xfe\x00garbage", ["expected a plan"]),
        (b'{"target": {"name": 3}}', ["expected a plan"]),
    ],
    ids=["another schema", "torn", "empty", "no object", "garbage", "wrong types"],
)
def test_a_plan_that_cannot_be_played(
    content: bytes, words: list[str], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "plan.json").write_bytes(content)

    said = refusal(capsys, "replay", "plan.json")

    assert [word for word in words if word.lower() not in said.lower()] == []


def test_a_plan_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert "absent.json" in refusal(capsys, "replay", "absent.json")


def test_a_replay_of_no_times(capsys: pytest.CaptureFixture[str]) -> None:
    assert "--times" in refusal(capsys, "replay", "file", "--times", "0")


def test_a_report_that_could_be_written_is_not_written_yet(folder: Path) -> None:
    (folder / "known.json").write_text("before")

    for report in ("known.json", "new.json"):
        cli.main(["check", "multiprocessing.Pool", "--json", report, "--out", "file"])

    assert (folder / "known.json").read_text() == "before"
    assert not (folder / "new.json").exists()


@pytest.mark.parametrize("option", ["--workers=x", "--crash-points=some", "--unheard"])
def test_an_option_that_the_parser_refuses(option: str) -> None:
    with pytest.raises(SystemExit) as refused:
        cli.main(["check", "multiprocessing.Pool", option])

    assert refused.value.code == 2


def test_a_file_that_may_be_run_but_holds_no_program(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    script = folder / "script"
    script.chmod(script.stat().st_mode | stat.S_IXUSR)

    said = refusal(capsys, "check", "multiprocessing.Pool", "--python", "./script")

    assert "expected a Python interpreter" in said
