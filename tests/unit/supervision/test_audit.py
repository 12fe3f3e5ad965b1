"""What a supervisor did is judged by its events: each ablated supervisor is caught, no sound one is."""

import json
from pathlib import Path
from typing import Any, Final

import pytest

from poolproof import simulation
from poolproof.supervision import TreeEvent, restart
from poolproof.supervision.audit import audit
from poolproof.supervision.conformance import Kind, Stage
from poolproof.supervision.restart import Event, Later, Plan, Situation
from poolproof.supervision.shell import Decide
from poolproof.supervision.spec import Backoff, Clock, Policy
from tests.chaos.supervision import zoo

pytestmark = pytest.mark.unit

RECORDINGS: Final = json.loads((Path(__file__).parent / "recordings" / "otp.json").read_text())
NO_REQUESTS: Final = {"exit", "wait", "parent_exit", "which", "count", "stray"}
PLAIN: Final = [one for one in RECORDINGS if {step[0] for step in one["script"]} <= NO_REQUESTS]
BACKOFF: Final = Backoff(initial=0.1, maximum=0.35)
SLACK: Final = 0.1

# What these do is not in the events (they report what they were told wrongly), or is no question of
# restarts. The recordings of OTP and the model catch them.
BEYOND: Final = {
    zoo.restarts_a_transient_that_ended_normally,
    zoo.takes_shutdown_for_abnormal,
    zoo.escalates_with_an_error,
    zoo.ignores_significance,
    zoo.needs_only_one_of_all_significant,
}


class Witness(Stage):
    """A stage that keeps the events of the tree as they are."""

    def __init__(self, kind: Kind, clock: Clock, decide: Decide) -> None:
        super().__init__(kind, clock, decide)
        self.tree: list[TreeEvent] = []

    def _note(self, event: TreeEvent) -> None:
        super()._note(event)
        self.tree.append(event)


def played(
    scenario: Any,
    *,
    decide: Decide = restart.decide,
    kind: Kind = "double",
    clock: Clock = "fine",
) -> tuple[list[TreeEvent], dict[tuple[str, ...], Policy]]:
    stage = Witness(kind, clock, decide)
    simulation.run(stage.play(scenario), start_ns=500_000_000)
    return stage.tree, {one.path: one.policy for one in stage._supervisors}


def found(scenario: Any, **how: Any) -> list[str]:
    return audit(*played(scenario, **how), slack=SLACK)


def slowly(scenario: Any) -> Any:
    """The same with pauses before restarts, and with time for them after each step."""
    script = [one for step in scenario["script"] for one in (step, ["wait", 450])]
    return {"tree": _paused(scenario["tree"]), "script": script}


def _paused(tree: Any) -> Any:
    children = [
        {**child, "tree": _paused(child["tree"])} if "tree" in child else child
        for child in tree["children"]
    ]
    return {**tree, "backoff": BACKOFF, "children": children}


def test_there_is_enough_to_judge() -> None:
    assert len(PLAIN) > 100


@pytest.mark.parametrize("kind", ["double", "coroutine"])
@pytest.mark.parametrize("clock", ["fine", "whole_seconds"])
def test_what_otp_does_is_never_accused(kind: Kind, clock: Clock) -> None:
    accused = [one["name"] for one in PLAIN if found(one, kind=kind, clock=clock)]

    assert accused == []


def test_restarts_after_a_pause_are_not_accused_either() -> None:
    assert [one["name"] for one in PLAIN if found(slowly(one))] == []


@pytest.mark.parametrize(
    "decide",
    [one for one in zoo.ZOO if one not in {*BEYOND, zoo.gives_up_after_a_failed_restart}],
    ids=lambda one: one.__name__,
)
def test_an_ablated_supervisor_is_caught(decide: Decide) -> None:
    assert any(found(one, decide=decide) for one in PLAIN)


def halves_its_pauses(situation: Situation, event: Event) -> Plan:
    return _delayed(restart.decide(situation, event), by=0.5)


def pauses_four_times_as_long(situation: Situation, event: Event) -> Plan:
    return _delayed(restart.decide(situation, event), by=4)


def _delayed(plan: Plan, *, by: float) -> Plan:
    return tuple(
        step._replace(delay=step.delay * by) if isinstance(step, Later) else step for step in plan
    )


def pauses_no_longer_each_time(situation: Situation, event: Event) -> Plan:
    plan = restart.decide(situation, event)
    return tuple(
        step._replace(delay=BACKOFF.initial) if isinstance(step, Later) else step for step in plan
    )


def never_comes_back_from_a_pause(situation: Situation, event: Event) -> Plan:
    return tuple(step for step in restart.decide(situation, event) if not isinstance(step, Later))


def pauses_not_at_all(situation: Situation, event: Event) -> Plan:
    return restart.decide(zoo.With(situation, backoff=None), event)


TREE: Final[dict[str, Any]] = {
    "strategy": "one_for_one",
    "max_restarts": 3,
    "max_seconds": 5,
    "children": [{"id": name, "starts": [], "shutdown": 20} for name in ("a", "b")],
}
TWO_DEATHS: Final = {
    "tree": {**TREE, "backoff": BACKOFF},
    "script": [["exit", "a", "boom"], ["wait", 900], ["exit", "a", "boom"], ["wait", 900]],
}


@pytest.mark.parametrize(
    ("decide", "problem"),
    [
        (halves_its_pauses, "progress of a came 0.040 s before its pause was over"),
        (pauses_four_times_as_long, "progress of a came 0.200 s too late"),
        (pauses_no_longer_each_time, "progress of a came 0.090 s before its pause was over"),
        (never_comes_back_from_a_pause, "a was due to be started again, and was not"),
        (pauses_not_at_all, "progress of a came 0.090 s before its pause was over"),
    ],
    ids=lambda one: getattr(one, "__name__", ""),
)
def test_a_pause_that_is_not_as_declared_is_told_with_its_number(
    decide: Decide, problem: str
) -> None:
    (told,) = found(TWO_DEATHS, decide=decide)

    assert told.startswith("root at ")
    assert told.endswith(problem)


def test_the_wrong_child_is_told() -> None:
    scenario = {"tree": TREE, "script": [["exit", "b", "boom"]]}

    def restarts_all(situation: Situation, event: Event) -> Plan:
        return restart.decide(zoo.With(situation, strategy="one_for_all"), event)

    assert found(scenario) == []
    assert found(scenario, decide=restarts_all) == [
        "root at 0.500 s: expected start of b, got exited of a"
    ]


def test_a_restart_too_many_and_an_escalation_too_early_are_told() -> None:
    scenario = {"tree": TREE, "script": [["exit", "a", "boom"]] * 4}

    assert found(scenario) == []
    assert found(scenario, decide=zoo.survives_one_restart_too_many) == [
        "root at 0.500 s: expected escalation of a, got progress of a"
    ]
    assert found(scenario, decide=zoo.gives_up_one_restart_too_early) == [
        "root at 0.500 s: expected start of a, got escalation of a"
    ]


def test_a_restart_that_failed_and_is_not_tried_again_is_told() -> None:
    failing = {"id": "a", "starts": ["ok", "error"], "shutdown": 20}
    tree = {**TREE, "children": [failing, TREE["children"][1]]}
    scenario = {"tree": tree, "script": [["exit", "a", "boom"], ["wait", 900]]}

    assert found(scenario) == []
    assert found(scenario, decide=zoo.gives_up_after_a_failed_restart) == [
        "root at 1.400 s: a was due to be started again, and was not"
    ]


def test_a_supervisor_that_is_killed_may_leave_anything_undone() -> None:
    events, policies = played(
        {"tree": TREE, "script": [["exit", "a", "boom"], ["parent_exit", "kill"]]}
    )

    assert events[-1].name == "down"
    assert audit(events, policies) == []


def test_nothing_is_said_of_supervisors_without_a_policy() -> None:
    events, _ = played({"tree": TREE, "script": []}, decide=zoo.leaves_its_children)

    assert audit(events, {}) == []


def test_a_child_that_nobody_asked_for_is_told() -> None:
    events, policies = played({"tree": TREE, "script": []})
    again = [*events[:3], events[0]]

    assert audit(again, policies) == [
        "root at 0.500 s: got progress of a, and nothing called for it"
    ]


def test_a_start_that_is_ignored_leaves_an_event() -> None:
    tree = {**TREE, "children": [{"id": "a", "starts": ["ignore"]}]}
    events, _ = played({"tree": tree, "script": []})

    assert [event.name for event in events] == ["ignored", "up", "down"]
