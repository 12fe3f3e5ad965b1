"""A plan that fails on real processes is shrunk to its cause: on mock if it fails there, too, else where it was seen.

scripts/campaign_plans.sh has it at full length: 40 jobs, 9 faults, 10 confirmations, within 60 s.
"""

import dataclasses
import os
from typing import Final

import pytest

from poolproof.errors import UsageError
from poolproof.pool.pool import Pool
from poolproof.pool.slot import Slot
from poolproof.stateful.demotion import demote
from poolproof.stateful.plans import AnchoredFault, SimulatedJob, SimulatedPlan
from poolproof.stateful.playing import VacuousPlanError, outcome
from poolproof.stateful.promises import broken
from poolproof.transport.base import End

pytestmark = pytest.mark.integration

LONG: Final = "POOLPROOF_LONG_PLANS" in os.environ
JOBS: Final = 40 if LONG else 3
TIMES, SEEDS = (10, 300) if LONG else (2, 10)
FAULTS: Final = (
    AnchoredFault("kill", 0, "start", 3),
    AnchoredFault("resize", 3, "submit", 2),
    AnchoredFault("heal", 0, "end", 5),
    AnchoredFault("kill", 1, "start", 9),
    AnchoredFault("kill", 0, "end", 12),
    AnchoredFault("kill", 1, "start", 20),
    AnchoredFault("resize", 2, "end", 20),
    AnchoredFault("kill", 0, "submit", 30),
    AnchoredFault("kill", 1, "start", 32),
)
PLAN: Final = SimulatedPlan(
    layer="full",
    jobs=tuple(SimulatedJob(client=number % 4, cancel=number % 9 == 8) for number in range(JOBS)),
    faults=FAULTS if LONG else FAULTS[:2],
    job_seconds=0.02 if LONG else 0.1,  # long enough to be hit on a crowded machine, too
)


def plant(monkeypatch: pytest.MonkeyPatch, *, only_on_processes: bool) -> None:
    """Let the pool believe that a dead worker had begun nothing, so that it has its jobs run again."""
    settle = Pool.on_death

    def on_death(self: Pool, slot: Slot, end: End) -> None:
        wrong = slot.link.pid is not None or not only_on_processes
        settle(self, slot, dataclasses.replace(end, begun=()) if wrong else end)

    monkeypatch.setattr(Pool, "on_death", on_death)


@pytest.mark.timeout(200)
@pytest.mark.parametrize("only_on_processes", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_failing_plan_shrinks_to_its_cause(
    monkeypatch: pytest.MonkeyPatch, *, only_on_processes: bool
) -> None:
    plant(monkeypatch, only_on_processes=only_on_processes)
    demoted = demote(PLAN, times=TIMES, seeds=SEEDS)

    assert demoted is not None
    print("", *demoted.story(), sep="\n")  # noqa: T201 - what the campaign shows
    assert demoted.promise is broken("duplicate-run")
    assert (demoted.mock is None) is only_on_processes
    assert len(demoted.plan.jobs) <= 3
    assert len(demoted.plan.faults) <= 2
    assert demoted.hits >= 1
    assert demoted.interval.low > 0


def test_a_sound_stack_of_processes_keeps_its_promises_through_a_plan() -> None:
    assert outcome(PLAN) is None


def test_what_does_not_fail_has_no_cause() -> None:
    short = SimulatedPlan(layer="full", jobs=(SimulatedJob(),))
    never = AnchoredFault("kill", 0, "start", 9)

    assert demote(short, times=1) is None
    with pytest.raises(VacuousPlanError, match="only 1 came"):
        demote(SimulatedPlan(layer="full", jobs=(SimulatedJob(),), faults=(never,)), times=1)
    with pytest.raises(UsageError, match="expected a plan on the layer full, got mock"):
        demote(SimulatedPlan())
