"""Tests that must run alone are alone on four workers; without their marker, the same tests meet."""

from pathlib import Path

import pytest

from scripts import alone

pytestmark = [
    pytest.mark.integration,
    pytest.mark.timeout(180),
    pytest.mark.usefixtures("unmeasured"),
]


def test_each_execution_is_alone_and_the_waiting_is_told(tmp_path: Path) -> None:
    outcome = alone.run(tmp_path / "a", "worksteal", locked=True, repeats=2, workers=4)

    assert (outcome.alone, outcome.alone_right) == (10, 10)
    assert outcome.right == outcome.tests == 50
    assert outcome.waited > 0


def test_without_the_marker_they_meet(tmp_path: Path) -> None:
    """Else the looking around would prove nothing."""
    outcome = alone.run(tmp_path / "a", "worksteal", locked=False, repeats=2, workers=4)

    assert outcome.tests == 50
    assert outcome.right < outcome.tests
