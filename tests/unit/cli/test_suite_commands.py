"""What `verify`, `bisect` and `doctor` refuse before any test is run, and the exit codes of what they read."""

import json
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from poolproof import cli
from poolproof.cli import session
from poolproof.cli import verify as command
from poolproof.isolation.runs.ordering import Order
from poolproof.isolation.runs.steps import MODES

pytestmark = pytest.mark.unit


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    (tmp_path / "file").touch()
    (tmp_path / "leases").mkdir()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "of").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "leases"))
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    yield tmp_path
    assert not list((tmp_path / "leases").glob("*/*.lease")), "a lease was left"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["verify", "--repeat", "0"], ["--repeat", "at least 1, got 0"]),
        (["verify", "--workers", "1"], ["--workers", "at least 2, got 1", "--one-process"]),
        (["verify", "--limit", "unit"], ["--limit MARKER=SECONDS", "got unit"]),
        (["verify", "--limit", "unit=fast"], ["--limit", "got unit=fast"]),
        (
            ["verify", "--ladder", *(f"--without={mode}" for mode in MODES)],
            ["--without", "none left"],
        ),
        (["verify", "--stall", "0"], ["--stall", "above 0, got 0"]),
        (["verify", "--stall", "nan"], ["--stall", "got nan"]),
        (["verify", "--json", "file/below"], ["--json", "file/below"]),
        (["verify", "--out", "file"], ["--out", "file"]),
        (["verify", "--out", "full"], ["new directory for --out", "full, which is not empty"]),
        (["bisect", "--tries", "0", "t.py::t"], ["--tries", "got 0"]),
        (["bisect", "--record", "absent", "t.py::t"], ["--poolproof-record", "absent"]),
        (["bisect", "--record", "file", "t.py::t"], ["file, which has no session in it"]),
        (["doctor", "--from", "absent"], ["--poolproof-record", "absent"]),
        (["doctor", "--from", "full"], ["`poolproof verify`", "full"]),
    ],
    ids=" ".join,
)
def test_what_cannot_be_meant_is_refused_in_one_line(
    arguments: list[str], words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(arguments) == 2

    said = capsys.readouterr().err
    assert said.startswith("poolproof: expected ")
    assert (said.count("\n"), [word for word in words if word not in said]) == (1, [])


@pytest.mark.parametrize(
    "arguments", [["verify"], ["doctor"], ["bisect", "--workers", "2", "t.py::t"]]
)
def test_parallel_runs_without_xdist_are_refused(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "xdist", None)

    assert cli.main(arguments) == 2
    assert capsys.readouterr().err.startswith("poolproof: expected pytest-xdist in ")


@pytest.mark.parametrize(
    ("outcome", "code", "said"),
    [
        ("passed", 0, "advice: parallel"),
        ("failed", 1, "advice: serial"),
        (None, 3, "advice: nothing ran"),
    ],
)
def test_a_recorded_run_is_examined_without_running_anything(
    outcome: str | None, code: int, said: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines: list[dict[str, object]] = [{"kind": "session", "workers": 2}]
    if outcome:
        message = "duplicate key value"
        lines.append({"kind": "test", "test": "t", "outcome": outcome, "message": message})
    (folder / "run.jsonl").write_text("\n".join(map(json.dumps, lines)))

    assert cli.main(["doctor", "--from", "run.jsonl", "--json", "found.json"]) == code
    assert said in capsys.readouterr().out
    assert json.loads((folder / "found.json").read_bytes())["schema"] == 1


def test_the_options_of_pytest_begin_after_a_dash_or_at_the_first_path() -> None:
    parser = cli._parser(["verify"])

    assert parser.parse_args(["verify", "--repeat", "2", "tests", "-k", "a"]).arguments == [
        "tests",
        "-k",
        "a",
    ]
    assert parser.parse_args(["verify", "--", "-k", "a"]).arguments[-2:] == ["-k", "a"]


def test_a_limit_adds_to_those_that_there_are() -> None:
    assert command._limits(["slow=9", "unit=0.5"]) == {
        "unit": 0.5,
        "integration": 5.0,
        "slow": 9.0,
    }


def test_the_orders_of_a_verification_are_known_again(folder: Path) -> None:
    from poolproof.cli.doctor import earlier  # noqa: PLC0415 - late, as the command has it

    for number, order in enumerate([Order(), Order(seed=3), Order(apart="test")]):
        place = folder / "runs" / f"{number:03}"
        place.mkdir(parents=True)
        order.save(place / "order.json")
        (place / "record.jsonl").write_text('{"kind":"session","workers":0}\n')

    assert [run.mode for run in earlier(folder / "runs")] == ["serial", "shuffled", "alone"]


def test_a_bar_is_gone_when_its_run_is_over() -> None:
    bars = session.Bars()
    try:
        for name in ("first", "second"):
            bars.phase(name, 2)
            bars.step(name)
            bars.over(name)
            assert not bars._progress.tasks
    finally:
        bars.close()
