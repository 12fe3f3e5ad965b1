"""A campaign as a person sees it: how far, what is covered, each distinct failure, and what was not tried."""

import io
from typing import Any

import pytest
from rich.console import Console

from poolproof.campaign.coverage import Covered
from poolproof.campaign.grouping import Groups
from poolproof.campaign.result import CampaignResult, Failure
from poolproof.campaign.tasks import fingerprint
from poolproof.report.campaign import MOST_STORIES, Lines, View, show
from tests.unit.campaign.data import LOST, case, least, menu

pytestmark = pytest.mark.unit

FAILURE = Failure(
    invariant="unresolved-job",
    effect="the caller waits for ever",
    verdict="invalid",
    fault="kill-busy",
    reason="the caller waits for ever (job 1)",
    hits=9,
    seeds=(3, 5, 8, 13, 21, 34, 55, 89, 144),
    points=("pool.py:10", "pool.py:11"),
    jobs=1,
    bystanders=0,
    fresh=1,
    warmup=1,
    runs=2,
    one_minimal=True,
    again=5,
    times=5,
    story=("   0.000  the pool is started",),
    plan="/kept/least.json",
    found="/kept/found.json",
    replay="poolproof replay /kept/least.json",
)


def result(*failures: Failure, **fields: Any) -> CampaignResult:
    common: dict[str, Any] = {
        "verdict": "invalid",
        "target": "pkg:make",
        "seeds": 100,
        "played": 90,
        "stopped": "",
        "verdicts": {"valid": 81, "invalid": 9},
        "unknown": {"no receipt that one-core took effect": 4},
        "unproven": ("one-core",),
        "pairs": {
            "kill-busy x all work": 7,
            "kill-idle x idle": 2,
            "a+b x idle": 1,
            "a+c x idle": 3,
        },
        "points": 5,
        "points_struck": 3,
        "missed_points": ("pool.py:12 kill", "pool.py:13 kill"),
        "untried": ("one-core",),
        "inapplicable": {},
        "failures": failures,
        "seconds": 12.0,
        "directory": "/kept",
    }
    return CampaignResult(**{**common, **fields})


def shown(told: CampaignResult) -> str:
    console = Console(file=io.StringIO(), width=140, highlight=False)
    show(told, console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_a_failure_is_told_with_its_least_plan_and_how_to_replay_it() -> None:
    text = shown(result(FAILURE))

    assert "BROKEN  unresolved-job  under kill-busy: the caller waits for ever (job 1)" in text
    assert "seen by 9 seeds: 3, 5, 8, 13, 21, 34, ..." in text
    assert "cut in 2 plays to 1 job, 0 beside, 1 after the heal (no part can go)" in text
    assert "seen again in 5 of 5" in text
    assert "replay: poolproof replay /kept/least.json" in text


def test_what_was_not_tried_is_said() -> None:
    text = shown(result())

    assert "crash points: 3 of 5 struck" in text
    assert "not struck: pool.py:12 kill, pool.py:13 kill" in text
    assert "not tried, or without a receipt: one-core" in text
    assert "nothing is known of: one-core" in text
    assert "not played: 10 seeds; the same command plays them" in text
    assert "unknown, 4 times: no receipt that one-core took effect" in text


def test_the_last_line_is_the_verdict_with_its_figures() -> None:
    last = shown(result(FAILURE)).splitlines()[-1]

    assert last == (
        "INVALID  pkg:make: 1 distinct failure in 90 of 100 seeds (9 invalid, 81 valid); 12 s; everything in /kept"
    )


def test_the_grid_has_a_row_for_each_fault_and_only_the_states_that_came() -> None:
    rows = [line.split() for line in shown(result()).splitlines()]

    assert ["fault", "idle", "all", "work"] in rows
    assert ["kill-busy", ".", "7"] in rows
    assert ["kill-idle", "2", "."] in rows
    assert ["several", "at", "once", "4", "."] in rows


def test_of_many_failures_the_rest_is_a_line_each() -> None:
    text = shown(result(*[FAILURE] * (MOST_STORIES + 2)))

    assert text.count("BROKEN") == MOST_STORIES
    assert text.count("invalid  unresolved-job under kill-busy, 9 seeds; replay:") == 2


def test_without_a_terminal_a_new_failure_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    lines, found = Lines(), Groups(menu())
    lines.begun(menu(), 100)
    (group,) = found.add(case(3, "kill-busy", LOST))
    lines.new(group, case(3, "kill-busy", LOST))
    found.cut(least(fingerprint(LOST, "kill-busy"), "kill-busy"), "kill-busy")
    lines.cut(group)
    lines.close()

    assert capsys.readouterr().err.splitlines() == [
        "  new, by seed 3: unresolved-job under kill-busy: the caller waits for ever (job 3)",
        "  cut: unresolved-job under kill-busy: 1 job, 2 beside; again 5 of 5",
    ]


def test_on_a_terminal_the_view_shows_how_far_what_is_covered_and_the_failures() -> None:
    view, covered, found = View(), Covered(), Groups(menu())
    try:
        view.begun(menu(), 100)
        broken = case(0, "kill-busy", LOST)
        covered.add(broken)
        found.add(broken)
        view.came({0: broken}, covered, found)
        console = Console(file=io.StringIO(), width=120)
        console.print(view.rendered())
    finally:
        view.close()

    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    assert "1 of 100 seeds" in text
    assert "1 pairs of fault and state, 1 of 4 faults, 0 of 5 crash points" in text
    assert "unresolved-job" in text
    assert "not cut yet" in text


def test_a_pool_that_is_broken_before_all_else_is_why_nothing_was_played() -> None:
    text = shown(result(played=0, pairs={}, stopped="mend that first"))

    assert "not played: 100 seeds; mend that first" in text
    assert "same command" not in text
