"""What everybody pays who has poolproof installed: the start of the package and of the plugin."""

import os
import subprocess
import sys
from typing import Final

import pytest

pytestmark = pytest.mark.perf

# Of processor time, paid once in each process of a suite that has the plugin installed.
BOUND_MS: Final = 10.0
RUNS: Final = 7


def cpu_ms(program: str) -> float:
    """Return the least processor time that an interpreter took for a program, of several runs.

    The least, because whatever else runs on the machine can only add to it.
    """
    return min(_cpu_ms_once(program) for _ in range(RUNS))


def _cpu_ms_once(program: str) -> float:
    process = subprocess.Popen([sys.executable, "-c", program])
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return (usage.ru_utime + usage.ru_stime) * 1000


@pytest.mark.parametrize(
    ("before", "measured"),
    [("pass", "import poolproof"), ("import pytest", "import pytest, poolproof.pytest_plugin")],
    ids=["package", "plugin"],
)
def test_the_start_costs_milliseconds(before: str, measured: str) -> None:
    cost_ms = cpu_ms(measured) - cpu_ms(before)

    assert cost_ms < BOUND_MS
