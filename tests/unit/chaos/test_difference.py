"""What two runs differ in: worse is worse, and what was not tried again is never better."""

from typing import Any

import pytest

from poolproof.chaos.difference import Difference, difference
from poolproof.chaos.result import CrashPoints, Ending, Entry, FaultRow, PointEntry, Result
from poolproof.checkers import Verdict

pytestmark = pytest.mark.unit


def result(verdict: Verdict = "valid", *, ending: Ending | None = None, **fields: Any) -> Result:
    broken = verdict == "invalid"
    row = Entry(
        invariant="unresolved-job",
        verdict=verdict,
        fault="kill-busy",
        effect="the caller waits for ever" if broken else "",
    )
    points = (
        (PointEntry(file="pool.py", line=3, function="work", effect="kill", ending=ending),)
        if ending
        else ()
    )
    return Result(
        **{
            "target": "pkg:make",
            "verdict": verdict,
            "seed": 1,
            "environment": {"python": "3.11.0"},
            "checks": (row,),
            "crash_points": CrashPoints(points=points),
            "faults": (FaultRow(fault="kill-busy", does="SIGKILL", verdict=verdict),),
            "run": "r",
            "directory": "/r",
            "seconds": 1,
            **fields,
        }
    )


def ways(found: Difference) -> set[str]:
    return {change.way for change in found.changes}


def test_the_same_run_does_not_differ() -> None:
    assert difference(result("invalid"), result("invalid")) == Difference()


def test_a_new_violation_is_worse() -> None:
    found = difference(result("valid"), result("invalid"))

    assert found.worse
    assert ways(found) == {"worse"}
    assert [change.about for change in found.violations] == [
        "unresolved-job under kill-busy: the caller waits for ever"
    ]


def test_a_violation_that_is_gone_is_better() -> None:
    found = difference(result("invalid"), result("valid"))

    assert not found.worse
    assert ways(found) == {"better"}


def test_a_violation_whose_fault_was_not_tried_again_is_not_better() -> None:
    after = result("valid", faults=(FaultRow(fault="kill-busy", does="", verdict="not tried"),))
    found = difference(result("invalid"), after)

    assert {change.way for change in (*found.violations, *found.faults)} == {"changed"}


def test_an_accepted_violation_is_told_apart() -> None:
    after = result("invalid")
    after.checks[0].accepted = "known"
    found = difference(result("invalid"), after)

    assert [change.after for change in found.violations] == ["invalid, accepted"]
    assert ways(found) == {"changed"}


@pytest.mark.parametrize(
    ("before", "after", "way"),
    [
        ("survived", "lost", "worse"),
        ("lost", "stopped", "worse"),
        ("stopped", "survived", "better"),
        ("survived", "not_tried", "changed"),
        ("not_tried", "survived", "changed"),
        ("unreached", "stopped", "worse"),
        (None, "stopped", "worse"),
        ("stopped", None, "changed"),
    ],
)
def test_how_a_crash_point_went(before: Ending | None, after: Ending | None, way: str) -> None:
    found = difference(result(ending=before), result(ending=after))

    assert [change.way for change in found.points] == [way]


@pytest.mark.parametrize(
    ("before", "after", "way"),
    [
        ("valid", "unknown", "worse"),
        ("unknown", "valid", "better"),
        ("invalid", "unknown", "changed"),
        ("valid", "not applicable", "changed"),
    ],
)
def test_what_is_not_known_is_no_better(before: Verdict, after: Verdict, way: str) -> None:
    assert difference(result(before), result(after)).faults[0].way == way


def test_what_makes_them_hard_to_compare_is_said() -> None:
    after = result("valid", target="other:make", environment={"python": "3.13.0"})

    assert difference(result("valid"), after).notes == (
        "two targets: pkg:make and other:make",
        "python: 3.11.0 and 3.13.0",
    )
