"""The table of checked pools: what it shows, and what it never takes for a verdict."""

import json
from pathlib import Path
from typing import Any

import pytest

from scripts import pools_table

pytestmark = pytest.mark.unit

NO_POINTS = {"total": 0, **dict.fromkeys(pools_table.CLASSES, 0)}
LOST = {"invariant": "unresolved-job", "verdict": "invalid"}
LEAK = {"invariant": "leak", "verdict": "invalid"}
FINE = {"invariant": "orphan", "verdict": "valid"}


def report(path: Path, verdict: str, *checks: dict[str, str], **points: int) -> Path:
    file = path / "report.json"
    content = {"verdict": verdict, "checks": checks, "crash_points": {**NO_POINTS, **points}}
    file.write_text(json.dumps(content))
    return file


def test_violations_are_counted_by_name(tmp_path: Path) -> None:
    row = pools_table.row("p", 1, report(tmp_path, "invalid", LOST, FINE, LEAK, LOST))

    assert row.cells[:3] == ("p", "invalid", "1 leak, 2 unresolved-job")


@pytest.mark.parametrize(
    ("status", "verdict", "checks", "asked"),
    [
        (0, "valid", [FINE], 0),
        (0, "by contract", [FINE], 0),
        (0, "valid", [{**LOST, "accepted": "known"}], 0),
        (1, "invalid", [LOST], 0),
        (3, "unknown", [FINE], 3),
        (3, "not applicable", [FINE], 3),
    ],
)
def test_only_a_pool_that_was_not_judged_fails(
    tmp_path: Path, status: int, verdict: str, checks: list[dict[str, str]], asked: int
) -> None:
    assert pools_table.row("p", status, report(tmp_path, verdict, *checks)).status == asked


def test_the_classes_of_the_crash_points_that_occurred_are_shown(tmp_path: Path) -> None:
    file = report(tmp_path, "valid", FINE, total=5, survived=3, not_tried=2)

    assert pools_table.row("p", 0, file).cells[3] == "5: 3 survived, 2 not tried"


def test_crash_points_that_do_not_add_up_are_an_error(tmp_path: Path) -> None:
    row = pools_table.row("p", 0, report(tmp_path, "valid", FINE, total=5, survived=3))

    assert row.status == 4
    assert "expected crash points that add up to 5, got 3" in row.cells[1]


@pytest.mark.parametrize(("status", "asked"), [(0, 4), (1, 4), (2, 2), (4, 4)])
def test_a_pool_without_a_report_is_never_judged(tmp_path: Path, status: int, asked: int) -> None:
    row = pools_table.row("p", status, tmp_path / "absent.json")

    assert (row.cells[1], row.status) == (f"no report, exit {status}", asked)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"verdict": "valid"}', "\0"])
def test_what_is_no_report_is_an_error(tmp_path: Path, content: str) -> None:
    file = tmp_path / "report.json"
    file.write_text(content)

    assert pools_table.row("p", 0, file).status == 4


@pytest.mark.parametrize(
    ("status", "verdict", "checks"),
    [(0, "invalid", [LOST]), (1, "valid", [FINE]), (1, "invalid", [FINE]), (0, "valid", [LOST])],
)
def test_a_report_that_contradicts_itself_is_an_error(
    tmp_path: Path, status: int, verdict: str, checks: list[dict[str, str]]
) -> None:
    assert pools_table.row("p", status, report(tmp_path, verdict, *checks)).status == 4


def run(monkeypatch: pytest.MonkeyPatch, lines: list[str], *options: str) -> int:
    monkeypatch.setattr("sys.argv", ["pools_table.py", *options])
    monkeypatch.setattr("sys.stdin", lines)
    return pools_table.main()


def test_no_pools_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(monkeypatch, []) == 4


def test_the_worst_pool_decides(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    good = report(tmp_path, "invalid", LOST)

    assert run(monkeypatch, [f"a\t1\t{good}\n", f"b\t4\t{tmp_path}/absent\n"]) == 4


def alike(monkeypatch: pytest.MonkeyPatch, path: Path, *found: dict[str, Any]) -> int:
    lines = []
    for number, check in enumerate(found):
        (path / str(number)).mkdir()
        lines.append(f"p\t1\t{report(path / str(number), 'invalid', check)}\n")
    return run(monkeypatch, lines, "--alike")


def test_lines_must_name_the_same_promises_if_they_are_to_be_alike(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert alike(monkeypatch, tmp_path, LOST, LEAK) == 1


def test_lines_that_are_alike_pass(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert alike(monkeypatch, tmp_path, LOST, LOST) == 0


def test_the_table_has_columns(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = report(tmp_path, "invalid", LOST, total=1, lost=1)

    run(monkeypatch, [f"some.Pool\t1\t{good}\n"])

    assert capsys.readouterr().out.splitlines() == [
        "pool       verdict  violations        crash points",
        "some.Pool  invalid  1 unresolved-job  1: 1 lost",
    ]
