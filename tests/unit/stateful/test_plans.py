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
    save,
    stack_of,
)
from poolproof.stateful.playing import VacuousPlanError, outcome, play_plan
from poolproof.stateful.promises import BrokenPromiseError
from poolproof.stateful.shrinking import search_plan, shrink_plan
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


@pytest.mark.parametrize(
    ("jobs", "fault", "why"),
    [
        (1, AnchoredFault("kill", 0, "start", 2), "kill of worker 0 after start 2: only 1 came"),
        (1, AnchoredFault("resize", 3, "end", 9), "resize to 3 after end 9: only 1 came"),
        (
            1,
            AnchoredFault("pause", 1, "start", 1),
            "pause of worker 1 .*: this pool offers no pause",
        ),
        (0, None, "no job was asked for"),
    ],
)
def test_a_run_in_which_not_all_was_done_proves_nothing(
    jobs: int, fault: AnchoredFault | None, why: str
) -> None:
    plan = SimulatedPlan(jobs=(SimulatedJob(),) * jobs, faults=(fault,) if fault else ())

    error = play_plan(plan, of(toy.Toy)).error

    assert isinstance(error, VacuousPlanError)
    assert error.exit_code == 3
    with pytest.raises(VacuousPlanError, match=why):
        search_plan(plan, of(toy.Toy), seeds=5)


class NobodyIsLeft(toy.Toy):
    """Its workers come back only in a while."""

    def start(self, number: int) -> None:
        if number not in self.at_work and not self.begun:
            super().start(number)

    async def heal(self) -> None:
        for number in range(2):
            toy.Toy.start(self, number)


def test_a_kill_that_meets_no_living_worker_proves_nothing() -> None:
    kills = tuple(AnchoredFault("kill", 0, "start", 1) for _ in range(3))
    plan = SimulatedPlan(jobs=(SimulatedJob(),), faults=kills)

    assert "no worker lived then" in str(play_plan(plan, of(NobodyIsLeft)).error)


def test_a_broken_promise_counts_though_faults_are_left() -> None:
    faults = (AnchoredFault("kill", 0, "start", 1), AnchoredFault("kill", 0, "start", 99))
    plan = SimulatedPlan(jobs=(SimulatedJob(),), faults=faults)

    assert isinstance(outcome(plan, of(toy.LosesTheJobOfTheDead)), BrokenPromiseError)


class Unusable(toy.Toy):
    async def submit(self, job: int) -> None:
        raise LookupError(job)


def test_an_error_of_the_harness_is_no_finding() -> None:
    plan = SimulatedPlan(jobs=(SimulatedJob(),))

    with pytest.raises(LookupError):
        search_plan(plan, of(Unusable))
    with pytest.raises(LookupError):
        outcome(plan, of(Unusable))
    with pytest.raises(UsageError, match="expected a run that broke a promise, got LookupError"):
        shrink_plan(plan, play_plan(plan, of(Unusable)), of(Unusable))


@pytest.mark.parametrize("layer", ["mock", "bridge_mock"])
def test_a_fault_that_is_anchored_to_a_start_hits_that_very_job(layer: str) -> None:
    """The pool loses no job, so what tells of the hit is the error that the job's caller gets."""
    plan = SimulatedPlan(
        layer=layer,  # type: ignore[arg-type]
        jobs=(SimulatedJob(),),
        job_seconds=1.0,
        faults=tuple(AnchoredFault("kill", worker, "start", 1) for worker in (0, 1)),
    )
    subjects: list[Subject] = []

    def make(plan: SimulatedPlan) -> Subject:
        subjects.append(stack_of(plan))
        return subjects[-1]

    assert play_plan(plan, make).error is None
    assert subjects[0].outcomes()[1].text.startswith("WorkerDiedError")


def test_a_fault_comes_after_its_event_and_not_before() -> None:
    jobs = (SimulatedJob(), SimulatedJob())
    late = SimulatedPlan(jobs=jobs, faults=(AnchoredFault("kill", 0, "end", 2),))
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
        '{"layer": "full", "schedule": {"policy": "fifo"}}',
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
