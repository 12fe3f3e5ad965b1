"""What the reference trial shows of a target, and what is said of one that does not start or answer."""

import os
from pathlib import Path
from typing import Any

import pytest

from poolproof.chaos.trials import (
    _facts,
    _guess,
    _last_output,
    _profile,
    _why_no_answer,
    _why_not_started,
    left_behind,
    slots,
    spoilt,
)
from poolproof.faults import syscalls
from poolproof.history import Event
from poolproof.plan import Target
from tests.unit.checkers.histories import ONE, OWNER, TWO, History, plan, warm

pytestmark = pytest.mark.unit

TARGET = Target(name="pools:make", cwd="/", python="/python", deadline=3.0)
DESCRIBED: dict[str, Any] = {
    "adapter": "executor",
    "own": ["pools"],
    "own_paths": ["/pools.py"],
    "offers": ["cancel"],
}


def reference(*runners: int, workers: list[int], offers: list[str] | None = None) -> History:
    history = History().write("invoke", op="start")
    history.write("ok", op="start", data={**DESCRIBED, "offers": offers or []})
    for job, pid in enumerate(runners, start=1):
        history.done(job, pid=pid)
    return history.write("phase", data={"phase": "faulted", "style": "plain", "workers": workers})


def facts(history: History, style: str = "plain") -> frozenset[str]:
    trial = history.trial()
    told = trial.start[1]
    assert told
    return _facts(trial, told.data, style) - {"unprivileged"}


def started() -> History:
    return History("kill-busy").start().submit(1, role="warmup")


def test_a_trial_that_is_stuck_before_its_fault_was_spoilt_by_another() -> None:
    assert spoilt(
        started().mark("suspect", op="job", why="overdue").trial(reference=warm().trial())
    )


def test_a_trial_that_is_stuck_after_its_fault_was_not() -> None:
    history = started().ran(1).ok(1).inject(ONE).mark("suspect", op="job", why="quiet")

    assert not spoilt(history.trial(reference=warm().trial()))


def test_without_a_reference_nobody_can_tell_that_a_trial_was_spoilt() -> None:
    assert not spoilt(started().mark("suspect", op="job", why="overdue").trial())


@pytest.fixture(autouse=True)
def _bare_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a machine has is not what a pool is like."""
    monkeypatch.setattr(syscalls, "available", lambda: False)


def test_jobs_in_other_processes_make_a_pool_of_processes() -> None:
    found = facts(reference(ONE, TWO, workers=[ONE, TWO], offers=["cancel", "callback"]))

    assert found == {
        "processes",
        "workers-known",
        "threads-or-processes",
        "any-job",
        "cancel",
        "callback",
        "several-workers",
    }


def test_jobs_in_the_owner_make_a_pool_of_threads() -> None:
    found = facts(reference(OWNER, workers=[]))

    assert found == {"threads-or-processes", "any-job", "several-workers"}


def test_coroutines_on_the_owners_loop_make_an_asyncio_pool() -> None:
    history = reference(OWNER, workers=[], offers=["loop", "cancel"])

    assert facts(history, "coroutine") == {"any-job", "cancel", "loop", "several-workers"}
    assert "loop" not in facts(history, "plain")


def test_jobs_of_its_own_are_not_any_job() -> None:
    assert "any-job" not in facts(reference(workers=[ONE]), "own")
    assert "processes" in facts(reference(workers=[ONE]), "own")


def test_one_worker_has_no_neighbour() -> None:
    history = reference(ONE, workers=[ONE])
    history.plan = plan(workers=1)

    assert "several-workers" not in facts(history)


def test_root_is_told_from_others(monkeypatch: pytest.MonkeyPatch) -> None:
    trial = reference(ONE, workers=[ONE]).trial()
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    other = _facts(trial, DESCRIBED, "plain")
    monkeypatch.setattr(os, "geteuid", lambda: 0)

    assert "unprivileged" in other
    assert "unprivileged" not in _facts(trial, DESCRIBED, "plain")


def test_the_profile_holds_what_was_told() -> None:
    trial = reference(ONE, workers=[ONE]).trial()
    profile = _profile(trial)

    assert (profile.style, profile.adapter) == ("plain", "executor")
    assert (profile.own, profile.own_paths) == (("pools",), ("/pools.py",))
    assert profile.reference is trial


def test_a_guess_knows_only_its_style() -> None:
    assert _guess("coroutine").style == "coroutine"
    assert _guess("coroutine").facts == frozenset()


TOO_SLOW = (
    "expected pools:make to start within 3 s, got no answer from its factory;"
    " give a longer --deadline if it is only slow; said"
)


def failed(error: str, message: str) -> Event:
    return Event(t=1, kind="fail", op="start", error=error, message=message)


@pytest.mark.parametrize(
    ("told", "ended", "expected"),
    [
        (
            None,
            True,
            "expected pools:make to return a pool, got the end of the process that called it; said",
        ),
        (
            None,
            False,
            TOO_SLOW,
        ),
        (failed("TargetProblem", "expected x, got y"), False, "expected x, got y"),
        (failed("OSError", "no"), False, "expected pools:make to start, got OSError: no; said"),
    ],
)
def test_why_a_pool_did_not_start(told: Event | None, expected: str, *, ended: bool) -> None:
    assert _why_not_started(TARGET, told, "; said", ended=ended) == expected


def test_why_a_pool_answers_nothing_is_its_most_common_error() -> None:
    history = History().submit(1, 2, 3).fail(1, error="Rare").fail(2, 3, error="Common")

    assert _why_no_answer(TARGET, history.trial()) == (
        "expected pools:make to answer at least one plain job, got Common: None;"
        " a pool that takes only jobs of its own kind needs `jobs` in its factory's module"
        " (docs/targets.md)"
    )
    assert "got answers that were not the jobs' own;" in _why_no_answer(TARGET, History().trial())


def test_the_last_output_is_that_of_the_last_trial(tmp_path: Path) -> None:
    none = _last_output(tmp_path)
    for name, text in (("0001", "first"), ("0002", "second\nlast " + "x" * 300)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "output.log").write_text(text)

    assert none == ""
    assert _last_output(tmp_path) == "; its last output: last " + "x" * 195


def test_what_is_left_behind_is_seen_in_the_last_sample() -> None:
    clean = warm(lives=2).stop().sample("after")
    leaky = warm(lives=2).stop().sample("after", shm=["left"])

    assert not left_behind(clean.plan, tuple(clean.events), None)
    assert left_behind(leaky.plan, tuple(leaky.events), None)


def test_a_run_has_an_end_and_a_reserve_before_it() -> None:
    assert slots(100, reserve=50).may_begin()
    assert not slots(100, reserve=101).may_begin()
    assert slots(100, reserve=101).remaining() > 99
