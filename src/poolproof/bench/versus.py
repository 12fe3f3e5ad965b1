"""Two targets against each other, by turns: each alive while the other is measured, in an order that changes."""

import contextlib
import os
from typing import Final

import msgspec

from poolproof.bench.measuring import Options, Say
from poolproof.chaos.rig import Rig
from poolproof.comparison import Comparison, Deciding
from poolproof.errors import TargetError
from poolproof.host import Host
from poolproof.load import running
from poolproof.load.mix import Operation
from poolproof.load.result import LoadPlan
from poolproof.plan import Target

SLICE_SECONDS: Final = 0.1
IN_FLIGHT: Final = 8


class Versus(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it: the time an operation takes in `new` over that in `old`, with so many in flight.

    Attributes:
        old, new: the targets.
        operation: what each operation was.
        comparison: the verdict.
        pairs: seconds an operation, (old, new).
    """

    old: str
    new: str
    operation: str
    comparison: Comparison
    pairs: tuple[tuple[float, float], ...]


async def versus(
    options: Options, other: Target, operations: tuple[Operation, ...], say: Say
) -> Versus:
    """Compare the options' target, the new, with another, the old.

    Raises:
        TargetError: one of them could not be started, or does not do what is asked.
    """
    async with contextlib.AsyncExitStack() as stack:
        old = await _started(stack, other, options, "old")
        new = await _started(stack, options.target, options, "new")
        deciding = Deciding()
        while deciding.wanted:
            pairs = [await _pair(old, new, operations, n) for n in range(deciding.wanted)]
            deciding.take(pairs)
            found = deciding.found
            say(f"{len(deciding.pairs)} pairs: {found.verdict}, {found.ratio:.3f}")
        for rig in (old, new):
            await running.stop(rig)
    return Versus(
        old=other.name,
        new=options.target.name,
        operation=", ".join(one.name for one in operations) or "echo",
        comparison=deciding.found,
        pairs=tuple(deciding.pairs),
    )


async def _started(
    stack: contextlib.AsyncExitStack, target: Target, options: Options, name: str
) -> Rig:
    directory = options.directory / name
    os.mkdir(directory)  # noqa: PTH102 - returns at once
    host = await stack.enter_async_context(Host(target, run=options.run, directory=directory))
    return await stack.enter_async_context(running.opened(host, target, directory / "trial"))


async def _pair(
    old: Rig, new: Rig, operations: tuple[Operation, ...], number: int
) -> tuple[float, float]:
    """Measure both, the one first that was last the time before."""
    if number % 2:
        second = await _cost(new, operations)
        return await _cost(old, operations), second
    first = await _cost(old, operations)
    return first, await _cost(new, operations)


async def _cost(rig: Rig, operations: tuple[Operation, ...]) -> float:
    """Return the seconds that an operation takes, in a short closed loop."""
    plan = LoadPlan(
        target=rig.plan.target,
        seconds=SLICE_SECONDS,
        clients=IN_FLIGHT,
        mix=operations,
        drain=10.0,
    )
    result = await running.Load(rig, plan, running.show_nobody).run()
    if not result.answered or result.failed:
        raise TargetError(
            f"expected {rig.plan.target.name} to answer, got {', '.join(result.errors) or 'nothing'}"
        )
    last = max(SLICE_SECONDS, result.seconds)
    return last / result.answered
