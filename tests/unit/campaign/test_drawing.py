"""A plan is drawn whole from its seed, and of several that which tries what has been tried least."""

from typing import Any

import pytest

from poolproof.campaign.coverage import Covered, size_of
from poolproof.campaign.drawing import draw
from poolproof.campaign.tasks import fault_of
from poolproof.faults import lookup
from poolproof.faults.base import nothing
from poolproof.plan import Plan
from tests.unit.campaign.data import PLACES, SPECS, case, menu

pytestmark = pytest.mark.unit


def drawn(count: int = 300, covered: Covered | None = None, **fields: Any) -> list[Plan]:
    return [draw(seed, menu(**fields), covered or Covered()) for seed in range(count)]


def test_the_same_seed_draws_the_same_plan() -> None:
    assert drawn() == drawn()


def test_every_fault_every_crash_point_and_many_sizes_are_drawn() -> None:
    plans = drawn()

    found = {(spec.kind, spec.victim) for plan in plans for spec in plan.faults}
    assert found == {(spec.kind, spec.victim) for spec in SPECS}
    assert {plan.point.line for plan in plans if plan.point} == {place.line for place in PLACES}
    assert len({size_of(plan) for plan in plans}) > 10


def test_faults_beside_the_first_come_in_its_moment_and_last() -> None:
    several = [plan.faults for plan in drawn() if len(plan.faults) > 1]

    assert several
    for first, *others in several:
        for other in others:
            assert lookup(other.kind).moment == lookup(first.kind).moment
            assert lookup(other.kind).heal is not nothing


def test_what_was_tried_least_is_preferred() -> None:
    covered = Covered()
    for place in PLACES[1:]:
        covered.add(case(fault="crash-point:kill", point=f"{place.path}:{place.line}"))

    plans = drawn(60, covered, specs=())

    rare = sum(plan.point is not None and plan.point.line == PLACES[0].line for plan in plans)
    assert rare > 40, "8 candidates of 5 places: 83 % have it among them"


def test_without_places_only_faults_are_drawn_and_without_faults_only_places() -> None:
    assert all(plan.faults for plan in drawn(places=()))
    assert all(plan.point for plan in drawn(specs=()))


def test_a_plan_that_breaks_nothing_says_so() -> None:
    assert draw(1, menu(), Covered(), null=True).null


def test_a_crash_point_is_played_without_warm_up_so_that_the_first_worker_meets_it() -> None:
    assert {plan.warmup for plan in drawn(specs=())} == {0}
    assert 0 not in {plan.warmup for plan in drawn(places=())}


def test_a_plan_is_called_by_its_faults() -> None:
    names = {fault_of(plan) for plan in drawn()}

    assert {"crash-point:kill", "kill-busy", "fd-exhaustion-owner+one-core"} <= names
