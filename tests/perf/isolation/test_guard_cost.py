"""What the guard costs a suite: at the start, at each clean test, and in memory over a long run."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from tests.integration.isolation.suites import run
from tests.perf.pace import slowness
from tests.perf.test_start import import_ms

pytestmark = pytest.mark.perf

START_MS: Final = 30.0
CLEAN_TEST_MS: Final = 0.5
# What a clean test may leave: its report, which pytest keeps, has one entry more in a list. Nothing else grows.
GROWTH_BYTES_A_TEST: Final = 128

CLEAN: Final = """
    import pytest

    @pytest.mark.parametrize("number", range({number}))
    def test_clean(number): pass
"""


def test_the_guard_starts_in_milliseconds(tmp_path: Path) -> None:
    cost_ms = import_ms("poolproof.isolation.guarding", tmp_path, before="pytest")

    assert 0 < cost_ms < START_MS * slowness()


def test_a_clean_test_costs_half_a_millisecond_at_the_median(tmp_path: Path) -> None:
    measured: list[float] = []
    for turn in range(3):  # the least: whatever else runs on the machine can only add to it
        folder = tmp_path / str(turn)
        folder.mkdir()
        outcome = run(folder, CLEAN.format(number=500))
        found = re.search(r"0 leaks in 500 tests \(([\d.]+) ms CPU a clean test\)", outcome.output)
        assert found, outcome.output
        measured.append(float(found[1]))

    assert 0 < min(measured) <= CLEAN_TEST_MS * slowness()


MEMORY: Final = """
import gc, tracemalloc

SEEN = []

def pytest_runtest_logfinish():
    SEEN.append(None)
    if len(SEEN) == 1000:
        tracemalloc.start(1)
    if len(SEEN) in (2000, 10000):
        gc.collect()
        ours = tracemalloc.Filter(True, "*/poolproof/isolation/*")
        traces = tracemalloc.take_snapshot().filter_traces([ours])
        with open("sizes", "a") as file:
            print(sum(line.size for line in traces.statistics("filename")), file=file)
"""


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_memory_is_flat_over_ten_thousand_tests(tmp_path: Path) -> None:
    (tmp_path / "measuring.py").write_text(MEMORY)
    outcome = run(
        tmp_path,
        CLEAN.format(number=10_000),
        "-q",
        plugins=("measuring",),
        variables={"PYTHONPATH": str(tmp_path)},
        timeout=280,
    )

    assert outcome.exit_code == 0
    early, late = map(int, (tmp_path / "sizes").read_text().split())
    assert (late - early) / 8000 < GROWTH_BYTES_A_TEST


def test_the_guard_loads_the_standard_library_and_pytest_alone() -> None:
    program = (
        "import sys, pytest\n"
        "before = set(sys.modules)\n"
        "import poolproof.isolation.guarding\n"
        "new = {name.partition('.')[0] for name in set(sys.modules) - before}\n"
        "print(*sorted(new - set(sys.stdlib_module_names)))"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    assert result.stdout.split() == ["poolproof"]
