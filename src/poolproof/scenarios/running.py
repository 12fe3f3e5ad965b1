"""A scenario on our own stack: in virtual time where no process is needed, at a tenth of its length where one is."""

import asyncio
from typing import Any, Final

import msgspec

from poolproof import simulation
from poolproof.errors import UsageError
from poolproof.scenarios.data import Scenario
from poolproof.scenarios.judging import Judgement
from poolproof.scenarios.library import of_seed
from poolproof.scenarios.playing import Report, play
from poolproof.scenarios.stack_stage import StackStage
from poolproof.simulation import SimulationStalledError
from poolproof.stack.environment import known_layer

REAL_PACE: Final = 0.1
"""What one second of a scenario is on real processes, unless something else is asked for."""
STEP_LIMIT: Final = 20_000_000


def play_on_stack(
    scenario: Scenario,
    layer: str,
    *,
    seed: int = 0,
    pace: float | None = None,
    null: bool = False,
    settings: dict[str, Any] | None = None,
) -> Report:
    """Play a scenario on our own stack.

    Args:
        scenario: what is done.
        layer: mock and bridge_mock are played in virtual time, full in real time.
        seed: decides whatever is drawn, and in virtual time the order of all steps.
        pace: how many real seconds one of the scenario's is, on full.
        null: whether no deed is done.
        settings: of the pool, over those of the scenario.

    Raises:
        UsageError: there is no such layer, or the scenario cannot be judged.
    """
    known = known_layer(layer)
    drawn = of_seed(scenario, seed, layer)
    if known not in drawn.layers:
        return _elsewhere(drawn, layer, seed)
    chosen = {**drawn.settings, **(settings or {})}
    if known == "full":
        stage = _stage(drawn, layer, seed, REAL_PACE if pace is None else pace, chosen)
        return asyncio.run(play(drawn, stage, seed=seed, where=layer, null=null))
    if pace is not None:
        raise UsageError(
            f"expected a pace for the layer full, got one for {layer}; it costs no time"
        )
    return _simulated(drawn, layer, seed, null=null, settings=chosen)


def _stage(
    scenario: Scenario, layer: str, seed: int, pace: float, settings: dict[str, Any]
) -> StackStage:
    return StackStage(known_layer(layer), scenario.workers, pace=pace, seed=seed, **settings)


def _elsewhere(scenario: Scenario, layer: str, seed: int) -> Report:
    wanted = f"a layer among {', '.join(scenario.layers)}"
    judgement = Judgement(invariant="any", verdict="not applicable", wanted=wanted, got=layer)
    return Report(
        scenario=scenario.name,
        where=layer,
        seed=seed,
        verdict="not applicable",
        judgements=(judgement,),
    )


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
    return msgspec.structs.replace(played.value, trace=played.trace)
