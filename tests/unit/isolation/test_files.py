"""Whose a file is: what pytest makes for the whole session is no test's."""

import os
import tempfile
from pathlib import Path

import pytest

from poolproof.isolation.blame import Notes, Site
from poolproof.isolation.resources.base import ABSENT, Change
from poolproof.isolation.resources.files import Files

pytestmark = pytest.mark.unit


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a temporary directory of the test's own."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.delenv("PYTEST_DEBUG_TEMPROOT", raising=False)
    return tmp_path


def seen(notes: Notes, root: str = "/nowhere") -> list[str]:
    """Return what a test is charged with."""
    files = Files(notes, root, lambda: None)
    found = [files.judge(Change(path, ABSENT, new=True), notes) for path in files.look()]
    return [finding.what for finding in found if finding is not None]


def made(notes: Notes, path: Path) -> Path:
    notes.made[str(path)] = Site("test_it.py", 1, "test_it", notes.owner, foreign=False)
    return path


@pytest.mark.parametrize("where", ["", "moved", "moved/by.a.link"])
def test_what_pytest_keeps_from_run_to_run_is_no_tests(
    where: str, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = temporary / "moved"
    root.mkdir()
    (root / "by.a.link").symlink_to(root)
    if where:
        monkeypatch.setenv("PYTEST_DEBUG_TEMPROOT", str(temporary / where))
    notes = Notes()
    kept = made(notes, (root if where else temporary) / "pytest-of-ana")
    kept.mkdir()
    made(notes, kept / "pytest-current").symlink_to(kept)

    assert seen(notes) == []


@pytest.mark.parametrize("made_first", ["", "ports"])
def test_the_place_of_leases_is_every_runs_whoever_made_it(
    made_first: str, temporary: Path
) -> None:
    notes = Notes()
    home = temporary / f"poolproof-{os.getuid()}"
    (home / "ports").mkdir(parents=True)
    made(notes, home / made_first)

    assert seen(notes) == []


def test_what_pytest_keeps_is_no_tests_below_the_root_of_the_suite_either(
    temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTEST_DEBUG_TEMPROOT", str(temporary))
    notes = Notes()
    made(notes, temporary / "pytest-of-ana").mkdir()

    assert seen(notes, root=str(temporary)) == []


def test_what_a_test_puts_into_a_suite_that_is_below_it_is_its_own(temporary: Path) -> None:
    notes = Notes()
    (temporary / "pytest-of-ana" / "pytest-0").mkdir(parents=True)
    mine = made(notes, temporary / "pytest-of-ana" / "pytest-0" / "mine")
    mine.touch()

    assert seen(notes, root=str(mine.parent)) == [str(mine)]


def test_what_a_test_puts_beside_it_is_its_own(
    temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTEST_DEBUG_TEMPROOT", str(temporary))
    notes = Notes()
    made(notes, temporary / "pytest-of-ana").mkdir()
    mine = made(notes, temporary / "mine")
    mine.mkdir()

    assert seen(notes) == [str(mine)]
