"""Simulation: an asyncio loop in virtual time, whose order of task steps a seed decides.

Nothing waits, the clock jumps to the next timer, in whole nanoseconds. See docs/simulation.md.
"""

import asyncio
import uuid
from collections.abc import Coroutine
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

from poolproof.simulation.chance import buggify
from poolproof.simulation.claims import ClaimError, always, reachable, sometimes
from poolproof.simulation.loop import SimulationLoop
from poolproof.simulation.network import Link, Network
from poolproof.simulation.refusal import RealWorldError
from poolproof.simulation.schedule import POLICIES, Deviation, Schedule, from_json, to_json
from poolproof.simulation.stall import (
    DeadlockError,
    LivelockError,
    Pending,
    SimulationStalledError,
    TimeLimitError,
)

__all__ = [
    "POLICIES",
    "ClaimError",
    "DeadlockError",
    "Deviation",
    "Link",
    "LivelockError",
    "Network",
    "Pending",
    "Played",
    "RealWorldError",
    "Schedule",
    "SimulationLoop",
    "SimulationStalledError",
    "TimeLimitError",
    "advance",
    "always",
    "buggify",
    "current",
    "from_json",
    "play",
    "reachable",
    "run",
    "sometimes",
    "to_json",
    "token",
]

T = TypeVar("T")


def current() -> SimulationLoop:
    """Return the running simulation.

    Raises:
        RuntimeError: the running loop is a real one, or none runs.
    """
    loop = asyncio.get_running_loop()
    if not isinstance(loop, SimulationLoop):
        raise RuntimeError(  # noqa: TRY004 - as get_running_loop
            "expected a loop in virtual time, got a real one; see simulation.run"
        )
    return loop


def token() -> str:
    """Return 32 hexadecimal digits that nobody else has; under simulation, by the seed.

    For what must have a name of its own in the real world and yet be the same in each run of a seed.
    """
    loop = asyncio._get_running_loop()  # noqa: SLF001 - as in asyncio.get_running_loop, without its error
    return loop.new_token() if isinstance(loop, SimulationLoop) else uuid.uuid4().hex


async def advance(seconds: float) -> None:
    """Let virtual time pass; it takes no real time, and so is refused where it would.

    Raises:
        RuntimeError: the running loop is not in virtual time.
    """
    current()
    await asyncio.sleep(seconds)


def run(
    main: Coroutine[Any, Any, T],
    *,
    start_ns: int = 0,
    schedule: Schedule | None = None,
    strict: bool = False,
) -> T:
    """Run `main` to its end in virtual time, starting at `start_ns` nanoseconds.

    Raises:
        SimulationStalledError: it would never end: everything waits, or time does not move.
        RealWorldError: it asks for a thread, a process, a signal, a real socket or file; or it is
            `strict` and somebody has read real time or unseeded randomness.
    """
    return _run(main, SimulationLoop(start_ns=start_ns, schedule=schedule, strict=strict))


@dataclass(frozen=True, slots=True, kw_only=True)
class Played(Generic[T]):
    """What became of one run.

    Attributes:
        value: what `main` returned; None if it raised.
        error: what it raised; None if it returned.
        schedule: its order of steps.
        deviations: where that order left first-in-first-out: (step, pick).
        trace: the hash of all steps and moves of time.
        steps: how many task steps there were.
        now_ns: the virtual time at the end.
    """

    value: T | None
    error: Exception | None
    schedule: Schedule
    deviations: tuple[Deviation, ...]
    trace: str
    steps: int
    now_ns: int

    @property
    def lifted(self) -> Schedule:
        """The same order as sparse deviations, which can be edited and shrunk; a seed cannot."""
        return replace(self.schedule, policy="fifo", deviations=self.deviations)


def play(main: Coroutine[Any, Any, T], schedule: Schedule | None = None) -> Played[T]:
    """Run `main` to its end or its error, and return what became of it.

    Example:
        >>> async def main() -> str:
        ...     return await asyncio.sleep(1, "done")
        >>> played = play(main(), Schedule(policy="random", seed=7))
        >>> played.value, played.error, played.now_ns
        ('done', None, 1000000000)
        >>> play(main(), played.lifted).trace == played.trace
        True
    """
    loop = SimulationLoop(schedule=schedule)
    value: T | None = None
    error: Exception | None = None
    try:
        value = _run(main, loop)
    except Exception as raised:  # noqa: BLE001 - handed on as data
        error = raised
    return Played(
        value=value,
        error=error,
        schedule=loop.schedule,
        deviations=loop.deviations,
        trace=loop.trace.digest(),
        steps=loop.trace.steps,
        now_ns=loop.now_ns,
    )


def _run(main: Coroutine[Any, Any, T], loop: SimulationLoop) -> T:
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        return runner.run(main)
