"""A play on a terminal: its criteria, its receipts, its curve in digits; and how those of several plays are spread."""

import io
from typing import Any

import msgspec
import pytest
from rich.console import Console

from poolproof.load.recovery import Curve
from poolproof.report import scenario as report
from poolproof.scenarios import Judgement, Report

pytestmark = pytest.mark.unit

CURVE = Curve(
    fault="two-die",
    at_ms=400.0,
    heal_ms=600.0,
    detected_ms=3.0,
    repaired_ms=100.0,
    depth=1.0,
    dip_ms=200.0,
    slice_ms=100.0,
)
GOODPUT = (20, 20, 20, 20, 0, 10, 20, 20)


def played(**fields: Any) -> Report:
    given: dict[str, Any] = {
        "scenario": "two-die",
        "where": "mock",
        "seed": 7,
        "verdict": "valid",
        "judgements": (
            Judgement(invariant="success", verdict="valid", wanted="95 %", got="99 %"),
            Judgement(invariant="repair", verdict="invalid", wanted="1 s", got="2 s"),
        ),
        "receipts": {"kill": ("gone",), "pause": ()},
        "curve": CURVE,
        "goodput": GOODPUT,
    }
    return Report(**(given | fields))


def shown(*reports: Report) -> list[str]:
    console = Console(file=io.StringIO(), width=200)
    if len(reports) == 1:
        report.show(reports[0], console)
    else:
        report.show_all(reports, console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


def test_each_criterion_is_a_line_with_what_was_wanted_and_got() -> None:
    lines = shown(played())

    assert "  ok             success: expected 95 %, got 99 %" in lines
    assert "  BROKEN         repair: expected 1 s, got 2 s" in lines


def test_a_deed_without_a_receipt_is_told() -> None:
    lines = shown(played())

    assert "  receipt        kill: gone" in lines
    assert "  receipt        pause: none" in lines


def test_the_curve_is_told_and_drawn_in_digits_with_the_harm_below() -> None:
    at, goodput, marks = (
        line for line in shown(played()) if line.startswith(("  curve", "  good", "    "))
    )

    assert "two-die at 400.00 ms: told after 3.00 ms, back to normal 100.00 ms after" in at
    assert goodput.split()[1] == "99990599"
    assert "in tenths of the 20 right answers that are usual in 100 ms" in goodput
    assert marks.index("^") == goodput.index("0599")
    assert marks.count("^") == 3


def test_a_long_curve_is_merged_until_it_fits() -> None:
    (line,) = (
        line for line in shown(played(goodput=GOODPUT * 100)) if line.startswith("  goodput")
    )

    assert len(line.split()[1]) <= report.WIDEST


def test_without_a_curve_there_is_no_line_of_it() -> None:
    lines = shown(played(curve=None, goodput=()))

    assert not [line for line in lines if "goodput" in line]


def test_of_several_plays_the_spread_is_told_and_those_that_never_came_back() -> None:
    never = msgspec.structs.replace(CURVE, repaired_ms=None)
    lines = shown(played(), played(curve=never), played(curve=None))

    assert lines[0].split() == ["2", "curves", "least", "median", "p90", "most", "never"]
    assert lines[2].split() == ["repaired", *["100", "ms"] * 4, "1"]


def test_each_of_several_plays_is_a_line_with_the_time_that_is_left() -> None:
    assert (
        report.line(played(), 2, 4, 6.0)
        == "  seed 7: valid: repair: expected 1 s, got 2 s   (2 of 4; about 6 s left)"
    )
