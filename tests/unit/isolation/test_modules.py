"""Entries of sys.modules: what an import explains is nobody's leak, what is put there by hand is."""

import sys
import types

import pytest

from poolproof.isolation.blame import Notes
from poolproof.isolation.resources.base import ABSENT, Change
from poolproof.isolation.resources.interpreter import Modules

pytestmark = pytest.mark.unit


def judged(name: str, module: object) -> str | None:
    finding = Modules().judge(Change(name, ABSENT, module), Notes())
    return None if finding is None else finding.what


def test_what_was_imported_is_no_leak() -> None:
    assert judged("types", types) is None


def test_what_was_put_there_by_hand_is_one() -> None:
    assert judged("made", types.ModuleType("made")) == "made: put into sys.modules by hand"


def test_the_name_that_multiprocessing_gives_to_the_program_is_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where no module is run but a text, as in a worker of pytest-xdist, the program has no spec."""
    program = types.ModuleType("__main__")
    monkeypatch.setitem(sys.modules, "__main__", program)

    assert judged("__mp_main__", program) is None


@pytest.mark.parametrize("name", ["cython_runtime", "_cython_3_1_6"])
def test_what_cython_shares_between_its_extensions_is_none(name: str) -> None:
    assert judged(name, types.ModuleType(name)) is None


def test_what_an_imported_module_brings_as_its_attribute_is_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    brought = types.ModuleType("json.brought")
    monkeypatch.setattr("json.brought", brought, raising=False)

    assert judged("json.brought", brought) is None


def test_a_stand_in_below_an_imported_package_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in = types.ModuleType("json.absent")
    monkeypatch.setitem(sys.modules, "json.absent", stand_in)

    assert judged("json.absent", stand_in) == "json.absent: put into sys.modules by hand"
