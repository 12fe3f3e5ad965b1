"""From one sighting to a violation: repeated, cut to the least that shows it, and saved."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest

from poolproof import plan as plans
from poolproof.chaos.confirm import REPEATS, Violation, cheap, confirm
from poolproof.chaos.result import PointEntry
from poolproof.chaos.slots import Slots
from poolproof.checkers import Finding, Trial, judge
from poolproof.plan import Plan, Point
from tests.unit.checkers.histories import ONE, History, plan, warm

if TYPE_CHECKING:
    from poolproof.chaos.trials import Trials

pytestmark = pytest.mark.unit

FAULT = "kill-busy"


def lost(why: str = "quiet", **fields: Any) -> History:
    history = warm(FAULT, **fields).submit(3, role="faulted").begun(3).hit(ONE)
    return history.mark("suspect", 3, why=why).mark("judged", 3, why=why)


def fine() -> History:
    return warm(FAULT).submit(3, role="faulted").ran(3).hit(ONE).ok(3)


def violation(trial: Trial) -> Violation:
    (found,) = (f for f in judge(trial) if f.invariant == "unresolved-job")
    assert found.verdict == "invalid"
    return Violation(FAULT, found, trial, hits=1, trials=1)


class Played:
    """In place of `Trials`: shows the violation again when `again` says so of a plan."""

    profile = None

    def __init__(self, again: Callable[[Plan], bool], seconds: float = 60) -> None:
        self.again = again
        self.slots = Slots(running=1, parked=1, end=time.monotonic() + seconds)
        self.plans: list[Plan] = []
        self.points: list[dict[str, object] | None] = []

    async def play(
        self,
        plan: Plan,
        *,
        reference: Trial | None = None,
        points: dict[str, object] | None = None,
        urgent: bool = False,
    ) -> Trial:
        assert urgent, "what was found is confirmed before anything new is tried"
        self.plans.append(plan)
        self.points.append(points)
        history = lost() if self.again(plan) else fine()
        return Trial(plan, tuple(history.events), reference)


def confirmed(found: Violation, played: Played, directory: Path) -> Plan:
    (directory / "plans").mkdir()
    asyncio.run(confirm(found, cast("Trials", played), directory / "plans"))
    assert found.plan_path
    return plans.load(found.plan_path)


BIG: dict[str, Any] = {"jobs": 2, "bystanders": 4, "fresh": 4, "warmup": 4}


def test_the_least_plan_that_still_shows_it_is_saved(tmp_path: Path) -> None:
    saved = confirmed(violation(lost(**BIG).trial()), Played(lambda _: True), tmp_path)

    assert (saved.jobs, saved.bystanders, saved.fresh, saved.warmup) == (1, 0, 1, 1)
    assert [fault.kind for fault in saved.faults] == [FAULT]


def test_jobs_that_are_needed_stay(tmp_path: Path) -> None:
    found = violation(lost(**BIG).trial())
    saved = confirmed(found, Played(lambda plan: plan.jobs == 2), tmp_path)

    assert (saved.jobs, saved.bystanders, saved.fresh) == (2, 0, 4)


def test_what_was_found_is_kept_where_nothing_smaller_shows_it(tmp_path: Path) -> None:
    found = violation(lost(**BIG).trial())
    first = found.trial.plan
    played = Played(lambda plan: plan == first)
    saved = confirmed(found, played, tmp_path)

    assert saved == first
    assert (found.repeated, found.seen_again) == (2 + REPEATS, REPEATS)


def test_what_is_never_seen_again_is_unknown(tmp_path: Path) -> None:
    found = violation(lost(**BIG).trial())
    confirmed(found, Played(lambda _: False), tmp_path)
    entry = found.entry()

    assert entry.verdict == "unknown"
    assert entry.reason == f"seen once, and not again in {2 + REPEATS} repeats"
    assert (entry.hits, entry.trials) == (1, 5)


def test_what_was_seen_often_needs_no_repeat_to_count(tmp_path: Path) -> None:
    found = violation(lost(**BIG).trial())
    found.hits = found.trials = 2
    confirmed(found, Played(lambda _: False), tmp_path)

    assert found.entry().verdict == "invalid"


def test_the_plan_that_is_already_the_least_is_only_repeated(tmp_path: Path) -> None:
    history = lost(jobs=1, bystanders=0, fresh=1, warmup=1)
    played = Played(lambda _: True)
    confirmed(violation(history.trial()), played, tmp_path)

    assert played.plans == [history.plan] * REPEATS


def test_without_time_it_is_saved_unrepeated(tmp_path: Path) -> None:
    found = violation(lost(**BIG).trial())
    played = Played(lambda _: True, seconds=0)
    saved = confirmed(found, played, tmp_path)

    assert played.plans == []
    assert saved == found.trial.plan


@pytest.mark.parametrize("why", ["idling", "spinning", "overdue"])
def test_what_takes_long_is_repeated_one_by_one_until_it_is_seen(why: str, tmp_path: Path) -> None:
    found = violation(lost(why, **BIG).trial())
    played = Played(lambda _: True)
    confirmed(found, played, tmp_path)

    assert not cheap(lost(why).trial())
    assert len(played.plans) == 1
    assert found.seen_again == 1


def test_what_takes_long_and_needs_its_size_is_repeated_twice(tmp_path: Path) -> None:
    found = violation(lost("idling", **BIG).trial())
    played = Played(lambda plan: plan.jobs == 2)
    first = found.trial.plan
    confirmed(found, played, tmp_path)

    assert played.plans[1:] == [first]


def test_a_crash_point_is_struck_again_in_every_repeat(tmp_path: Path) -> None:
    point = Point(file="pool.py", line=118)
    found = violation(lost(**BIG).trial())
    struck = Plan(target=found.trial.plan.target, faults=(), point=point, jobs=1)
    found.trial = Trial(struck, found.trial.events)
    played = Played(lambda _: False)
    confirmed(found, played, tmp_path)

    assert len(played.points) == 2 + REPEATS
    assert all(points and points["line"] == 118 for points in played.points)


def test_the_entry_names_plan_and_command(tmp_path: Path) -> None:
    found = violation(lost(**BIG).trial())
    found.also = ("shutdown-hang",)
    found.points = [
        PointEntry(file="pool.py", line=n, function="f", effect="kill", ending="lost")
        for n in (4, 5)
    ]
    confirmed(found, Played(lambda _: True), tmp_path)
    entry = found.entry()

    assert entry.replay == f"poolproof replay {found.plan_path}"
    assert entry.plan == str(found.plan_path)
    assert str(found.plan_path).startswith(str(tmp_path / "plans" / "unresolved-job-kill-busy-"))
    assert entry.crash_points == ("pool.py:4-5",)
    assert entry.also == ("shutdown-hang",)
    assert entry.story[0].endswith("the pool is started")
    assert (entry.hits, entry.trials) == (1 + found.seen_again, 1 + found.repeated)


def test_an_entry_that_was_not_confirmed_yet_has_no_plan() -> None:
    entry = violation(lost(**BIG).trial()).entry()

    assert (entry.plan, entry.replay) == (None, None)


def test_the_same_violation_is_the_same_invariant_verdict_and_effect() -> None:
    found = violation(lost().trial())
    other = Violation(FAULT, Finding(invariant="leak", verdict="invalid", reason=""), found.trial)

    assert found.shows(lost().trial())
    assert not found.shows(fine().trial())
    assert not other.shows(lost().trial())


def test_a_trial_without_suspicion_is_cheap() -> None:
    assert cheap(Trial(plan(), ()))
    assert cheap(lost("quiet").trial())
