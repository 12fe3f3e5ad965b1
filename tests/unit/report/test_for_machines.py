"""A result for CI: JUnit's XML and GitHub's annotations say what the terminal says, and nothing breaks their form."""

from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from poolproof.chaos.result import CrashPoints, Entry, Result
from poolproof.report import annotations, junit

pytestmark = pytest.mark.unit

BROKEN = Entry(
    invariant="unresolved-job",
    verdict="invalid",
    fault="kill-busy",
    effect="the caller waits for ever",
    reason="the caller waits for ever (job 2)",
    evidence=("job 2 never resolved", "100 % sure"),
    hits=2,
    trials=3,
    story=("0.1  submit job 2",),
    replay="poolproof replay plan.json",
)
ROWS = (
    BROKEN,
    Entry(invariant="leak", verdict="unknown", fault="kill-all", reason="not sampled"),
    Entry(invariant="order", verdict="not applicable", fault="kill-all", reason="not promised"),
    Entry(invariant="wrong-result", verdict="valid", fault="kill-all"),
    Entry(invariant="orphan", verdict="invalid", fault="kill-all", accepted="known"),
)


def result(*checks: Entry, **fields: Any) -> Result:
    return Result(
        **{
            "target": "pkg:make",
            "verdict": "invalid",
            "seed": 7,
            "environment": {"cwd": "/srv"},
            "checks": checks,
            "crash_points": CrashPoints(),
            "faults": (),
            "run": "r1",
            "directory": "/r1",
            "seconds": 1.5,
            **fields,
        }
    )


@pytest.fixture
def suite(tmp_path: Path) -> ET.Element:
    junit.write(result(*ROWS), tmp_path / "new" / "junit.xml")
    found = ET.parse(tmp_path / "new" / "junit.xml").getroot().find("testsuite")
    assert found is not None
    return found


def test_each_verdict_has_its_place_in_junit(suite: ET.Element) -> None:
    counts = {name: suite.get(name) for name in ("tests", "failures", "errors", "skipped", "time")}
    outcomes = {case.get("name"): [child.tag for child in case] for case in suite.iter("testcase")}

    assert counts == {"tests": "5", "failures": "1", "errors": "1", "skipped": "2", "time": "1.5"}
    assert outcomes == {
        "unresolved-job: the caller waits for ever": ["failure"],
        "leak": ["error"],
        "order": ["skipped"],
        "wrong-result": [],
        "orphan": ["skipped"],
    }


def test_a_failure_in_junit_tells_how_to_see_it_again(suite: ET.Element) -> None:
    failure = suite.find("testcase/failure")

    assert failure is not None
    assert failure.get("message") == BROKEN.reason
    assert str(failure.text).splitlines() == [
        "seen in 2 of 3 trials",
        *BROKEN.evidence,
        *BROKEN.story,
        f"replay: {BROKEN.replay}",
    ]


def test_what_xml_cannot_hold_is_replaced(tmp_path: Path) -> None:
    odd = Entry(invariant="leak", verdict="invalid", fault="f", reason="\x00\x1b[31m<&\ud800\ufffe")
    junit.write(result(odd), tmp_path / "junit.xml")
    failure = ET.parse(tmp_path / "junit.xml").getroot().find("testsuite/testcase/failure")

    assert failure is not None
    assert failure.get("message") == "??[31m<&??"


def test_annotations_are_for_github_alone() -> None:
    assert annotations.wanted({"GITHUB_ACTIONS": "true"})
    assert not annotations.wanted({})


def test_an_annotation_is_one_line_with_nothing_that_ends_it_early() -> None:
    (error, warning) = annotations.lines(result(*ROWS))

    assert error == (
        "::error title=poolproof%3A unresolved-job under kill-busy::pkg:make: the caller waits for ever (job 2)"
        "%0Ajob 2 never resolved%0A100 %25 sure%0Areplay: poolproof replay plan.json"
    )
    assert warning.startswith("::warning title=poolproof%3A leak under kill-all::")


@pytest.mark.parametrize(
    ("target", "points", "place"),
    [
        ("/srv/sub/pools.py:make", (), "file=sub/pools.py,"),
        ("/srv/sub/pools.py:make", ("pools.py:12-14",), "file=sub/pools.py,line=12,"),
        ("/srv/sub/pools.py:make", ("other.py:12",), "file=sub/pools.py,"),
        ("/elsewhere/pools.py:make", (), ""),
        ("pkg.module:make", ("pkg/module.py:3",), ""),
    ],
)
def test_an_annotation_stands_at_the_project_s_own_file(
    target: str, points: tuple[str, ...], place: str
) -> None:
    row = Entry(invariant="leak", verdict="invalid", fault="f", crash_points=points)
    (line,) = annotations.lines(result(row, target=target))

    assert line.startswith(f"::error {place}title=")


def test_of_too_many_violations_the_last_annotation_names_the_rest() -> None:
    rows = [Entry(invariant=f"promise-{n}", verdict="invalid", fault="f") for n in range(15)]
    lines = list(annotations.lines(result(*rows)))

    assert len(lines) == annotations.MOST
    assert "and 6 more: promise-9 under f" in lines[-1]
    assert lines[-1].endswith("promise-14 under f")
