"""The data of a report: the table of crash points sums up, and lines become ranges."""

import json
from pathlib import Path

import msgspec
import pytest

from poolproof.chaos.result import (
    ENDINGS,
    RESULT_SCHEMA,
    CrashPoints,
    Ending,
    Entry,
    FaultRow,
    PointEntry,
    Result,
    counted,
    ranges,
)

pytestmark = pytest.mark.unit


def point(line: int, ending: Ending = "lost", file: str = "pool.py") -> PointEntry:
    return PointEntry(file=file, line=line, function="worker", effect="kill", ending=ending)


def test_the_classes_sum_to_the_total() -> None:
    points = [point(1), point(2), point(3, "survived"), point(4, "not_tried")]
    table = counted(points, seconds=1.2345, own=("pool",))

    assert table.total == 4 == sum(getattr(table, ending) for ending in ENDINGS)
    assert (table.lost, table.survived, table.not_tried, table.slow) == (2, 1, 1, 0)
    assert (table.seconds, table.own, table.points) == (1.23, ("pool",), tuple(points))


def test_a_table_of_nothing_is_all_zero() -> None:
    assert counted([], seconds=0, own=()) == CrashPoints()


def test_every_ending_has_its_class_in_the_table() -> None:
    for ending in ENDINGS:
        table = counted([point(1, ending)], seconds=0, own=())

        assert getattr(table, ending) == table.total == 1


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([7], ("pool.py:7",)),
        ([7, 8, 9], ("pool.py:7-9",)),
        ([9, 7, 8, 8], ("pool.py:7-9",)),
        ([1, 3, 4, 8], ("pool.py:1", "pool.py:3-4", "pool.py:8")),
        ([1, 2, 4], ("pool.py:1-2", "pool.py:4")),
    ],
)
def test_neighbours_are_joined(lines: list[int], expected: tuple[str, ...]) -> None:
    assert ranges([point(line) for line in lines]) == expected


def test_ranges_do_not_run_from_one_file_into_the_next() -> None:
    points = [point(5, file="queues.py"), point(4), point(6, file="queues.py"), point(5)]

    assert ranges(points) == ("queues.py:5-6", "pool.py:4-5")


def test_no_points_have_no_ranges() -> None:
    assert ranges([]) == ()


def test_a_result_can_be_written_and_read_again(tmp_path: Path) -> None:
    result = Result(
        target="pool",
        verdict="invalid",
        seed=1,
        environment={"cores": 2},
        checks=(Entry(invariant="leak", verdict="invalid", fault="none", crash_points=("a:1",)),),
        crash_points=counted([point(1)], seconds=0.5, own=("pool",)),
        faults=(FaultRow(fault="none", does="nothing", verdict="not tried"),),
        run="r1",
        directory="/d",
        seconds=1.0,
        promises={"retries": 1},
    )
    saved = tmp_path / "result.json"
    saved.write_bytes(msgspec.json.encode(result))

    assert msgspec.json.decode(saved.read_bytes(), type=Result) == result
    assert json.loads(saved.read_text())["schema"] == RESULT_SCHEMA
