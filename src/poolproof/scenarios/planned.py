"""The failures of the plan under their planned names, each a scenario with the plan's magnitudes, on any layer.

Each returns a `Report`; what did not hold is in its `broken`, and what was really done in its `receipts`.
"""

from collections.abc import Callable
from typing import Any, Final

from poolproof.errors import UsageError
from poolproof.scenarios.data import Criteria, Load, Scenario, Step
from poolproof.scenarios.library import (
    KILL_60_PERCENT,
    MEMORY_LEAK,
    RESOURCE_EXHAUSTION,
    SLOW_WORKER,
)
from poolproof.scenarios.playing import Report
from poolproof.scenarios.running import play_on_stack

SETTLE: Final = Step(do="wait", seconds=2)


def inject_failure(kind: str, layer: str = "mock", **options: Any) -> Report:
    """Inject a failure of the plan: port_crash, timeout, network_partition or resource_exhaustion.

    Raises:
        UsageError: there is no such kind.
    """
    return _named(_FAILURES, kind)(layer, **options)


def simulate_pool_failure(kind: str, layer: str = "mock", **options: Any) -> Report:
    """Play a failure of a whole pool: worker_cascade_failure, thundering_herd, slow_worker or memory_leak.

    Raises:
        UsageError: there is no such kind.
    """
    return _named(_POOL_FAILURES, kind)(layer, **options)


def simulate_port_crash(layer: str = "mock", *, seed: int = 0) -> Report:
    """Kill one worker under load; the others go on, and it is replaced."""
    step = Step(do="kill", count=1, seconds=2)
    return _played("port_crash", layer, seed, (SETTLE, step), load=Load(seconds=10))


def simulate_timeout(layer: str = "mock", *, duration: float = 5.0, seed: int = 0) -> Report:
    """Block one worker for `duration` seconds (the plan's 5), then let it go on."""
    steps = (SETTLE, Step(do="pause", count=1, seconds=duration), Step(do="heal"), SETTLE)
    return _played("timeout", layer, seed, steps, load=Load(seconds=duration + 10))


def simulate_network_partition(
    layer: str = "bridge_mock", *, duration: float = 1.0, seed: int = 0
) -> Report:
    """Cut 60 % of the workers off for `duration` seconds (the plan's 1)."""
    cut = Step(do="partition", share=0.6, seconds=duration)
    return _played("network_partition", layer, seed, (SETTLE, cut, Step(do="heal"), SETTLE))


def simulate_resource_exhaustion(layer: str = "mock", *, seed: int = 0) -> Report:
    """Take all 3 workers and the 1 of overflow for 10 seconds; a fifth call with 1 second must be an error."""
    return play_on_stack(RESOURCE_EXHAUSTION, layer, seed=seed)


def simulate_cascade_failure(
    layer: str = "mock", *, worker_count: int = 2, delay: float = 0.1, seed: int = 0
) -> Report:
    """Kill `worker_count` workers (the plan's 2), `delay` seconds apart (the plan's 0.1)."""
    kill = Step(do="kill", count=1, times=worker_count, every=delay, seconds=5)
    return _played("worker_cascade_failure", layer, seed, (SETTLE, kill), load=Load(seconds=15))


def simulate_thundering_herd(
    layer: str = "mock", *, requests: int = 100, seconds: float = 30.0, seed: int = 0
) -> Report:
    """Ask for `requests` jobs (the plan's 100) at once; each must be answered within `seconds` (the plan's 30)."""
    herd = Step(do="submit", count=requests, work=0.05, deadline=seconds)
    criteria = Criteria(success=1.0, answered_seconds=seconds)
    return _played(
        "thundering_herd", layer, seed, (SETTLE, herd), load=Load(seconds=10), criteria=criteria
    )


def simulate_slow_worker(layer: str = "mock", *, seed: int = 0) -> Report:
    """Let 1 of 5 workers take 20 times as long for 10 seconds."""
    return play_on_stack(SLOW_WORKER, layer, seed=seed)


def simulate_memory_leak(layer: str = "full", *, seed: int = 0) -> Report:
    """Let each of 200 jobs keep 4 MiB, where workers above 64 MiB are recycled."""
    return play_on_stack(MEMORY_LEAK, layer, seed=seed)


def _played(
    name: str,
    layer: str,
    seed: int,
    steps: tuple[Step, ...],
    *,
    load: Load = Load(),  # noqa: B008 - it is frozen
    criteria: Criteria = KILL_60_PERCENT.criteria,
) -> Report:
    scenario = Scenario(name=name, steps=steps, load=load, criteria=criteria)
    return play_on_stack(scenario, layer, seed=seed)


_FAILURES: Final[dict[str, Callable[..., Report]]] = {
    "port_crash": simulate_port_crash,
    "timeout": simulate_timeout,
    "network_partition": simulate_network_partition,
    "resource_exhaustion": simulate_resource_exhaustion,
}
_POOL_FAILURES: Final[dict[str, Callable[..., Report]]] = {
    "worker_cascade_failure": simulate_cascade_failure,
    "thundering_herd": simulate_thundering_herd,
    "slow_worker": simulate_slow_worker,
    "memory_leak": simulate_memory_leak,
}


def _named(known: dict[str, Callable[..., Report]], kind: str) -> Callable[..., Report]:
    if kind not in known:
        raise UsageError(f"expected a failure among {', '.join(known)}, got {kind!r}")
    return known[kind]
