"""Every scenario on real processes, some at a time, with two seeds; and two foreign pools, with what they break."""

import asyncio
import os
import sys
from pathlib import Path

import pytest

from poolproof.isolation import leases
from poolproof.plan import Target
from poolproof.scenarios import SCENARIOS, Load, Report, Scenario, Step
from poolproof.scenarios.library import of_seed
from poolproof.scenarios.playing import play
from poolproof.scenarios.running import REAL_PACE, play_on_target
from poolproof.scenarios.stack_stage import StackStage

pytestmark = pytest.mark.integration

AT_ONCE = 4


async def all_of_them(seed: int) -> list[Report]:
    """Play every scenario that means something on processes, some at a time."""
    places = asyncio.Semaphore(AT_ONCE)

    async def one(scenario: Scenario) -> Report:
        drawn = of_seed(scenario, seed, "full")
        async with places:
            stage = StackStage("full", drawn.workers, pace=REAL_PACE, seed=seed, **drawn.settings)
            return await play(drawn, stage, seed=seed, where="full")

    return await asyncio.gather(*map(one, SCENARIOS.values()))


@pytest.mark.timeout(170)
@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.slow
def test_our_stack_passes_every_scenario_on_processes(seed: int) -> None:
    reports = asyncio.run(all_of_them(seed))

    assert {report.scenario: report.broken for report in reports if report.broken} == {}
    assert all(all(report.receipts.values()) for report in reports)
    assert all(report.receipts for report in reports)


KILLS = Scenario(
    name="kills",
    workers=2,
    steady=4,
    load=Load(clients=4, seconds=5, think=0),
    # Three times: a worker that dies between two jobs takes none along.
    steps=(Step(do="wait", seconds=1), Step(do="kill", count=1, times=3, every=0.5, seconds=1)),
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
