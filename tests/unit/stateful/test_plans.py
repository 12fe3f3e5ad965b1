"""Simulated plans: data that is played the same every time, and shrinks to its cause."""

from collections.abc import Callable
from pathlib import Path

import pytest

from poolproof.errors import UsageError
from poolproof.stateful.plans import (
    AnchoredFault,
    SimulatedJob,
    SimulatedPlan,
    load,
    play_plan,
    save,
    search_plan,
    shrink_plan,
)
from poolproof.stateful.promises import BrokenPromiseError
from poolproof.stateful.subject import Subject
from tests.unit.stateful import toy

pytestmark = pytest.mark.unit

FAULTS = (
    AnchoredFault("kill", 0, "start", 3),
    AnchoredFault("resize", 3, "submit", 8),
    AnchoredFault("kill", 1, "start", 9),
    AnchoredFault("heal", 0, "end", 5),
    AnchoredFault("kill", 0, "end", 12),
    AnchoredFault("kill", 1, "start", 20),
    AnchoredFault("resize", 2, "end", 20),
    AnchoredFault("kill", 0, "submit", 30),
    AnchoredFault("kill", 1, "start", 33),
)
JOBS = tuple(SimulatedJob(client=number % 4, cancel=number % 7 == 0) for number in range(40))
PLAN = SimulatedPlan(jobs=JOBS, faults=FAULTS)


def of(kind: type[toy.Toy]) -> Callable[[SimulatedPlan], Subject]:
    return lambda _: kind()


@pytest.mark.parametrize("layer", ["mock", "bridge_mock"])
def test_our_stack_keeps_its_promises_in_any_order(layer: str) -> None:
    assert search_plan(SimulatedPlan(layer=layer, jobs=JOBS, faults=FAULTS), seeds=5) is None  # type: ignore[arg-type]


def test_a_plan_is_played_the_same_every_time() -> None:
    runs = [play_plan(PLAN) for _ in range(2)]

    assert runs[0].trace == runs[1].trace
    assert runs[0].steps > 100


@pytest.mark.parametrize(
    "kind",
    [
        toy.LosesTheJobOfTheDead,
        toy.RunsTheJobOfTheDeadAgain,
        toy.DeniesWhatItRan,
        toy.IsBrokenForGood,
    ],
)
def test_forty_jobs_and_nine_faults_shrink_to_one_of_each(kind: type[toy.Toy]) -> None:
    found = search_plan(PLAN, of(kind), seeds=20)
    assert found is not None
    shrunk = shrink_plan(PLAN, found.played, of(kind))

    assert isinstance(found.played.error, BrokenPromiseError)
    assert found.played.error.invariant == kind.breaks
    assert (len(shrunk.plan.jobs), len(shrunk.plan.faults)) == (1, 1)
    assert shrunk.one_minimal
    assert shrunk.confirmed


def test_a_fault_comes_after_its_event_and_not_before() -> None:
    jobs = (SimulatedJob(), SimulatedJob())
    late = SimulatedPlan(jobs=jobs, faults=(AnchoredFault("kill", 0, "start", 3),))
    first = SimulatedPlan(jobs=jobs, faults=(AnchoredFault("kill", 0, "start", 1),))

    assert play_plan(late, of(toy.LosesTheJobOfTheDead)).error is None
    assert play_plan(first, of(toy.LosesTheJobOfTheDead)).error is not None


def test_a_saved_plan_is_read_again(tmp_path: Path) -> None:
    save(PLAN, tmp_path / "deep" / "plan.json")

    assert load(tmp_path / "deep" / "plan.json") == PLAN


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"layer": "full"}',
        '{"schema": 7}',
        '{"faults": [{"kind": "kil"}]}',
        '{"what": 1}',
    ],
)
def test_what_is_no_plan_is_refused_by_name(tmp_path: Path, text: str) -> None:
    (tmp_path / "plan.json").write_text(text)

    with pytest.raises(UsageError, match=r"expected .* in .*plan.json, got"):
        load(tmp_path / "plan.json")


def test_a_file_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file"):
        load(tmp_path / "none.json")
