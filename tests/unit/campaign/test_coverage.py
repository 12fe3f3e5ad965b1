"""What counts as tried: pairs of fault and state, and crash points, each only with a receipt."""

import msgspec
import pytest

from poolproof.campaign.coverage import Covered, newest
from poolproof.plan import Point
from tests.unit.campaign.data import case, menu, plan

pytestmark = pytest.mark.unit


def test_a_case_without_a_receipt_has_tried_nothing() -> None:
    covered = Covered()
    covered.add(case(state=""))

    assert not covered.pairs
    assert "kill-busy" in covered.untried(menu())


def test_a_fault_beside_others_has_been_tried() -> None:
    covered = Covered()
    covered.add(case(fault="kill-idle+one-core", state="idle"))

    assert covered.pairs == {"kill-idle+one-core x idle": 1}
    assert covered.untried(menu()) == ["kill-busy", "fd-exhaustion-owner"]


def test_a_crash_point_is_missed_until_a_worker_was_struck_there() -> None:
    covered = Covered()
    covered.add(case(fault="crash-point:kill", point="/lib/pool.py:11"))
    covered.add(case(fault="crash-point:kill", point="/lib/pool.py:12", state=""))

    missed = ["pool.py:10 kill", "pool.py:12 kill", "pool.py:13 kill", "pool.py:14 kill"]
    assert covered.missed(menu()) == missed


def test_nobody_knows_what_a_plan_of_a_new_size_would_try() -> None:
    covered = Covered()
    covered.add(case(size="2+4"))
    covered.add(case(size="2+4"))

    assert covered.times(plan("kill-busy", jobs=2, bystanders=4)) == 2
    assert covered.times(plan("kill-busy", jobs=1, bystanders=0)) == 0


def test_the_newest_plan_is_the_one_tried_least_and_the_first_of_several() -> None:
    covered = Covered()
    covered.add(case(size="2+4"))
    known, first = plan("kill-busy", jobs=2, bystanders=4), plan("kill-idle")

    assert newest([known, first, plan("one-core")], covered) is first


def test_a_crash_point_counts_by_its_effect() -> None:
    covered = Covered()
    covered.add(case(fault="crash-point:kill", point="/lib/pool.py:11"))
    killed = plan(point=Point(file="/lib/pool.py", line=11))
    raised = plan(point=Point(file="/lib/pool.py", line=11, effect="raise"))

    assert (covered.times(killed), covered.times(raised)) == (1, 0)


def test_coverage_travels_as_data() -> None:
    covered = Covered()
    covered.add(case(fault="crash-point:kill", point="/lib/pool.py:11"))
    there = Covered(
        msgspec.json.decode(msgspec.json.encode(covered.freeze()), type=type(covered.freeze()))
    )

    assert (there.pairs, there.points, there.states) == (
        covered.pairs,
        covered.points,
        covered.states,
    )
