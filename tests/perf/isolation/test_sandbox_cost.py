"""What a sandbox, a supervision tree in it, and a lock cost each test."""

# ruff: noqa: T201 -- the figures are what these tests are for

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from poolproof.isolation import locks

pytestmark = [pytest.mark.perf, pytest.mark.timeout(180)]

SETUP_MS = 5.0
CLEANUP_MS = 10.0
LOCK_MS = 2.0
# Between the 3,000th and the 10,000th sandbox: two steps of the interpreter's own table of interned names (pathlib puts
# every part of a path there). An object of 300 bytes that each sandbox left would be more.
GROWTH_BYTES = 2_000_000

SUITE = """
import asyncio, json, pytest
from poolproof.supervision import ChildSpec, start_isolated_supervisor

async def forever():
    await asyncio.Event().wait()

@pytest.mark.parametrize("number", range(200))
async def test_tree(isolated_test, number):
    children = [ChildSpec(id=f"worker_{index}", start=forever) for index in range(8)]
    await isolated_test.enter(start_isolated_supervisor(children, max_restarts=8))

@pytest.mark.layer("bridge_mock")
@pytest.mark.parametrize("number", range(200))
def test_places(isolation, number):
    isolation.dir(), isolation.name("x"), isolation.port(), isolation.redirect()
"""
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


def test_isolated_test_costs_milliseconds(tmp_path: Path, runtime: Path) -> None:
    (tmp_path / "test_suite.py").write_text(SUITE)
    (tmp_path / "conftest.py").write_text(CONFTEST)
    options = ["-p", "pytest_asyncio.plugin", "-p", "poolproof.pytest_plugin", "-s", "-q"]
    settings = ["-o", "asyncio_mode=auto", "-o", "asyncio_default_fixture_loop_scope=function"]
    environment = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "XDG_RUNTIME_DIR": str(runtime)}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, *settings, "-p", "no:cacheprovider"],
        cwd=tmp_path,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    lines = [line.partition("TOLD ")[2] for line in done.stdout.splitlines() if "TOLD " in line]
    told = [json.loads(line) for line in lines]
    for layer in ("mock", "bridge_mock"):
        costs = [one for one in told if one["layer"] == layer]
        setup = statistics.median(one["setup_ms"] for one in costs)
        cleanup = statistics.median(one["cleanup_ms"] for one in costs)
        print(
            f"\nlayer {layer}: set-up {setup:.2f} ms, clean-up {cleanup:.2f} ms, {len(costs)} tests"
        )

        assert len(costs) == 200
        assert setup <= SETUP_MS
        assert cleanup <= CLEANUP_MS
    assert all(one["verified"] == one["released"] for one in told)
    print(*[line for line in done.stdout.splitlines() if line.startswith("sandbox, ")], sep="\n")


def test_a_lock_that_nobody_else_wants_costs_little(runtime: Path) -> None:
    spent: list[float] = []
    for _ in range(200):
        began = time.perf_counter()
        locks.acquire(runtime / "lock", "write", "me", 1).release()
        spent.append((time.perf_counter() - began) * 1000)
    median = statistics.median(spent)
    print(f"\nlock and release: {median:.3f} ms")

    assert median <= LOCK_MS


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
