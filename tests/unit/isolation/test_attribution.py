"""Who is charged with a change: a ledger over a resource that the test itself moves."""

import types
from collections.abc import Hashable  # noqa: TC003
from typing import Any

import pytest

from poolproof.isolation.attribution import Charge, Ledger
from poolproof.isolation.blame import Notes
from poolproof.isolation.holding import reaches
from poolproof.isolation.resources.base import ABSENT, Change, Finding, State

pytestmark = pytest.mark.unit


class Shelf:
    """Things by name. What begins with a dot is nobody's affair."""

    slugs = ("thing",)
    fades = False
    steady = False

    def __init__(self) -> None:
        self.things: dict[Hashable, object] = {"old": 1}

    def look(self) -> State:
        return self.things.copy()

    def judge(self, change: Change, notes: Notes) -> Finding | None:
        del notes
        if str(change.key).startswith("."):
            return None
        return Finding(resource="thing", what=f"{change.key}: {change.old} -> {change.new}")

    def undo(self, change: Change) -> None:
        if change.old is ABSENT:
            del self.things[change.key]
        else:
            self.things[change.key] = change.old


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


@pytest.fixture
def ledger(shelf: Shelf) -> Ledger:
    ledger = Ledger([shelf], Notes())
    ledger.begin("test")
    return ledger


def texts(charges: list[Charge]) -> list[str]:
    return [charge.finding.what for charge in charges]


def set_up(ledger: Ledger, shelf: Shelf, fixture: str, **things: Any) -> None:
    turn = ledger.set_up(fixture)
    shelf.things.update(things)
    ledger.was_set_up(fixture, turn)


def test_what_a_test_makes_changes_and_removes_is_its_own(ledger: Ledger, shelf: Shelf) -> None:
    shelf.things.update(new=2, old=3)

    assert texts(ledger.suspects()) == ["old: 1 -> 3", "new: nothing -> 2"]


def test_a_clean_test_is_charged_with_nothing(ledger: Ledger, shelf: Shelf) -> None:
    shelf.things["new"] = 2
    del shelf.things["new"]

    assert ledger.suspects() == []


def test_what_the_resource_does_not_mind_is_no_charge(ledger: Ledger, shelf: Shelf) -> None:
    shelf.things[".cache"] = 2

    assert ledger.suspects() == []


def test_what_a_wider_fixture_makes_is_not_the_tests(ledger: Ledger, shelf: Shelf) -> None:
    set_up(ledger, shelf, "server", port=80)

    assert ledger.suspects() == []


def test_a_fixture_is_charged_when_it_ends_with_what_it_left(ledger: Ledger, shelf: Shelf) -> None:
    set_up(ledger, shelf, "server", port=80, log=1)
    ledger.begin("a later test")
    del shelf.things["log"]

    assert texts(ledger.ended("server")) == ["port: nothing -> 80"]


def test_a_fixture_that_clears_up_changes_nothing_for_the_test(
    ledger: Ledger, shelf: Shelf
) -> None:
    set_up(ledger, shelf, "server", port=80, old=5)
    ledger.begin("a later test")
    del shelf.things["port"]
    shelf.things["old"] = 1

    assert ledger.ended("server") == []
    assert ledger.suspects() == []


def test_a_fixture_is_charged_with_what_its_end_makes(ledger: Ledger, shelf: Shelf) -> None:
    set_up(ledger, shelf, "server", port=80)
    ledger.ending("server", "server")
    del shelf.things["port"]
    shelf.things["dump"] = 1

    assert texts(ledger.ended("server")) == ["dump: nothing -> 1"]
    assert ledger.suspects() == []


def test_a_fixture_within_a_fixture_keeps_its_own(ledger: Ledger, shelf: Shelf) -> None:
    outer = ledger.set_up("outer")
    set_up(ledger, shelf, "inner", deep=1)
    shelf.things["shallow"] = 1
    ledger.was_set_up("outer", outer)

    assert texts(ledger.ended("inner")) == ["deep: nothing -> 1"]
    assert texts(ledger.ended("outer")) == ["shallow: nothing -> 1"]


def test_what_was_undone_is_charged_no_longer(ledger: Ledger, shelf: Shelf) -> None:
    shelf.things.update(new=2, old=3)
    for charge in ledger.suspects():
        ledger.undo(charge)

    assert shelf.things == {"old": 1}
    assert ledger.suspects() == []


def test_a_leak_is_charged_once(ledger: Ledger, shelf: Shelf) -> None:
    shelf.things["new"] = 2
    assert ledger.suspects() != []
    ledger.begin("the next test")

    assert ledger.suspects() == []


class Unscoped(Ledger):
    """A ledger without the rule that it is for: fixtures own nothing."""

    def was_set_up(self, fixture: Any, turn: Any) -> None:
        del fixture
        self._turns.remove(turn)


def test_without_owners_every_wider_fixture_would_be_a_false_accusation(shelf: Shelf) -> None:
    ledger = Unscoped([shelf], Notes())
    ledger.begin("test")
    set_up(ledger, shelf, "server", port=80)

    assert texts(ledger.suspects()) == ["port: nothing -> 80"]


class Held(Shelf):
    """Things that are objects."""

    def objects(self, change: Change) -> list[object]:
        return [change.new]


class Pool:
    """What a session's fixture may be: tests put things into it."""

    def __init__(self) -> None:
        self.inside: dict[str, object] = {}


@pytest.mark.parametrize("held", [True, False])
def test_what_a_living_fixture_holds_is_its_own(held: bool) -> None:  # noqa: FBT001
    shelf, pool, thing = Held(), Pool(), Pool()
    ledger = Ledger([shelf], Notes(), value_of=lambda _: pool)
    ledger.begin("test")
    ledger.was_set_up("pool", ledger.set_up("pool"))
    shelf.things["new"] = thing
    if held:
        pool.inside["new"] = [thing]
    charges = ledger.hand_over(ledger.suspects())
    ledger.begin("a later test")

    assert len(charges) == (not held)
    assert len(ledger.ended("pool")) == held


def test_what_is_only_reached_through_a_module_is_not_held() -> None:
    thing: list[object] = [[]]
    module = types.ModuleType("module")
    vars(module)["thing"] = thing

    assert reaches([{"a": (thing,)}], [thing])
    assert reaches(lambda: thing, [thing])
    assert not reaches([module], [thing])
