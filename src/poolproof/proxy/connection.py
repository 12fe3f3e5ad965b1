"""One connection through the proxy: a client's side, a server's side, and a pipe each way."""

import asyncio
import functools
import random
from collections.abc import Callable
from typing import Any, Final, Literal, TypeAlias

from poolproof.proxy.framing import Framing
from poolproof.proxy.pipe import Pipe
from poolproof.proxy.receipts import Done
from poolproof.proxy.side import Side

Direction = Literal["requests", "replies", "both"]
"""What the client says, what the server says, or both."""
WAYS: Final[tuple[str, ...]] = ("requests", "replies")

Task: TypeAlias = "asyncio.Task[Any]"
Told = Callable[[int, str, Done], None]
"""Told (which connection, which direction, what was done)."""


class Connection:
    """Two sides and what is between them; `run` ends with it.

    Args:
        number: which of the proxy's connections.
        client, server: its sides.
        framing: how frames are told apart.
        seed: of the proxy; each direction of each connection draws from a stream of its own.
        tell: told what is done to it.
    """

    def __init__(
        self, number: int, client: Side, server: Side, *, framing: Framing, seed: int, tell: Told
    ) -> None:
        self.number = number
        self.client, self.server = client, server
        self.forgotten = False
        self._tell = tell
        self._reset = asyncio.Event()
        ends = {"requests": (client, server), "replies": (server, client)}
        self.pipes = {
            way: Pipe(
                *ends[way],
                cutter=framing(),
                rng=random.Random(f"{seed}/{number}/{way}"),  # noqa: S311 - it must repeat
                tell=functools.partial(tell, number, way),
            )
            for way in WAYS
        }
        self.pipes["requests"].cut_off = lambda: self._cut("requests", client)
        self.pipes["replies"].cut_off = lambda: self._cut("replies", server)

    def toward(self, direction: Direction) -> list[Pipe]:
        """Return the pipes of a direction."""
        return [pipe for way, pipe in self.pipes.items() if direction in (way, "both")]

    async def run(self) -> None:
        """Carry both ways until both have ended, or one end breaks: then the other is told so."""
        carrying: list[Task] = [asyncio.create_task(one.run()) for one in self.pipes.values()]
        over: Task = asyncio.create_task(self._reset.wait())
        whole = False
        try:
            await _any_broken(carrying, over)
            whole = not over.done() and not any(map(_broken, carrying))
        finally:
            for task in (*carrying, over):
                task.cancel()
            self._leave(whole=whole or any(pipe.limited for pipe in self.pipes.values()))
            await asyncio.gather(*carrying, over, return_exceptions=True)

    def _leave(self, *, whole: bool) -> None:
        for side in (self.client, self.server):
            if whole:
                side.close()
            else:
                side.reset()

    def reset(self) -> None:
        """Break both sides off."""
        self._tell(self.number, "both", Done("reset"))
        self._reset.set()

    def _cut(self, way: str, side: Side) -> None:
        """Break one side off; what it has said goes on, and the other is told later, as after a real loss."""
        self._tell(self.number, way, Done("cut off"))
        side.reset()

    def forget(self, whom: Literal["client", "server"]) -> None:
        """Be half-open: one side is gone, and the other is not told."""
        gone = self.client if whom == "client" else self.server
        self.forgotten = True
        self._tell(self.number, "both", Done("half-open", detail=f"the {whom} is gone"))
        for pipe in self.pipes.values():
            pipe.swallowing = True
            pipe.hold()
        gone.reset()

    def end(self, direction: Direction) -> None:
        """Tell the receiver of a direction that nothing more comes, whatever its sender says."""
        for pipe in self.toward(direction):
            pipe.end()

    @property
    def torn(self) -> bool:
        """Whether it can never be whole again."""
        return self.forgotten or any(pipe.torn for pipe in self.pipes.values())


async def _any_broken(carrying: list[Task], over: Task) -> None:
    """Wait until all have carried to their end, one of them is broken, or it is over."""
    waiting = {*carrying}
    while waiting and not over.done() and not any(map(_broken, carrying)):
        _, left = await asyncio.wait({*waiting, over}, return_when=asyncio.FIRST_COMPLETED)
        waiting &= left


def _broken(task: Task) -> bool:
    return task.done() and not task.cancelled() and task.exception() is not None
