"""A scenario from its start to its report: on our own stack, in virtual time where it can be, or on any pool."""

import asyncio
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Final

import msgspec

from poolproof import fingerprint, simulation
from poolproof.errors import UsageError
from poolproof.host import Host
from poolproof.plan import Target
from poolproof.scenarios.data import Scenario
from poolproof.scenarios.host_stage import HostStage
from poolproof.scenarios.judging import Judgement
from poolproof.scenarios.library import of_seed
from poolproof.scenarios.playing import Report, inapplicable, play
from poolproof.scenarios.stack_stage import StackStage
from poolproof.simulation import SimulationStalledError
from poolproof.stack.environment import known_layer

REAL_PACE: Final = 0.1
"""What one second of a scenario is on real processes, unless something else is asked for."""
MOST_SECONDS: Final = 600.0
"""How long a play on a foreign pool may take in all."""


def play_on_stack(
    scenario: Scenario,
    layer: str,
    *,
    seed: int = 0,
    pace: float | None = None,
    null: bool = False,
    settings: dict[str, Any] | None = None,
    run: Callable[[Coroutine[Any, Any, Report]], Report] = asyncio.run,
) -> Report:
    """Play a scenario on our own stack.

    Args:
        scenario: what is done.
        layer: mock and bridge_mock are played in virtual time, full in real time.
        seed: decides whatever is drawn, and in virtual time the order of all steps.
        pace: how many real seconds one of the scenario's is, on full.
        null: whether no deed is done.
        settings: of the pool, over those of the scenario.
        run: what runs a play in real time to its end.

    Raises:
        UsageError: there is no such layer, or the scenario cannot be judged.
    """
    known = known_layer(layer)
    drawn = of_seed(scenario, seed, layer)
    if known not in drawn.layers:
        return inapplicable(drawn, layer, seed, f"a layer among {', '.join(drawn.layers)}")
    chosen = {**drawn.settings, **(settings or {})}
    if known == "full":
        stage = _stage(drawn, layer, seed, REAL_PACE if pace is None else pace, chosen)
        return _taken(run(play(drawn, stage, seed=seed, where=layer, null=null)))
    if pace is not None:
        raise UsageError(
            f"expected a pace for the layer full, got one for {layer}; it costs no time"
        )
    return _simulated(drawn, layer, seed, null=null, settings=chosen)


def _stage(
    scenario: Scenario, layer: str, seed: int, pace: float, settings: dict[str, Any]
) -> StackStage:
    return StackStage(known_layer(layer), scenario.workers, pace=pace, seed=seed, **settings)


def _simulated(
    scenario: Scenario, layer: str, seed: int, *, null: bool, settings: dict[str, Any]
) -> Report:
    async def main() -> Report:
        stage = _stage(scenario, layer, seed, 1.0, settings)
        return await play(scenario, stage, seed=seed, where=layer, null=null)

    played = simulation.play(main(), simulation.Schedule(policy="random", seed=seed))
    if isinstance(played.error, SimulationStalledError):
        stuck = Judgement(
            invariant="unresolved-job",
            verdict="invalid",
            wanted="a pool that goes on",
            got=f"nothing can happen any more: {played.error}",
        )
        return Report(
            scenario=scenario.name, where=layer, seed=seed, verdict="invalid", judgements=(stuck,)
        )
    if played.error is not None:
        raise played.error
    assert played.value is not None
    return msgspec.structs.replace(
        played.value, trace=played.trace, fingerprint={"clock": "virtual"}
    )


def _taken(report: Report, python: str = sys.executable) -> Report:
    """Note where a play in real time was played."""
    return msgspec.structs.replace(report, fingerprint=fingerprint.take(python))


async def play_on_target(
    scenario: Scenario,
    target: Target,
    *,
    seed: int = 0,
    pace: float = REAL_PACE,
    run: str,
    directory: Path,
    null: bool = False,
) -> Report:
    """Play a scenario on any pool, in a host of its own.

    Args:
        scenario: what is done; it decides how many workers the target is asked for.
        target: the pool.
        seed: decides whatever is drawn.
        pace: how many seconds one of the scenario's is.
        run: the name of the run, by which its processes are found.
        directory: a directory of the run's own.
        null: whether no deed is done.

    Raises:
        TargetError: the target could not be found, built, recognised or started.
    """
    drawn = of_seed(scenario, seed, "mock")
    asked = msgspec.structs.replace(target, workers=drawn.workers)
    async with Host(asked, run=run, directory=directory) as host:
        stage = HostStage(host, asked, directory / "scenario", pace=pace, seconds=MOST_SECONDS)
        report = await play(drawn, stage, seed=seed, where=target.name, null=null)
        return _taken(report, target.python)
