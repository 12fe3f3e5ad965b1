"""The scenarios that have names, with the magnitudes of the plan (docs/scenarios.md says which those are)."""

import random
from collections.abc import Callable
from typing import Final

import msgspec

from poolproof.scenarios.data import Criteria, Load, Scenario, Step

WIRES: Final = ("bridge_mock", "full")
LEAK_BYTES: Final = 160 << 20
MIB: Final = 1 << 20

CASCADE_FAILURE: Final = Scenario(
    name="cascade_failure",
    does="3 of 5 workers die, one a second, after 5 of 60 seconds of load",
    settings={"overflow": 2},
    load=Load(seconds=60),
    steps=(
        Step(do="wait", seconds=5),
        Step(do="kill", count=1, times=3, every=1.0, seconds=10),
    ),
    criteria=Criteria(success=0.95, recovery_seconds=10),
)
THUNDERING_HERD: Final = Scenario(
    name="thundering_herd",
    does="100 requests in one moment, while 10 clients go on",
    steps=(
        Step(do="wait", seconds=2),
        Step(do="submit", count=100, work=0.05, deadline=30),
        Step(do="wait", seconds=5),
    ),
    criteria=Criteria(success=1.0, answered_seconds=30, deaths=0),
)
SLOW_WORKER: Final = Scenario(
    name="slow_worker",
    does="1 of 5 workers takes 20 times as long for 10 seconds",
    steps=(
        Step(do="wait", seconds=2),
        Step(do="slow", count=1, most=20, seconds=10),
        Step(do="heal"),
    ),
    criteria=Criteria(success=0.95, answered_seconds=10, deaths=1),
)
MEMORY_LEAK: Final = Scenario(
    name="memory_leak",
    ours=True,
    does="each of 200 jobs keeps 4 MiB; the pool recycles whoever has more than 64",
    layers=("full",),
    workers=2,
    settings={"max_rss_bytes": 64 * MIB, "usage_interval": 0.02},
    load=Load(clients=0),
    steps=(Step(do="submit", body="leak", count=200, deadline=600), Step(do="wait", seconds=5)),
    criteria=Criteria(success=1.0, rss_bytes=LEAK_BYTES),
)
KILL_60_PERCENT: Final = Scenario(
    name="kill_60_percent",
    does="60 % of the workers die at once",
    steps=(Step(do="wait", seconds=5), Step(do="kill", share=0.6, seconds=5)),
    criteria=Criteria(success=0.95, recovery_seconds=10),
)
VARIABLE_NETWORK_DELAY: Final = Scenario(
    name="variable_network_delay",
    does="100 to 500 ms for whatever is said between the pool and its workers",
    layers=WIRES,
    steps=(
        Step(do="wait", seconds=2),
        Step(do="delay", seconds=0.1, most=0.5),
        Step(do="wait", seconds=10),
        Step(do="heal"),
    ),
    criteria=Criteria(success=1.0, answered_seconds=10, deaths=0),
)
CORRUPT_MESSAGES: Final = Scenario(
    name="corrupt_messages",
    does="5 % of the frames between the pool and its workers have a bit flipped",
    layers=WIRES,
    settings={"most_ahead": 1},
    load=Load(deadline=4, checked=True),
    steps=(
        Step(do="wait", seconds=2),
        Step(do="corrupt", share=0.05),
        Step(do="wait", seconds=15),
        Step(do="heal"),
    ),
    criteria=Criteria(success=0.80, at_most_once=False),
)
EXHAUST_MEMORY_GRADUALLY: Final = Scenario(
    name="exhaust_memory_gradually",
    does="jobs want 40 MiB, and there is less and less, until there is none",
    load=Load(body="allocate"),
    steps=(
        Step(do="wait", seconds=2),
        Step(do="starve", share=0.25, most=80 * MIB, seconds=4),
        Step(do="starve", share=0.5, most=48 * MIB, seconds=4),
        Step(do="starve", share=1.0, most=1 * MIB, seconds=4),
        Step(do="heal"),
    ),
    criteria=Criteria(success=0.55),
)
RESOURCE_EXHAUSTION: Final = Scenario(
    name="resource_exhaustion",
    ours=True,
    does="4 blockers of 10 seconds take 3 workers and 1 of overflow; a fifth call with 1 second is an error",
    workers=3,
    settings={"overflow": 1, "overflow_idle": 0.5},
    load=Load(clients=0),
    steps=(
        Step(do="submit", count=4, work=10, deadline=30),
        Step(do="wait", seconds=2),
        Step(do="submit", count=1, deadline=1, expect="error"),
        Step(do="wait", seconds=10),
    ),
    criteria=Criteria(success=1.0, deaths=1),
)
NETWORK_PARTITION: Final = Scenario(
    name="network_partition",
    does="60 % of the workers are cut off for a second, and then for as long as a job may take",
    layers=WIRES,
    load=Load(deadline=6, seconds=34),
    steps=(
        Step(do="wait", seconds=2),
        Step(do="partition", share=0.6, seconds=1),
        Step(do="heal"),
        Step(do="wait", seconds=3),
        Step(do="partition", share=0.6, seconds=12),
        Step(do="heal"),
        Step(do="wait", seconds=3),
    ),
    criteria=Criteria(success=0.90),
)
BYZANTINE_WORKER: Final = Scenario(
    name="byzantine_worker",
    does="10 % of what workers answer is said in the name of an earlier one",
    layers=WIRES,
    settings={"most_ahead": 1},
    load=Load(deadline=4),
    steps=(
        Step(do="wait", seconds=2),
        Step(do="lie", share=0.1),
        Step(do="wait", seconds=10),
        Step(do="heal"),
    ),
    criteria=Criteria(success=0.75),
)
ROLLING_REPLACEMENT: Final = Scenario(
    name="rolling_replacement",
    does="every worker is replaced, one after the other, and then there are 7, and 5 again",
    steps=(
        Step(do="wait", seconds=2),
        Step(do="replace", seconds=2),
        Step(do="resize", count=7, seconds=2),
        Step(do="resize", count=5, seconds=2),
    ),
    criteria=Criteria(success=1.0),
)
POISON_JOB: Final = Scenario(
    name="poison_job",
    ours=True,
    does="one job ends whichever worker begins it, and is asked for 6 times",
    steps=(
        Step(do="wait", seconds=2),
        Step(do="submit", count=1, times=6, every=1.0, body="die", key="poison", expect="error"),
        Step(do="wait", seconds=2),
    ),
    criteria=Criteria(success=0.95, deaths=3),
)
CRASH_LOOP: Final = Scenario(
    name="crash_loop",
    does="a worker dies every half second, 20 times",
    steps=(
        Step(do="wait", seconds=2),
        Step(do="kill", count=1, times=20, every=0.5, seconds=2),
    ),
    criteria=Criteria(success=0.85),
)
BROKER_RESTART: Final = Scenario(
    name="broker_restart",
    does="every connection is reset, and new ones are refused for 2 seconds",
    layers=WIRES,
    settings={"start_pause": 1.0},
    steps=(Step(do="wait", seconds=3), Step(do="disconnect", most=2, seconds=5)),
    criteria=Criteria(success=0.80, recovery_seconds=15),
)

_DWELL: Final = (1.0, 4.0)
"""The least and the most seconds that a harm of `combined` lasts."""


def combined(seed: int, layer: str) -> Scenario:
    """Return a mixture: which harms, how hard, in which order and for how long is drawn from the seed."""
    rng = random.Random(f"combined/{seed}")  # noqa: S311 - it must repeat
    makers = _ANYWHERE if layer == "mock" else {**_ANYWHERE, **_ON_WIRES}
    drawn = rng.sample(sorted(makers), rng.randint(2, len(makers)))
    steps: list[Step] = [Step(do="wait", seconds=1)]
    for name in drawn:
        steps += [makers[name](rng), Step(do="wait", seconds=rng.uniform(*_DWELL))]
        heals = rng.random() < 0.5  # noqa: PLR2004 - a coin
        # Whom nothing reaches can meet no other harm: a partition never outlasts its step.
        steps += [Step(do="heal")] if heals or name == "partition" else []
    return Scenario(
        name="combined",
        does=f"by seed {seed}: {', '.join(drawn)}",
        workers=rng.randint(2, 6),
        settings={"most_ahead": 1, "start_pause": 1.0},
        load=Load(
            clients=rng.randint(2, 12),
            seconds=sum(step.seconds for step in steps) + 5,
            work=rng.choice((0.0, 0.01, 0.1)),
            deadline=4,
            checked=True,
        ),
        steps=tuple(steps),
        criteria=Criteria(success=0.2, recovery_seconds=15, at_most_once="corrupt" not in drawn),
    )


Maker = Callable[[random.Random], Step]
_ANYWHERE: Final[dict[str, Maker]] = {
    "kill": lambda rng: Step(
        do="kill", share=rng.uniform(0.1, 1), times=rng.randint(1, 3), every=0.5
    ),
    "pause": lambda rng: Step(do="pause", count=1, seconds=rng.uniform(*_DWELL)),
    "slow": lambda rng: Step(do="slow", count=1, most=rng.uniform(2, 20), seconds=1),
    "replace": lambda _rng: Step(do="replace"),
    "herd": lambda rng: Step(do="submit", count=rng.randint(10, 100)),
}
_ON_WIRES: Final[dict[str, Maker]] = {
    "partition": lambda rng: Step(do="partition", share=rng.uniform(0.1, 1), seconds=1),
    "delay": lambda rng: Step(do="delay", seconds=0.01, most=rng.uniform(0.02, 0.3)),
    "corrupt": lambda rng: Step(do="corrupt", share=rng.uniform(0.01, 0.1)),
    "disconnect": lambda rng: Step(do="disconnect", most=rng.uniform(0.5, 2)),
}

SCENARIOS: Final[dict[str, Scenario]] = {
    one.name: one
    for one in (
        CASCADE_FAILURE,
        THUNDERING_HERD,
        SLOW_WORKER,
        MEMORY_LEAK,
        KILL_60_PERCENT,
        VARIABLE_NETWORK_DELAY,
        CORRUPT_MESSAGES,
        EXHAUST_MEMORY_GRADUALLY,
        RESOURCE_EXHAUSTION,
        NETWORK_PARTITION,
        BYZANTINE_WORKER,
        ROLLING_REPLACEMENT,
        POISON_JOB,
        CRASH_LOOP,
        BROKER_RESTART,
        combined(0, "bridge_mock"),
    )
}
"""By name; `combined` is drawn anew for each seed."""


def of_seed(scenario: Scenario, seed: int, layer: str) -> Scenario:
    """Return the scenario as this seed has it: `combined` is another one for each."""
    if scenario.name != "combined":
        return scenario
    drawn = combined(seed, layer)
    load = msgspec.structs.replace(drawn.load, rate=scenario.load.rate)
    return msgspec.structs.replace(drawn, load=load)
