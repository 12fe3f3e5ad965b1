"""A run from its beginning to its end: what came of it, where it was, and whether it repeats."""

import asyncio
import uuid
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from typing import Any, Final, Generic, TypeVar

from poolproof.errors import PoolproofError
from poolproof.simulation.loop import STEP_LIMIT, TIME_LIMIT_S, SimulationLoop
from poolproof.simulation.schedule import Deviation, Schedule

_NS: Final = 1_000_000_000
_T = TypeVar("_T")


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
    main: Coroutine[Any, Any, _T],
    *,
    start_ns: int = 0,
    schedule: Schedule | None = None,
    strict: bool = False,
    time_limit: float = TIME_LIMIT_S,
    step_limit: int = STEP_LIMIT,
) -> _T:
    """Run `main` to its end in virtual time, starting at `start_ns` nanoseconds; see `SimulationLoop`.

    Raises:
        SimulationStalledError: it would never end: everything waits, or time does not move.
        RealWorldError: it asks for a thread, a process, a signal, a real socket or file; or it is
            `strict` and somebody has read real time or unseeded randomness.
    """
    loop = SimulationLoop(
        start_ns=start_ns,
        schedule=schedule,
        strict=strict,
        time_limit=time_limit,
        step_limit=step_limit,
    )
    return _run(main, loop)


@dataclass(frozen=True, slots=True, kw_only=True)
class Played(Generic[_T]):
    """What became of one run.

    Attributes:
        value: what `main` returned; None if it raised.
        error: what it raised; None if it returned.
        schedule: its order of steps.
        deviations: where that order left first-in-first-out: (step, pick).
        trace: the hash of all steps and moves of time.
        steps: how many task steps there were.
        now_ns: the virtual time at the end.
        entries: the trace itself, if it was to be kept: a task's number for each of its steps, minus
            the virtual nanoseconds for a move of time.
    """

    value: _T | None
    error: Exception | None
    schedule: Schedule
    deviations: tuple[Deviation, ...]
    trace: str
    steps: int
    now_ns: int
    entries: tuple[int, ...] = ()

    @property
    def lifted(self) -> Schedule:
        """The same order as sparse deviations, which can be edited and shrunk; a seed cannot."""
        return replace(self.schedule, policy="fifo", deviations=self.deviations)


def play(
    main: Coroutine[Any, Any, _T], schedule: Schedule | None = None, *, keep: bool = False
) -> Played[_T]:
    """Run `main` to its end or its error, and return what became of it.

    With `keep`, all entries of the trace are kept, for `repeat`.

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
    loop.trace.keeps = keep
    value: _T | None = None
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
        entries=tuple(loop.trace.kept),
    )


def _run(main: Coroutine[Any, Any, _T], loop: SimulationLoop) -> _T:
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        return runner.run(main)


class NotRepeatableError(PoolproofError):
    """The same schedule gave two runs: something decides that no seed does. No verdict holds on it."""


def repeat(
    main: Callable[[], Coroutine[Any, Any, _T]],
    schedule: Schedule | None = None,
    *,
    times: int = 10,
) -> Played[_T]:
    """Play `main()` so many times by one schedule; return what became of it, which is always the same.

    Raises:
        NotRepeatableError: two traces differ; says where they part.
    """
    first = play(main(), schedule, keep=True)
    for number in range(2, times + 1):
        again = play(main(), schedule, keep=True)
        if again.trace != first.trace:
            raise NotRepeatableError(
                f"expected one run of {schedule or Schedule()}, got another at repetition {number}: "
                f"{_parting(first.entries, again.entries)}; look for sets of objects, identities, or "
                "state that the first run left behind; strict=True finds clocks and unseeded chance"
            )
    return first


def _parting(one: tuple[int, ...], other: tuple[int, ...]) -> str:
    """Return where two traces part, in words."""
    same = next(
        (at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b),
        min(len(one), len(other)),
    )
    moves = [-entry for entry in one[:same] if entry < 0]
    step = same - len(moves)
    here = f"step {step} at {(moves or [0])[-1] / _NS:.9f} s"
    return f"{here} was {_entry(one, same)} and then {_entry(other, same)}"


def _entry(entries: tuple[int, ...], at: int) -> str:
    if at >= len(entries):
        return "the end"
    entry = entries[at]
    return f"Task-{entry}'s" if entry > 0 else f"a move of time to {-entry / _NS:.9f} s"
