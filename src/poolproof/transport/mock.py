"""The mock layer: actors in this process, and not a byte between them and the pool.

What passes is nevertheless only what a wire would carry, and as it would arrive: a tuple becomes a
list, and nothing is shared.
"""

import asyncio
from collections.abc import Sequence
from typing import Any, ClassVar, Final

from poolproof.errors import NotCarriedError
from poolproof.transport import actor as acting
from poolproof.transport import protocol
from poolproof.transport.actor import Actor
from poolproof.transport.base import (
    Each,
    Layer,
    Reply,
    Request,
    Usage,
    WorkerEvents,
    WorkerSpec,
)
from poolproof.transport.link import Link, farewell
from poolproof.transport.mailbox import Mailbox
from poolproof.transport.starting import start

CLOSE_SECONDS: Final = 0.25


class MockTransport:
    """Workers that live on the running loop; one per pool."""

    layer: ClassVar[Layer] = "mock"

    def __init__(self) -> None:
        self._links: set[MockLink] = set()

    async def open(self) -> None:
        """Do nothing: there is nothing to make ready."""

    async def spawn(
        self, spec: WorkerSpec, number: int, epoch: int, events: WorkerEvents
    ) -> "MockLink":
        """Make an actor here; see `Transport.spawn`."""
        made = await start(spec)
        link = MockLink(made, spec, number, epoch)
        self._links.add(link)
        link.when_ended(self._links.discard)
        link.adopt(events)
        return link

    async def close(self) -> None:
        """End every worker, by force after a quarter of a second."""
        await asyncio.gather(*(link.terminate(CLOSE_SECONDS) for link in list(self._links)))


class MockLink(Link):
    """An actor on this loop, from outside."""

    def __init__(self, made: Actor, spec: WorkerSpec, number: int, epoch: int) -> None:
        super().__init__(number, epoch)
        self._actor, self._most_bytes = made, spec.most_payload_bytes
        self._mark = [0, 0]
        self._lists: set[int] = set()
        self._box = Mailbox(made, emit=self._emit, crashed=self._crashed, mark=self._mark)
        self._box.epoch = epoch

    def started(self) -> int:
        """See `WorkerLink.started`."""
        return self._mark[acting.BEGUN]

    def send(self, requests: Sequence[Request]) -> None:
        """See `WorkerLink.send`."""
        if self._end.done():
            return
        arrived: list[Request] = []
        for request in requests:
            try:
                payload = protocol.carried(request[1], self._most_bytes)
            except NotCarriedError as error:
                self._refuse(acting.not_carried(request[0], error, happened=False))
                continue
            self._shares[request[0]] = 0
            if isinstance(request, Each):
                self._lists.add(request[0])
            same = payload is request[1]
            arrived.append(request if same else _with(request, payload))
        if arrived:
            self._box.put(arrived)

    def _emit(self, replies: list[Reply], busy_ns: int) -> None:
        self.busy_ns += busy_ns
        self._answered([self._returned(reply) if reply[1] else reply for reply in replies])

    def _returned(self, reply: Reply) -> Reply:
        """Return the reply as a wire would deliver it."""
        try:
            if reply[0] in self._lists:
                self._lists.discard(reply[0])
                value = [protocol.carried(one, self._most_bytes) for one in reply[2]]
            else:
                value = protocol.carried(reply[2], self._most_bytes)
        except NotCarriedError as error:
            return acting.not_carried(reply[0], error, happened=True)
        return reply if value is reply[2] else (reply[0], True, value)

    def _crashed(self, end: BaseException) -> None:
        status = acting.exit_status(end)
        self._finish("exited", f"{type(end).__name__}: {end}; exit status {status}", status)

    def cancel(self, request_id: int) -> None:
        """See `WorkerLink.cancel`."""
        self._box.cancel(request_id)

    def recall(self, through: int) -> bool:
        """See `WorkerLink.recall`."""
        self._mark[acting.RECALLED] = max(through, self._mark[acting.RECALLED])
        return True

    def kill(self) -> None:
        """See `WorkerLink.kill`."""
        if not self.ended:
            self._leaving = True
            self._box.crash()
            self._loop.call_soon(self._finish, "killed", "killed as asked")

    def usage(self) -> Usage | None:
        """See `WorkerLink.usage`."""
        return None

    def _ask_ping(self, nonce: int) -> None:
        self._box.ask(self._actor.ping, lambda problem: self._ponged(nonce, problem))

    def _ask_leave(self) -> None:
        self._box.close()
        self._box.ask(self._actor.terminate, self._left)

    def _left(self, problem: str | None) -> None:
        self._finish("terminated", farewell(problem))


def _with(request: Request, payload: Any) -> Request:
    changed = (request[0], payload, *request[2:])
    return Each(changed) if isinstance(request, Each) else changed
