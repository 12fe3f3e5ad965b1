"""The fixture `bench`: what a test measures is kept under its name, for `poolproof baseline`."""

from pathlib import Path

import msgspec
import pytest

from poolproof.bench.result import BenchResult

pytestmark = pytest.mark.integration

INI = "[pytest]\nasyncio_default_fixture_loop_scope = function\n"
SUITE = """
import pytest

def work(n):
    return sum(range(n))

@pytest.mark.perf
def test_called(bench):
    assert 0 < bench(work, 10, rounds=3) < 1

@pytest.mark.perf
def test_sampled(bench):
    assert bench.samples([3.0, 1.0, 2.0], unit="/s", label="rate") == 2.0
"""


def test_what_tests_measure_is_written_with_a_calibration_beside_each(
    pytester: pytest.Pytester, tmp_path: Path
) -> None:
    pytester.makeini(INI)
    pytester.makepyfile(test_it=SUITE)
    file = tmp_path / "bench.json"
    pytester.runpytest_inprocess("--poolproof=off", f"--poolproof-bench={file}").assert_outcomes(
        passed=2
    )
    result = msgspec.json.decode(file.read_bytes(), type=BenchResult)
    found = {measure.name: measure for measure in result.measures}
    called = found.pop("test_it.py::test_called")

    assert len(called.samples) == len(called.calibration) == 3
    assert found.pop("test_it.py::test_sampled rate").better == "more"
    assert not found
    assert result.fingerprint["cores"]


def test_nothing_is_written_unless_it_is_asked_for(pytester: pytest.Pytester) -> None:
    pytester.makeini(INI)
    pytester.makepyfile(test_it=SUITE)
    before = set(pytester.path.iterdir())
    pytester.runpytest_inprocess("--poolproof=off", "-p", "no:cacheprovider").assert_outcomes(
        passed=2
    )

    assert {path.name for path in set(pytester.path.iterdir()) - before} <= {"__pycache__"}
