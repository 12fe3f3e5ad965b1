"""Null injection: where no fault is really done, no trial proves anything, and nobody claims to have seen one."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.commands import check, loaded

pytestmark = pytest.mark.integration

# Of the crash points, those of one module are enough: they all go the same way.
TARGETS = (
    pytest.param("multiprocessing.Pool", marks=pytest.mark.slow),
    "concurrent.futures.ThreadPoolExecutor",
)
OWN = ("--own", "multiprocessing.synchronize")


@pytest.fixture(scope="module", params=TARGETS)
def nothing(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    """The report of a whole check of which every fault was replaced by nothing."""
    folder = tmp_path_factory.mktemp("null")
    ended = check(request.param, "--null", "--seed", "1", *OWN, "--out", "out", cwd=folder)
    return {**loaded(folder / "out" / "result.json"), "code": ended.code}


def events(report: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield every event of every trial of the run."""
    for path in Path(report["directory"]).glob("trials/*/history.jsonl"):
        yield from map(json.loads, path.read_text().splitlines())


def test_the_whole_is_unknown(nothing: dict[str, Any]) -> None:
    assert (nothing["code"], nothing["verdict"]) == (3, "unknown")


def test_every_kind_of_fault_is_unknown_or_does_not_apply(nothing: dict[str, Any]) -> None:
    verdicts = {row["verdict"] for row in nothing["faults"]}

    assert verdicts == {"unknown", "not applicable"}


def test_every_row_is_unknown_or_does_not_apply(nothing: dict[str, Any]) -> None:
    told = [row for row in nothing["checks"] if row["verdict"] not in ("unknown", "not applicable")]

    assert told == []


def test_no_crash_point_is_judged(nothing: dict[str, Any]) -> None:
    table = nothing["crash_points"]

    assert table["not_tried"] == table["total"] == len(table["points"])
    assert bool(table["total"]) == nothing["target"].endswith("Pool")


def test_nobody_gives_a_receipt_for_what_was_not_done(nothing: dict[str, Any]) -> None:
    kinds = [event["kind"] for event in events(nothing)]

    assert "inject" in kinds
    assert "receipt" not in kinds
    assert "strike" not in kinds
