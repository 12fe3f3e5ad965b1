"""What a sandbox, a supervision tree in it, and a lock cost each test."""

# ruff: noqa: T201 -- the figures are what these tests are for

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from poolproof.isolation import locks
from tests.perf.pace import slowness

pytestmark = [pytest.mark.perf, pytest.mark.timeout(180)]

SETUP_MS = 5.0
CLEANUP_MS = 10.0
LOCK_MS = 2.0
# Between the 3,000th and the 10,000th sandbox: two steps of the interpreter's own table of interned names (pathlib puts
# every part of a path there). An object of 300 bytes that each sandbox left would be more.
GROWTH_BYTES = 2_000_000

SUITE = """
import pytest

class Squares:
    def handle(self, request):
        return request * request

@pytest.mark.parametrize("number", range(NUMBER))
async def test_pool(isolated_test, isolated_pool, number):
    pool = await isolated_test.enter(isolated_pool(Squares))
    assert await pool.submit(3) == 9
"""
# How many tests have a stack of their own, on each layer.
LAYERS = {"mock": 200, "bridge_mock": 20}
CONFTEST = """
import json

def pytest_runtest_logreport(report):
    if report.when == "teardown":
        print("TOLD", json.dumps(dict(report.user_properties)["poolproof_sandbox"]))
"""


@pytest.fixture
def runtime() -> Iterator[Path]:
    """A directory in memory, as XDG_RUNTIME_DIR is where a user has logged in."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        yield Path(folder)


def quiet(values: Iterable[float]) -> float:
    """Return the first of four quarters: whatever else runs on the machine can only add to a time."""
    return statistics.quantiles(values, n=4)[0]


def played(place: Path, runtime: Path, layer: str) -> tuple[list[dict[str, Any]], str]:
    """Run the suite on one layer; return what each sandbox has cost, and the summary's lines."""
    (place / "test_suite.py").write_text(SUITE.replace("NUMBER", str(LAYERS[layer])))
    (place / "conftest.py").write_text(CONFTEST)
    plugins = ["-p", "pytest_asyncio.plugin", "-p", "poolproof.pytest_plugin", "-s", "-q"]
    settings = ["-o", "asyncio_mode=auto", "-o", "asyncio_default_fixture_loop_scope=function"]
    environment = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "XDG_RUNTIME_DIR": str(runtime)}
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            *plugins,
            *settings,
            "-p",
            "no:cacheprovider",
            f"--layer={layer}",
        ],
        cwd=place,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    lines = done.stdout.splitlines()
    told = [json.loads(line.partition("TOLD ")[2]) for line in lines if "TOLD " in line]
    return told, next(line for line in lines if line.startswith(f"sandbox, layer {layer}:"))


@pytest.mark.parametrize("layer", LAYERS)
def test_isolated_test_costs_milliseconds_with_a_stack_on_the_mock_layer(
    tmp_path: Path, runtime: Path, layer: str
) -> None:
    """With real frames it is told, not bounded: they are what it is spent on."""
    told, summary = played(tmp_path, runtime, layer)
    print(f"\n{summary}")

    assert len(told) == LAYERS[layer]
    assert all(one["verified"] == one["released"] for one in told)
    if layer == "mock":
        slower = slowness()
        assert quiet(one["setup_ms"] for one in told) <= SETUP_MS * slower
        assert quiet(one["cleanup_ms"] for one in told) <= CLEANUP_MS * slower


def test_a_lock_that_nobody_else_wants_costs_little(runtime: Path) -> None:
    spent: list[float] = []
    for _ in range(200):
        began = time.perf_counter()
        locks.acquire(runtime / "lock", "write", "me", 1).release()
        spent.append((time.perf_counter() - began) * 1000)
    print(f"\nlock and release: {quiet(spent):.3f} ms")

    assert quiet(spent) <= LOCK_MS * slowness()


MANY = """
import sys
from poolproof.isolation.names import Namespace
from poolproof.isolation.places import process_lease
from poolproof.isolation.sandbox import Sandbox
from poolproof.watch import procfs
import os

def one(lease, number):
    sandbox = Sandbox(Namespace(lease.run, f"test_{number}"), lease)
    sandbox.dir(), sandbox.name("x"), sandbox.setenv("X", "1"), sandbox.port()
    assert sandbox.cleanup().complete

with process_lease() as lease:
    sizes = []
    for number in range(10_000):
        one(lease, number)
        if number in (2_999, 9_999):
            sizes.append(procfs.rss_bytes(os.getpid()))
print(*sizes)
"""


@pytest.mark.slow
def test_memory_is_flat_over_ten_thousand_sandboxes(runtime: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", MANY],
        env={**os.environ, "XDG_RUNTIME_DIR": str(runtime)},
        capture_output=True,
        text=True,
        check=True,
        timeout=170,
    )
    first, last = map(int, done.stdout.split())
    print(f"\nmemory after 3,000 sandboxes {first / 1e6:.2f} MB, after 10,000 {last / 1e6:.2f} MB")

    assert last - first <= GROWTH_BYTES
