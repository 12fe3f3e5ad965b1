"""What the public strategies draw is sound, reaches every kind, and shrinks to the least of its kind."""

import asyncio
from typing import Any, Final

import msgspec
import pytest
from hypothesis import find, given

from poolproof.faults import FAULTS
from poolproof.plan import Plan, Point, Target
from poolproof.pool.settings import PoolSettings
from poolproof.strategies import (
    Failure,
    JobSpec,
    failure_scripts,
    jobs,
    plans,
    pool_settings,
    tree_specs,
)
from poolproof.supervision import SupervisorSpec

pytestmark = pytest.mark.unit

TARGET: Final = Target(name="package.pools:make", cwd="/tmp", python="/usr/bin/python3")
POINT: Final = Point(file="pool.py", line=7)


async def worker() -> None:
    await asyncio.Event().wait()


@given(jobs(most=8, of_sessions=2))
def test_jobs_are_numbered_in_their_order_and_only_those_that_pause_take_time(
    drawn: tuple[JobSpec, ...],
) -> None:
    assert [job.number for job in drawn] == list(range(len(drawn)))
    assert 1 <= len(drawn) <= 8
    assert {job.session for job in drawn} <= {"s0", "s1"}
    assert all(job.seconds == 0 for job in drawn if job.fate != "pause")


def test_jobs_shrink_to_one_that_returns_at_once() -> None:
    assert find(jobs(), lambda _: True) == (JobSpec(number=0, session="s0"),)


@pytest.mark.parametrize("fate", ["return", "raise", "pause", "hang", "die"])
def test_every_fate_is_drawn(fate: str) -> None:
    assert find(jobs(), lambda drawn: any(job.fate == fate for job in drawn))


@given(failure_scripts(workers=3))
def test_whatever_a_script_begins_it_ends_later_and_once(script: tuple[Failure, ...]) -> None:
    open_now: set[tuple[str, int]] = set()
    ends = {"resume": "pause", "heal": "partition"}

    assert list(script) == sorted(script, key=lambda failure: failure.after_starts)
    for failure in script:
        if failure.does in ("pause", "partition"):
            assert not any(worker == failure.worker for _, worker in open_now)
            open_now.add((failure.does, failure.worker))
        elif failure.does in ends:
            open_now.remove((ends[failure.does], failure.worker))
    assert open_now == set()


def test_a_script_shrinks_to_nothing_and_a_partition_to_itself_and_its_heal() -> None:
    assert find(failure_scripts(), lambda _: True) == ()
    assert find(failure_scripts(), lambda drawn: any(one.does == "heal" for one in drawn)) == (
        Failure(after_starts=0, does="partition", worker=0),
        Failure(after_starts=0, does="heal", worker=0),
    )


@given(plans(TARGET, points=[POINT]))
def test_a_plan_survives_its_own_json_and_breaks_one_thing_at_most(plan: Plan) -> None:
    assert msgspec.json.decode(msgspec.json.encode(plan), type=Plan) == plan
    assert len(plan.faults) + (plan.point is not None) <= 1
    assert all(fault.kind in FAULTS for fault in plan.faults)


def test_a_crash_point_is_drawn_only_from_those_that_are_given() -> None:
    assert find(plans(TARGET, points=[POINT]), lambda plan: plan.point is not None).point == POINT


@given(tree_specs(worker))
def test_a_tree_has_no_problems(tree: SupervisorSpec) -> None:
    assert tree.problems() == []


def nested(tree: SupervisorSpec) -> bool:
    return any(isinstance(child.start, SupervisorSpec) for child in tree.children)


def test_trees_have_trees_and_shrink_to_a_supervisor_without_children() -> None:
    tree = find(tree_specs(worker), lambda _: True)

    assert not tree.children
    assert len(find(tree_specs(worker), nested).children) == 1


@given(pool_settings(size=3))
def test_settings_are_accepted_and_what_is_fixed_stays(settings: Any) -> None:
    assert isinstance(settings, PoolSettings)
    assert settings.size == 3
