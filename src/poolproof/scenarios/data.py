"""A scenario as data: what must hold before, the load, what is done meanwhile, and what must hold afterwards.

    Scenario(
        name="two-die",
        does="two workers die, a second apart, under load",
        load=Load(clients=10, seconds=20),
        steps=(Step(do="wait", seconds=5), Step(do="kill", times=2, every=1.0), Step(do="wait", seconds=5)),
        criteria=Criteria(success=0.95, recovery_seconds=10),
    )

The same as a TOML file: `name`, `does`, `[load]`, `[[steps]]`, `[criteria]`.
"""

import tomllib
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from poolproof.errors import UsageError
from poolproof.transport.base import Layer

LAYERS: Final[tuple[Layer, ...]] = ("mock", "bridge_mock", "full")

MOST_RATE: Final = 10_000

Deed = Literal[
    "wait",
    "kill",
    "pause",
    "slow",
    "submit",
    "starve",
    "partition",
    "delay",
    "corrupt",
    "lie",
    "disconnect",
    "replace",
    "resize",
    "heal",
]
"""What a step does; docs/scenarios.md says what each takes, and where it can be done."""

Body = Literal["echo", "fail", "die", "leak", "allocate"]
"""What a job does: answer; raise; end its worker; keep memory; want memory."""

LASTING: Final[frozenset[Deed]] = frozenset(
    {"pause", "slow", "starve", "partition", "delay", "corrupt", "lie"}
)
"""The deeds that last until they are undone."""


class Step(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One thing that is done; a field that its deed does not take is ignored.

    Attributes:
        do: what.
        count: of workers, or jobs; 0 where `share` says it.
        share: of the workers, rounded up; of frames that are spoiled; of jobs that want for memory.
        times: how often.
        every: seconds between two times.
        seconds: how long the next step waits; for `delay`, the least and `most` the most that it takes.
        most: see `seconds`; for `slow`, by how much; for `starve`, how many bytes more a worker may have.
        body: what submitted jobs do.
        work: how many seconds they take.
        deadline: theirs, in seconds; that of the load if 0.
        key: what they are quarantined by.
        expect: `error` where each of them must end in an error.
    """

    do: Deed
    count: int = 0
    share: float = 0.0
    times: int = 1
    every: float = 0.0
    seconds: float = 0.0
    most: float = 0.0
    body: Body = "echo"
    work: float = 0.0
    deadline: float = 0.0
    key: str = ""
    expect: Literal["", "error"] = ""

    @property
    def deed(self) -> str:
        """What its receipt stands under: `kill`, `submit die`."""
        return f"submit {self.body}" if self.do == "submit" else self.do


class Load(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What goes on meanwhile: clients that each ask for one job after the other.

    As it is, ten clients keep 4 of 5 workers busy: what is killed is at work.

    Attributes:
        clients: how many; 0 is no load but what steps submit.
        seconds: for how long.
        work: how many seconds a job takes.
        think: how many seconds a client waits between an answer and its next job.
        deadline: of each job, in seconds.
        body: what the jobs do.
        checked: whether callers find out, by a checksum of their own, what was corrupted on its way.
        rate: how many jobs a second are asked for besides, when they are due, whatever is answered; they take no time.
    """

    clients: int = 10
    seconds: float = 20.0
    rate: float = 0.0
    work: float = 0.2
    think: float = 0.3
    deadline: float = 10.0
    body: Body = "echo"
    checked: bool = False


class Criteria(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What must hold; data integrity (nothing lost, wrong, doubled or invented) must, in any case.

    Attributes:
        success: the least share of the load's jobs that are answered rightly, at their first and only asking.
        recovery_seconds: within how many seconds of the heal the pool is steady again, and for how long at
            most workers are missing.
        answered_seconds: the longest that a caller may have waited for whatever it got.
        deaths: how many workers may have died at most; None is any number.
        rss_bytes: the most memory that a worker may have had; None is any.
        at_most_once: whether no job may be begun twice, or begun and denied: it cannot be asked where a wire without
            checksums corrupts.
    """

    success: float = 0.95
    recovery_seconds: float = 10.0
    answered_seconds: float | None = None
    deaths: int | None = None
    rss_bytes: int | None = None
    at_most_once: bool = True


class Scenario(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A scenario; see the module.

    Attributes:
        name: as on the command line.
        does: what happens, for people, as a clause.
        layers: on which layers of our stack it means anything.
        workers: how many the pool has.
        ours: whether it asks for what only our own pool promises: deadlines, overflow, recycling, quarantine.
        settings: of the pool, where they are to be others than usual; ours only.
        steady: how many jobs must be answered rightly in a row, with all workers up, before and after.
    """

    name: str
    does: str = ""
    layers: tuple[Layer, ...] = LAYERS
    ours: bool = False
    workers: int = 5
    settings: dict[str, Any] = {}
    steady: int = 20
    load: Load = Load()
    steps: tuple[Step, ...] = ()
    criteria: Criteria = Criteria()


def load_file(path: Path) -> Scenario:
    """Return the scenario in a TOML file.

    Raises:
        UsageError: it cannot be read, or is none; says what was expected.
    """
    try:
        found = msgspec.convert(tomllib.loads(path.read_text(encoding="utf-8")), Scenario)
    except (OSError, ValueError, msgspec.ValidationError) as error:
        raise UsageError(
            f"expected a scenario in {path}, got: {error}; docs/scenarios.md shows one"
        ) from error
    check(found)
    return found


def check(scenario: Scenario) -> None:
    """Refuse what can never be judged.

    Raises:
        UsageError: all that is wrong.
    """
    wrong = list(_wrong(scenario))
    if wrong:
        raise UsageError(f"scenario {scenario.name}: {'; '.join(wrong)}")


def _wrong(scenario: Scenario) -> list[str]:
    load = scenario.load
    jobs = load.clients or load.rate or any(step.do == "submit" for step in scenario.steps)
    found = [] if jobs else ["expected some load, got no client and no step that submits"]
    if scenario.workers < 1 or scenario.steady < 1:
        found.append(
            f"expected workers and steady from 1 on, got {scenario.workers} and {scenario.steady}"
        )
    if load.clients < 0 or not 0 <= load.rate <= MOST_RATE:
        found.append(
            f"expected clients from 0 on, and a rate from 0 to {MOST_RATE:,}, got {load.clients} and {load.rate:g}"
        )
    if not 0 < scenario.criteria.success <= 1:
        found.append(f"expected success from 0 to 1, got {scenario.criteria.success:g}")
    for step in scenario.steps:
        numbers = (step.count, step.times, step.every, step.seconds, step.most, step.work)
        if min(numbers) < 0 or not 0 <= step.share <= 1:
            found.append(f"expected numbers from 0 and a share to 1 in `{step.do}`, got {step}")
    return found
