"""The register of faults: known by name, complete, and never taken twice."""

import dataclasses

import pytest

from poolproof.errors import UsageError
from poolproof.faults import FAULTS, lookup
from poolproof.faults.base import MISSING, Fault, inapplicable, register
from poolproof.plan import FaultSpec
from tests.unit.faults.conftest import Stage

pytestmark = pytest.mark.unit

SPEC = FaultSpec(kind="test-only")
BARE = Fault(kind="test-only", does="nothing at all", moment="idle")


def test_a_fault_is_found_by_its_kind() -> None:
    assert lookup("kill-busy") is FAULTS["kill-busy"]


def test_an_unknown_kind_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UsageError) as raised:
        lookup("kill-it")

    assert str(raised.value) == (
        f"expected a kind of fault, got 'kill-it'; known are: all, every, none, {', '.join(FAULTS)}"
    )


def test_a_new_fault_is_registered_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("poolproof.faults.base.FAULTS", {})

    assert register(BARE) is BARE
    assert lookup("test-only") is BARE
    with pytest.raises(ValueError, match=r"^expected a new kind of fault, got 'test-only' again$"):
        register(BARE)


def test_a_bare_fault_hits_nobody_and_ends_by_itself(stage: Stage) -> None:
    assert BARE.victims(stage, SPEC) == []
    assert BARE.inject(stage, SPEC, []) is None
    assert BARE.heal(stage, SPEC, []) is None
    assert BARE.healed(stage, SPEC, []) == "ends by itself"


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_every_fault_has_a_name_a_clause_needs_that_are_explained_and_a_receipt(
    fault: Fault,
) -> None:
    assert FAULTS[fault.kind] is fault
    assert fault.does
    assert not fault.does.endswith(".")
    assert set(fault.needs) <= set(MISSING)
    assert fault.receipt is not BARE.receipt  # or it would be proven by nothing
    assert (fault.heal is BARE.heal) or fault.inject is not BARE.inject


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_nothing_is_a_receipt_before_anything_has_happened(fault: Fault, stage: Stage) -> None:
    if (
        fault.moment == "owner"
        or fault.kind.endswith("-owner")
        or fault.kind in ("spawn-failure", "fork-refused")
    ):
        return  # these look at the owner, which this scene has none of
    assert fault.receipt(stage, SPEC, []) is None


def test_a_fault_applies_where_nothing_is_missing() -> None:
    fault = dataclasses.replace(BARE, needs=("processes", "cancel"))

    assert inapplicable(fault, frozenset({"processes", "cancel", "loop"})) is None


def test_the_first_thing_that_is_missing_is_the_reason() -> None:
    fault = dataclasses.replace(BARE, needs=("any-job", "processes", "cancel"))

    assert inapplicable(fault, frozenset({"any-job"})) == MISSING["processes"]
