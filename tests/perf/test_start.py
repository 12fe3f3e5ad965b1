"""What everybody pays who has poolproof installed: the start of the package and of the plugin."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from tests.perf.pace import slowness

pytestmark = pytest.mark.perf

# Of processor time, paid once in each process of a suite that has the plugin installed.
BOUND_MS: Final = 10.0
RUNS: Final = 7

# What was loaded before, and how fast the machine happens to be then, is no part of the figure: it is one process.
MEASURED: Final = """
import time, {before}
began = time.process_time()
import {module}
print((time.process_time() - began) * 1000)
"""


def import_ms(module: str, compiled: Path, *, before: str = "sys") -> float:
    """Return the least processor time, in milliseconds, that an interpreter took to import a module, of several runs.

    The least, because whatever else runs on the machine can only add to it. `compiled` is a folder for the byte code:
    the first run, not counted, fills it, as the first run after an installation does, also where
    `PYTHONDONTWRITEBYTECODE` is set.
    """
    environment = dict(os.environ, PYTHONPYCACHEPREFIX=str(compiled))
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    command = [sys.executable, "-c", MEASURED.format(before=before, module=module)]

    def once() -> float:
        return float(subprocess.check_output(command, env=environment))

    once()
    return min(once() for _ in range(RUNS))


@pytest.mark.parametrize(
    ("before", "module"),
    [("sys", "poolproof"), ("pytest", "poolproof.pytest_plugin")],
    ids=["package", "plugin"],
)
def test_the_start_costs_milliseconds(before: str, module: str, tmp_path: Path) -> None:
    assert 0 < import_ms(module, tmp_path, before=before) < BOUND_MS * slowness()
