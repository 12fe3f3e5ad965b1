"""The sweep of crash points: what is recorded, how a place is named, and how each trial becomes an entry."""

import asyncio
import time
from typing import TYPE_CHECKING, Any, cast

import pytest

from poolproof.chaos.crashpoints import (
    Effect,
    Place,
    _short,
    again,
    entry_of,
    judged,
    points_of,
    record,
    sweep,
)
from poolproof.chaos.slots import Slots
from poolproof.chaos.trials import PARKED
from poolproof.checkers import PointClass, Trial
from poolproof.plan import Plan, Point
from tests.unit.checkers.histories import History, plan

if TYPE_CHECKING:
    from poolproof.chaos.result import PointEntry
    from poolproof.chaos.trials import Trials

pytestmark = pytest.mark.unit

PLACE = Place("/lib/multiprocessing/pool.py", "multiprocessing/pool.py", 118, "worker")


class Played:
    """In place of `Trials`: answers every plan with the same events."""

    def __init__(self, history: History, seconds: float = 60, reserve: float = 0) -> None:
        self.history = history
        end = time.monotonic() + seconds
        self.slots = Slots(running=2, parked=PARKED, end=end, reserve=reserve)
        self.profile = None
        self.plans: list[Plan] = []
        self.told: list[dict[str, Any] | None] = []

    async def play(
        self,
        plan: Plan,
        *,
        reference: Trial | None = None,
        points: dict[str, Any] | None = None,
        urgent: bool = False,
    ) -> Trial:
        assert not urgent, "a sweep has time"
        self.plans.append(plan)
        self.told.append(points)
        return Trial(plan, tuple(self.history.events), reference)


@pytest.mark.parametrize(
    ("path", "own", "expected"),
    [
        ("/lib/pools.py", ["/lib/pools.py"], "pools.py"),
        ("/lib/mp/pool.py", ["/lib/mp/"], "mp/pool.py"),
        ("/lib/mp/deep/er.py", ["/lib/x.py", "/lib/mp/"], "mp/deep/er.py"),
        ("/elsewhere/pool.py", ["/lib/mp/"], "pool.py"),
    ],
)
def test_a_path_is_shown_from_its_package_on(path: str, own: list[str], expected: str) -> None:
    assert _short(path, own) == expected


def test_each_line_of_a_function_is_a_place_once_in_the_order_of_its_first_pass() -> None:
    history = History()
    for line, body in ((5, False), (1, True), (3, False), (5, False)):
        place = {"file": "/lib/mp/pool.py", "line": line, "name": "worker", "body": body}
        history.write("point", data=place)
    played = Played(history)
    places = asyncio.run(record(cast("Trials", played), plan(), ["/lib/mp/"]))

    assert places == (
        Place("/lib/mp/pool.py", "mp/pool.py", 5, "worker"),
        Place("/lib/mp/pool.py", "mp/pool.py", 3, "worker"),
    )
    assert played.told == [{"mode": "record", "own": ["/lib/mp/"]}]


def struck() -> History:
    return History(point=Point(file=PLACE.path, line=118)).start().done(1).strike().receipt()


def swept(played: Played, *effects: Effect) -> list[tuple[str, str, bool]]:
    steps: list[None] = []
    places = [PLACE, Place("/lib/p.py", "p.py", 7, "f")]
    work = sweep(cast("Trials", played), plan(), places, effects, lambda: steps.append(None))
    found = asyncio.run(work)
    assert len(steps) == len(found)
    return [(entry.effect, entry.ending, trial is None) for entry, trial in found.items()]


def test_there_is_a_trial_for_each_place_and_effect() -> None:
    played = Played(struck())
    found = swept(played, "kill", "raise")

    assert [effect for effect, _, _ in found] == ["kill", "kill", "raise", "raise"]
    points = {(p.point.line, p.point.effect) for p in played.plans if p.point}
    assert points == {(118, "kill"), (118, "raise"), (7, "kill"), (7, "raise")}


def test_a_place_that_no_worker_came_to_is_unreached() -> None:
    assert swept(Played(History().start()), "kill") == [("kill", "unreached", False)] * 2


def test_where_a_pool_did_not_survive_is_struck_anew_and_the_old_entry_goes() -> None:
    places = [PLACE, Place("/lib/p.py", "p.py", 7, "f")]
    survived = entry_of(places[0], "kill", "survived")
    stopped = entry_of(places[1], "kill", "stopped")
    points: dict[PointEntry, Trial | None] = {survived: None, stopped: None}
    played = Played(struck())
    found = asyncio.run(again(cast("Trials", played), plan(), places, points))

    assert list(points) == [survived]
    assert [(entry.file, entry.line) for entry in found] == [("p.py", 7)]
    assert [p.point.line for p in played.plans if p.point] == [7]


@pytest.mark.parametrize(("seconds", "reserve"), [(0, 0), (10, 20)])
def test_without_time_a_place_is_not_tried(seconds: float, reserve: float) -> None:
    played = Played(struck(), seconds, reserve)

    assert swept(played, "kill") == [("kill", "not_tried", True)] * 2
    assert played.plans == []


def test_a_trial_that_never_began_is_not_tried() -> None:
    assert swept(Played(History()), "kill") == [("kill", "not_tried", True)] * 2


def test_what_could_not_be_judged_counts_as_not_tried() -> None:
    entry = judged(PLACE, "kill", PointClass(name="unknown"))

    assert entry.ending == "not_tried"
    assert entry.reason == "not judged before time ran out, or without a receipt"


def test_an_entry_keeps_its_secondary_effects_and_its_time() -> None:
    entry = judged(PLACE, "hang", PointClass(name="lost", effects=("leak",), seconds=2.5))

    assert (entry.ending, entry.effects, entry.seconds) == ("lost", ("leak",), 2.5)
    assert (entry.file, entry.line, entry.function) == (PLACE.file, 118, "worker")
    assert entry_of(PLACE, "hang", "slow").reason == ""


def test_workers_are_told_where_they_are_struck() -> None:
    point = Point(file="/lib/p.py", line=7, effect="hang")

    assert points_of(plan()) is None
    assert points_of(plan(point=point, null=True)) is None
    assert points_of(plan(point=point)) == {
        "mode": "strike",
        "own": [],
        "file": "/lib/p.py",
        "line": 7,
        "effect": "hang",
    }
