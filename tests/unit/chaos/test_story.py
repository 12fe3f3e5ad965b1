"""The smallest story of a trial: few lines, for somebody who knows neither the pool nor poolproof."""

from typing import Any

import pytest

from poolproof.chaos.story import LONGEST_LINE, MOST_LINES, story
from tests.unit.checkers.histories import CONTROLLER, ONE, OWNER, History, warm

pytestmark = pytest.mark.unit


def told(history: History) -> list[str]:
    """The lines without their times."""
    return [line[10:] for line in story(history.trial())]


def only(history: History) -> str:
    (line,) = told(history)
    return line


def test_a_lost_job_is_told_from_its_start_to_the_confirmation() -> None:
    history = warm("kill-busy").submit(3, role="faulted").begun(3)
    history.write("inject", CONTROLLER, data={"kind": "kill-busy", "victims": [{"pid": ONE}]})
    history.receipt().at(2000).judged(3)

    assert told(history) == [
        "the pool is started",
        "submit job 3 (faulted)",
        f"job 3 starts in process {ONE}",
        f"FAULT kill-busy of process {ONE}",
        "receipt: gone from /proc",
        "confirmed after 1.3 s: nothing moves, and who asked for job 3 still waits",
    ]


def test_times_are_seconds_since_the_start_of_the_pool() -> None:
    history = History().at(5000).start().at(6234).write("invoke", op="stop")

    assert story(history.trial()) == (
        "   0.000  the pool is started",
        "   1.234  shutdown is asked for",
    )


def test_warm_up_is_left_out() -> None:
    assert told(warm().write("ok", op="stop")) == ["the pool is started", "shutdown is over"]


def lost(*jobs: int) -> History:
    """Three lines of the story for each job, and one for the start."""
    history = History().start()
    for job in jobs:
        history.submit(job).begun(job).fail(job)
    return history


def test_a_long_story_keeps_its_beginning_and_its_end() -> None:
    lines = told(lost(*range(1, 21)).stop())

    assert len(lines) == MOST_LINES == 14
    assert lines[0] == "the pool is started"
    assert lines[6] == f"... {1 + 3 * 20 + 2 - 13} more events ..."
    assert lines[-1] == "shutdown is over"


def test_a_story_that_just_fits_is_not_cut() -> None:
    lines = told(lost(1, 2, 3, 4).write("invoke", op="stop"))

    assert len(lines) == MOST_LINES
    assert not any("more events" in line for line in lines)


def test_jobs_that_simply_got_their_answer_are_only_counted() -> None:
    assert told(lost(1).done(2, 3).stop())[-3:] == [
        "2 other jobs got the right answer",
        "shutdown is asked for",
        "shutdown is over",
    ]
    assert told(History().done(1).stop())[0] == "1 other job got the right answer"


def test_a_job_that_ran_twice_or_was_cancelled_is_told() -> None:
    twice = told(History().submit(1).begun(1).begun(1).ok(1))
    cancelled = told(History().submit(1).cancel(1).ran(1).ok(1))

    assert len(twice) == 4
    assert "cancel job 1" in cancelled


@pytest.mark.parametrize(
    ("kind", "fields", "expected"),
    [
        ("fail", {"op": "start", "error": "OSError", "message": "no"}, "start raised OSError: no"),
        (
            "invoke",
            {"op": "submit", "job": 4, "role": "fresh", "data": {"body": "big"}},
            "submit job 4 (fresh, big)",
        ),
        (
            "info",
            {"op": "submit", "job": 4, "error": "BrokenPool", "message": "gone"},
            "submit of job 4 raised BrokenPool: gone",
        ),
        (
            "ok",
            {"op": "job", "job": 4, "data": {"match": True}},
            "job 4: its caller gets the right answer",
        ),
        (
            "ok",
            {"op": "job", "job": 4, "data": {"match": False, "value": "'answer-9'"}},
            "job 4: its caller gets a wrong answer, 'answer-9'",
        ),
        (
            "fail",
            {"op": "job", "job": 4, "error": "ValueError"},
            "job 4: its caller gets ValueError",
        ),
        ("invoke", {"op": "cancel", "job": 4}, "cancel job 4"),
        (
            "fail",
            {"op": "stop", "error": "OSError", "message": "no"},
            "shutdown raised OSError: no",
        ),
        (
            "raised",
            {"job": 4, "error": "SystemExit"},
            f"job 4 raises SystemExit in process {OWNER}",
        ),
        ("effect", {"job": 4, "data": {"effect": "pickle"}}, f"job 4: pickle in process {OWNER}"),
        ("effect", {"data": {"effect": "refused"}}, f"the owner: refused in process {OWNER}"),
        ("inject", {"data": {"kind": "kill-all", "victims": []}}, "FAULT kill-all"),
        (
            "strike",
            {"data": {"file": "/a/b/c/p.py", "line": 8, "effect": "kill"}},
            f"FAULT process {OWNER}: kill at c/p.py:8",
        ),
        (
            "judged",
            {"op": "stop", "data": {"waited_ms": 5000}},
            "confirmed after 5.0 s: shutdown does not return",
        ),
        (
            "judged",
            {"op": "start", "data": {"waited_ms": 5000}},
            "confirmed after 5.0 s: start does not return",
        ),
        (
            "judged",
            {"op": "owner", "data": {"waited_ms": 5000, "alive": [7, 8]}},
            "confirmed after 5.0 s: processes 7, 8 outlive their owner",
        ),
        (
            "judged",
            {"op": "job", "data": {"waited_ms": 5000, "pending": [1, 2]}},
            "confirmed after 5.0 s: nothing moves, and who asked for jobs 1, 2 still waits",
        ),
    ],
)
def test_each_kind_of_event_is_told_in_words(
    kind: str, fields: dict[str, Any], expected: str
) -> None:
    assert only(History().write(kind, **fields)) == expected


@pytest.mark.parametrize("kind", ["phase", "sample", "note", "suspect", "death", "point", "heal"])
def test_what_only_the_checkers_need_is_left_out(kind: str) -> None:
    assert told(History().write(kind)) == []


def test_a_message_of_many_lines_stays_one_line() -> None:
    history = History().write("fail", op="start", error="E", message="one\n  two\n" + "x" * 900)

    assert only(history).startswith("start raised E: one two xxx")
    assert len(only(history)) == LONGEST_LINE
