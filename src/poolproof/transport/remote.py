"""A worker at the other end of a wire, from outside: the same for the bridge and for processes."""

import asyncio
import socket
from collections.abc import Sequence
from typing import Any, Final

from poolproof.errors import FrameError, NotCarriedError
from poolproof.transport import actor as acting
from poolproof.transport import describe, protocol
from poolproof.transport.actor import Mark
from poolproof.transport.base import Each, EndKind, Reply, Request, WireError, WorkerSpec
from poolproof.transport.link import Link
from poolproof.transport.starting import init_timeout, start_failed, start_lost
from poolproof.transport.wire import Wire

PROBLEM_CHARACTERS: Final = 1000


class RemoteLink(Link):
    """One worker behind a socket; a layer adds who is there, and how it is ended.

    Attributes:
        wire: our end of the connection.
    """

    def __init__(
        self, sock: socket.socket, spec: WorkerSpec, number: int, epoch: int, mark: Mark
    ) -> None:
        super().__init__(number, epoch)
        self._mark = mark
        self.wire = Wire(sock, self._received, self._lost)
        self._spec = spec
        self._marks = False
        self._out = protocol.Sender(spec.most_payload_bytes)
        self._in = protocol.Receiver(protocol.FROM_WORKER, spec.most_payload_bytes)
        self._ready: asyncio.Future[None] = self._loop.create_future()
        self._broken = False

    async def greet(self, spec: bytes | None) -> None:
        """Tell the worker what it is to be, and wait until it is.

        Raises:
            StartFailedError: it could not.
            InitTimeoutError: it was not ready in time.
        """
        self._say(protocol.HELLO, (self._spec.most_payload_bytes, spec))
        self.assign(self.number, self.epoch)
        try:
            async with asyncio.timeout(self._spec.init_seconds):
                await self._ready
        except TimeoutError:
            raise init_timeout(self._spec) from None

    def assign(self, number: int, epoch: int) -> None:
        """Make it this worker of the pool; what it is asked from here on is for that epoch."""
        self.number, self.epoch = number, epoch
        self._say(protocol.ASSIGN, (number, epoch))

    def started(self) -> int:
        """See `WorkerLink.started`."""
        return self._mark[acting.BEGUN] if self._marks else protocol.MOST_ID

    def recall(self, through: int) -> bool:
        """See `WorkerLink.recall`."""
        if self._marks:
            self._mark[acting.RECALLED] = max(through, self._mark[acting.RECALLED])
        return self._marks

    def send(self, requests: Sequence[Request]) -> None:
        """See `WorkerLink.send`."""
        if not requests or self.ended:
            return
        if self._broken:
            self._sent(requests)
            return
        envelope = _requests
        if isinstance(requests[0], Each):
            if not self._marks:
                self._not_carried(requests[0], _one_by_one())
                return
            envelope = _each
        for batch, frame in protocol.batches(
            self._out, requests, envelope, _payload, self._not_carried
        ):
            self._sent(batch, len(frame))
            self.wire.write(frame)

    def _not_carried(self, request: Request, error: NotCarriedError) -> None:
        self._refuse(acting.not_carried(request[0], error, happened=False))

    def cancel(self, request_id: int) -> None:
        """See `WorkerLink.cancel`."""
        if request_id in self._shares:
            self._say(protocol.CANCEL, [request_id])

    def _ask_ping(self, nonce: int) -> None:
        self._say(protocol.PING, (nonce,))

    def _ask_leave(self) -> None:
        self._say(protocol.TERMINATE, (0.0,))

    def _say(self, kind: int, message: Any) -> None:
        if not self._broken:
            frame = self._out.frame(kind, message)
            self._out.sent()
            self.wire.write(frame)

    def _received(self, data: memoryview) -> None:
        duplicates = self._in.duplicates
        try:
            for kind, message in self._in.feed(data):
                self._take(kind, message)
        except FrameError as error:
            self._violated(str(error))
        if self._in.duplicates > duplicates:
            self._drop("duplicate frame", f"{self._in.duplicates - duplicates} came twice")

    def _take(self, kind: int, message: Any) -> None:
        if self._broken:
            return
        if kind == protocol.REPLIES:
            self._take_replies(*message)
        elif kind == protocol.PONG:
            self._ponged(*message)
        elif kind == protocol.READY and not self._ready.done():
            self._begin(*message)
        elif kind == protocol.FAILED and not self._ready.done():
            self._failed(message)
        elif kind == protocol.BYE and self._leaving:
            self._left(*message)
        elif kind == protocol.VIOLATION:
            self._violated(f"the worker found one in what it was sent: {message[0]}")
        else:
            name = protocol.NAMES[kind]
            raise FrameError(f"expected no {name} at this point, got one")

    def _take_replies(self, epoch: int, busy_ns: int, replies: list[Reply]) -> None:
        if epoch != self.epoch:
            self._drop("stale frame", f"{len(replies)} replies of epoch {epoch}")
            return
        self.busy_ns += busy_ns
        for at, reply in enumerate(replies):
            if not reply[1]:
                replies[at] = (reply[0], False, protocol.wire_error(reply[2]))
        self._answered(replies)

    def _begin(self, pid: int, marks: bool) -> None:  # noqa: FBT001 - a field of a frame
        self.pid, self._marks = self._process(pid), marks
        self._ready.set_result(None)

    def _failed(self, error: WireError) -> None:
        problem = start_failed(self._spec)
        problem.__cause__ = describe.remote(error)
        self._ready.set_exception(problem)

    def _lost(self, why: str) -> None:
        self._broken = True
        self._gone("lost", f"{why} within a frame" if self._in.torn else why)

    def _violated(self, problem: str) -> None:
        self._say(protocol.VIOLATION, (problem[:PROBLEM_CHARACTERS],))
        self._broken = True
        self._gone("violation", problem)

    def kill(self) -> None:
        """See `WorkerLink.kill`."""
        if not self.ended:
            self._broken = True
            self._gone("killed", "killed as asked")

    def _finish(self, kind: EndKind, detail: str, status: int | None = None) -> None:
        self._broken = True
        self.wire.close()
        if not self._ready.done():
            self._ready.set_exception(start_lost(self._spec, detail))
        super()._finish(kind, detail, status)

    def _process(self, pid: int) -> int | None:
        """Return the pid of the worker, if it says `pid`."""
        raise NotImplementedError

    def _left(self, problem: str | None) -> None:
        """Note that it has said farewell."""
        raise NotImplementedError

    def _gone(self, kind: EndKind, detail: str) -> None:
        """End whatever is left of it, then `_finish`, in a later turn."""
        raise NotImplementedError


def _requests(requests: Sequence[Request]) -> tuple[int, Any]:
    return protocol.REQUESTS, requests


def _each(requests: Sequence[Request]) -> tuple[int, Any]:
    return protocol.EACH, tuple(requests[0])


def _one_by_one() -> NotCarriedError:
    return NotCarriedError(
        "expected one request at a time for a worker that marks nothing, got a list of them",
        may_have_happened=False,
    )


def _payload(request: Request) -> Any:
    return request[1]
