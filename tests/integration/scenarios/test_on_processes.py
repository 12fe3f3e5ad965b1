"""Every scenario on real processes, some at a time, with two seeds; and two foreign pools, with what they break."""

import asyncio
import os
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest

from poolproof.isolation import leases
from poolproof.plan import Target
from poolproof.scenarios import SCENARIOS, Load, Report, Scenario, Step, play_on_stack
from poolproof.scenarios.running import play_on_target

pytestmark = pytest.mark.integration

AT_ONCE = 4
FULL = [name for name, scenario in SCENARIOS.items() if "full" in scenario.layers]
Plays = dict[tuple[str, int], "Future[Report]"]


@pytest.fixture(scope="module")
def plays(request: pytest.FixtureRequest) -> Iterator[Plays]:
    """Those that the tests ask for, begun in their order, some at a time."""
    items = [one for one in request.session.items if isinstance(one, pytest.Function)]
    asked: list[dict[str, Any]] = [
        one.callspec.params for one in items if "plays" in one.fixturenames
    ]
    with ProcessPoolExecutor(AT_ONCE, mp_context=get_context("spawn")) as players:
        yield {
            (one["name"], one["seed"]): players.submit(
                play_on_stack, SCENARIOS[one["name"]], "full", seed=one["seed"]
            )
            for one in asked
        }


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("name", FULL)
def test_our_stack_passes_on_processes(name: str, seed: int, plays: Plays) -> None:
    report = plays[name, seed].result()

    assert report.broken == []
    assert report.receipts
    assert all(report.receipts.values())


KILLS = Scenario(
    name="kills",
    workers=2,
    steady=4,
    load=Load(clients=4, seconds=5, think=0),
    steps=(Step(do="wait", seconds=1), Step(do="kill", count=1, seconds=1)),
)
BREAKS = {
    "multiprocessing.Pool": "unresolved-job",
    "concurrent.futures.ProcessPoolExecutor": "recovery",
}


@pytest.mark.parametrize("target", BREAKS)
def test_a_foreign_pool_is_told_what_it_breaks(target: str, tmp_path: Path) -> None:
    asked = Target(name=target, cwd=str(tmp_path), python=sys.executable, deadline=1.5)
    lease = leases.take(f"test-scenario-{os.getpid()}")
    try:
        playing = play_on_target(KILLS, asked, run=lease.run, directory=Path(lease.directory))
        report = asyncio.run(playing)
    finally:
        leases.end(lease)
        leases.release(lease)

    assert report.verdict == "invalid"
    assert report.receipts["kill"]
    assert BREAKS[target] in [line.partition(":")[0] for line in report.broken]
