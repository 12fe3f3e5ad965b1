"""The fault model as a table: complete, and whatever it names exists."""

import importlib

import pytest

from poolproof.cli import main
from poolproof.faults import FAULTS, syscalls
from poolproof.faults.catalogue import ROWS, Row

pytestmark = pytest.mark.unit


def test_it_has_every_row_once_and_in_order() -> None:
    assert [row.number for row in ROWS] == list(range(1, 35))


def test_every_kind_that_check_knows_stands_in_a_row() -> None:
    assert set(FAULTS) <= {name for row in ROWS for name in row.full}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: str(row.number))
def test_whatever_a_row_names_exists(row: Row) -> None:
    for name in {*row.mock, *row.bridge_mock, *row.full}:
        module, colon, path = name.partition(":")
        if colon:
            found = importlib.import_module(module)
            for part in path.split("."):
                found = getattr(found, part)
        else:
            assert name in FAULTS or name.startswith("scenario ")


@pytest.mark.parametrize("row", ROWS, ids=lambda row: str(row.number))
def test_what_is_missing_on_a_layer_is_explained(row: Row) -> None:
    assert all((row.mock, row.bridge_mock, row.full)) or row.not_here


def test_the_table_says_what_this_machine_cannot_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("signal.signal", lambda *_: None)
    monkeypatch.setenv("PATH", "/nonexistent")
    syscalls.available.cache_clear()
    try:
        assert main(["faults"]) == 0
    finally:
        syscalls.available.cache_clear()

    line = next(
        line for line in capsys.readouterr().out.splitlines() if line.startswith("write-error-busy")
    )
    assert "not available here: strace is not installed" in line
