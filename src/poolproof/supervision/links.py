"""Links, which go both ways, and monitors, which go one way and tell once."""

import asyncio
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

from poolproof.supervision.process import Process
from poolproof.supervision.reasons import NOPROC, ExitReason


@dataclass(frozen=True, slots=True)
class Down:
    """What a monitor says: this process has ended, and why; `noproc` if it had before."""

    monitor: "Monitor"
    process: Process
    reason: ExitReason


@dataclass(frozen=True, slots=True)
class Exit:
    """A trapped exit signal: which process it came from, and its reason."""

    process: Process | None
    reason: ExitReason


def link(one: Process, other: Process) -> None:
    """Link two processes: the abnormal end of either becomes an exit signal to the other.

    A link to a process that has ended sends `noproc` back, as OTP does to one that traps exits.
    """
    if one is other:
        return
    if not other.alive:
        one.exit(NOPROC, other)
    elif not one.alive:
        other.exit(NOPROC, one)
    else:
        one.add_link(other)
        other.add_link(one)


def unlink(one: Process, other: Process) -> None:
    """Undo a link.

    Also that between a child and its supervisor, whom the child's end then passes by.
    """
    one.forget_link(other)
    other.forget_link(one)
    _disown(one, other)
    _disown(other, one)


def _disown(child: Process, owner: object) -> None:
    if child.owner is owner:
        child.owner = child.ticket = None


class Monitor:
    """A one-way watch on `target`; await it for its `Down`.

    Example:
        >>> down = await monitor(process)
        >>> down.reason
    """

    __slots__ = ("_future", "target")

    def __init__(self, target: Process) -> None:
        self.target = target
        self._future: asyncio.Future[Down] = asyncio.get_running_loop().create_future()
        target.watch(self._down)

    def _down(self, process: Process, reason: ExitReason) -> None:
        if not self._future.done():
            self._future.set_result(Down(self, process, reason))

    def __await__(self) -> Generator[Any, None, Down]:
        return asyncio.shield(self._future).__await__()

    @property
    def down(self) -> Down | None:
        """What the monitor has said, or None."""
        return (
            self._future.result() if self._future.done() and not self._future.cancelled() else None
        )

    def cancel(self) -> None:
        """Stop watching; whoever awaits the monitor is cancelled."""
        self.target.unwatch(self._down)
        self._future.cancel()


def monitor(target: Process) -> Monitor:
    """Watch `target`; a process that has ended before gives `noproc` at once."""
    return Monitor(target)
