"""The page of a performance run fails it where a measure is slower for certain, on its machine and on another."""

import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from poolproof import baseline
from poolproof.report import pictures
from scripts import performance_report
from tests.unit.test_baseline import measured

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("scale", "facts", "exit_code"),
    [
        (1.0, {}, 0),
        (1.1, {}, 0),
        (1.4, {}, 1),
        (0.5, {}, 0),
        (1.4, {"cpu": "another"}, 0),
        (4.0, {"cpu": "another"}, 1),
    ],
)
def test_a_run_fails_where_a_measure_is_slower_for_certain(
    scale: float,
    facts: dict[str, Any],
    exit_code: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    old = baseline.save("old", measured(1), tmp_path)
    result = tmp_path / "result.json"
    result.write_bytes(msgspec.json.encode(measured(2, scale=scale, **facts)))
    command = ["report", str(result), "--baseline", str(old), "--out", str(tmp_path / "page")]
    monkeypatch.setattr(sys, "argv", command)
    # What draws keeps the font's file open.
    monkeypatch.setattr(pictures, "available", lambda: False)

    assert performance_report.main() == exit_code
    assert (tmp_path / "page" / "report.md").read_text().startswith("# Performance")
