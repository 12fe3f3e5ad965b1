"""The summary line of a suite: its counts, its layers, and its refusal to call nothing a pass."""

from pathlib import Path

import pytest

from scripts import summary

pytestmark = pytest.mark.unit

JUNIT = """
<testsuites><testsuite>
<testcase name="a"><properties><property name="layer" value="mock"/></properties></testcase>
<testcase name="b"><failure message="no"/></testcase>
<testcase name="c"><error message="no"/></testcase>
<testcase name="d"><skipped/></testcase>
</testsuite></testsuites>
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "unit.xml"
    path.write_text(JUNIT)
    return path


def lines(*files: Path, layers: tuple[str, ...] = (), status: int = 0) -> list[str]:
    return summary.summary("unit", summary.read(files), layers=list(layers), status=status)


def test_errors_count_as_failures(file: Path) -> None:
    assert lines(file, status=1) == ["unit: 1 passed, 2 failed, 1 skipped: exit 1"]


def test_each_layer_has_a_line_and_an_empty_one_says_so(file: Path) -> None:
    found = lines(file, layers=("mock", "full"), status=1)

    assert found[:2] == [
        "unit, layer mock: 1 passed, 0 failed, 0 skipped",
        "unit, layer full: no tests",
    ]


@pytest.mark.parametrize("status", [0, 5])
def test_no_tests_prove_nothing(tmp_path: Path, status: int) -> None:
    assert lines(tmp_path / "absent.xml", status=status) == ["unit: no tests: nothing was proven"]


def test_a_run_that_pytest_refused_shows_its_exit_code(tmp_path: Path) -> None:
    assert lines(tmp_path / "absent.xml", status=4) == ["unit: no tests: exit 4"]


def test_several_files_are_summed(file: Path) -> None:
    assert lines(file, file, status=1) == ["unit: 2 passed, 4 failed, 2 skipped: exit 1"]
