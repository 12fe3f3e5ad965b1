"""A worker on the stage: what is sent to it, what is heard of it, and what is wrong with what is told.

For tests of transports, and of what stands on them.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final

from poolproof.errors import PoolproofError
from poolproof.transport import targets
from poolproof.transport.base import (
    Each,
    End,
    Reply,
    Request,
    Transport,
    WireError,
    WorkerEvents,
    WorkerLink,
    WorkerSpec,
)

EPOCH: Final = 7


class Heard(WorkerEvents):
    """What a transport told of one worker, checked as it is told."""

    def __init__(self) -> None:
        self.replies: dict[int, Reply] = {}
        self.order: list[int] = []
        self.problems: list[str] = []
        self.end: End | None = None
        self.calling = False
        self._changed = asyncio.Event()

    def replied(self, link: WorkerLink, replies: Sequence[Reply]) -> None:  # noqa: ARG002
        """Take replies; each id once, none after the end, none from within a call."""
        for reply in replies:
            self._check(reply[0] not in self.replies, f"request {reply[0]} was answered twice")
            self.replies[reply[0]] = reply
            self.order.append(reply[0])
        self._check(self.end is None, "a reply came after the end")
        self._told()

    def ended(self, link: WorkerLink, end: End) -> None:  # noqa: ARG002
        """Take the end; once."""
        self._check(self.end is None, "the end was told twice")
        self.end = end
        self._told()

    def noted(self, link: WorkerLink, what: str, detail: str) -> None:
        """Take it."""

    def _told(self) -> None:
        self._check(not self.calling, "an event came from within a method of the link")
        self._changed.set()

    def _check(self, fact: bool, problem: str) -> None:  # noqa: FBT001 - as assert does
        if not fact:
            self.problems.append(problem)

    async def until(self, fact: Callable[[], bool]) -> None:
        """Wait until something that is told makes `fact` true."""
        while not fact():
            self._changed.clear()
            await self._changed.wait()

    async def answer(self, request_id: int) -> Reply:
        """Wait for one reply."""
        await self.until(lambda: request_id in self.replies or self.end is not None)
        assert request_id in self.replies, f"request {request_id} was not answered: {self.end}"
        return self.replies[request_id]

    async def error(self, request_id: int) -> WireError:
        """Wait for one reply that is an error."""
        reply = await self.answer(request_id)
        assert not reply[1], f"expected an error, got {reply}"
        assert isinstance(reply[2], WireError)
        return reply[2]

    async def ending(self) -> End:
        """Wait for the end."""
        await self.until(lambda: self.end is not None)
        assert self.end is not None
        return self.end


class Player:
    """A worker on the stage: its link, what was heard of it, and ids that grow."""

    def __init__(self, link: WorkerLink, heard: Heard) -> None:
        self.link, self.heard = link, heard
        self._ids = 0

    def send(self, *payloads: Any, deadline_ns: int = 0, epoch: int | None = None) -> list[int]:
        """Send payloads as one batch; return their ids."""
        ids = range(self._ids + 1, self._ids + 1 + len(payloads))
        self._ids += len(payloads)
        whose = self.link.epoch if epoch is None else epoch
        batch: list[Request] = [
            (i, payload, deadline_ns, 1, whose, None)
            for i, payload in zip(ids, payloads, strict=True)
        ]
        self._quietly(lambda: self.link.send(batch))
        return list(ids)

    def send_list(self, *payloads: Any) -> int:
        """Send payloads as one list, to be done one after the other; return the id of it all."""
        self._ids += 1
        asked = Each((self._ids, list(payloads), 0, 1, self.link.epoch, None))
        self._quietly(lambda: self.link.send([asked]))
        return self._ids

    def kill(self) -> None:
        """Kill it; its end must not be told from within."""
        self._quietly(self.link.kill)

    def _quietly(self, call: Callable[[], None]) -> None:
        self.heard.calling = True
        call()
        self.heard.calling = False

    async def ask(self, payload: Any) -> Any:
        """Return the value that one request has."""
        reply = await self.heard.answer(self.send(payload)[0])
        assert reply[1], f"expected a value, got {reply[2]}"
        return reply[2]


class Stage:
    """A transport that is open, and the workers that were started on it."""

    def __init__(self, transport: Transport) -> None:
        self.transport = transport
        self.players: list[Player] = []

    async def worker(
        self, target: Any = targets.Plain, *args: Any, epoch: int = EPOCH, **fields: Any
    ) -> Player:
        """Start a worker."""
        spec = WorkerSpec(target=target, args=args, **fields)
        heard = Heard()
        link = await self.transport.spawn(spec, len(self.players), epoch, heard)
        player = Player(link, heard)
        self.players.append(player)
        return player

    async def no_worker(self, kind: type[PoolproofError], target: Any, **fields: Any) -> Exception:
        """Return the error of a start that must fail."""
        try:
            await self.worker(target, **fields)
        except kind as error:
            return error
        raise AssertionError(f"expected {kind.__name__} from the start of {target}, got a worker")

    def must_be_sound(self) -> None:
        """Raise what was wrong with what was told."""
        problems = [problem for player in self.players for problem in player.heard.problems]
        assert not problems, "; ".join(problems)
