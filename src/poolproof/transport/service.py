"""How a worker obeys frames: the same whether its requests are done on an event loop or by blocking."""

from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

from poolproof.errors import FrameError, NotCarriedError
from poolproof.transport import actor as acting
from poolproof.transport import protocol
from poolproof.transport.actor import Actor
from poolproof.transport.base import MOST_PAYLOAD_BYTES, Each, Reply, Request, WireError

PROBLEM_CHARACTERS: Final = 1000
VIOLATED_STATUS: Final = 76  # EX_PROTOCOL of <sysexits.h>


class Box(Protocol):
    """Where requests wait for their actor; see `mailbox.Mailbox`."""

    epoch: int

    def put(self, requests: Sequence[Request]) -> None:
        """Have requests done."""
        ...

    def ask(self, method: Callable[[], Any] | None, done: Callable[[str | None], None]) -> None:
        """Have `method` called once what is here is done; tell its problem, or None."""
        ...

    def cancel(self, request_id: int) -> None:
        """Give a request up, if that can still be done."""
        ...

    def close(self) -> None:
        """Drop what has not begun."""
        ...


class Service:
    """A worker between its connection and its box.

    Args:
        write: sends a frame; the bytes are valid during the call only.
        hello: told what the worker is to be; it calls `ready` or `failed` then or later.
        leave: ends the worker, with an exit status.
    """

    def __init__(
        self,
        *,
        write: Callable[[bytearray], None],
        hello: Callable[[bytes | None], None],
        leave: Callable[[int], None],
    ) -> None:
        self._write, self._hello, self._leave = write, hello, leave
        self._in = protocol.Receiver(protocol.TO_WORKER, MOST_PAYLOAD_BYTES)
        self._out = protocol.Sender(MOST_PAYLOAD_BYTES)
        self._greeted = False
        self._epoch = 0
        self._busy_ns = 0
        self._lists: set[int] = set()
        self._actor: Actor | None = None
        self._box: Box | None = None

    def ready(self, actor: Actor, box: Box, pid: int, *, marks: bool) -> None:
        """Say that requests may come; `box` takes them."""
        self._actor, self._box = actor, box
        box.epoch = self._epoch
        self._say(protocol.READY, (pid, marks))

    def failed(self, error: WireError) -> None:
        """Say why there is no worker, and leave."""
        self._say(protocol.FAILED, error)
        self._leave(1)

    def received(self, data: bytes | memoryview) -> None:
        """Obey what was read; leave if it is not the protocol."""
        try:
            for kind, message in self._in.feed(data):
                self._take(kind, message)
        except FrameError as error:
            self._say(protocol.VIOLATION, (str(error)[:PROBLEM_CHARACTERS],))
            self._leave(VIOLATED_STATUS)

    def reply(self, replies: list[Reply], busy_ns: int) -> None:
        """Send replies; a value that no wire carries becomes an error, which one does.

        Args:
            replies: at least one.
            busy_ns: how long their handlers took in all.
        """
        unfit: list[Reply] = []
        self._busy_ns = busy_ns

        def refuse(reply: Reply, error: NotCarriedError) -> None:
            unfit.append(acting.not_carried(reply[0], error, happened=True))

        for _, frame in protocol.batches(self._out, replies, self._replies, self._value, refuse):
            self._write(frame)
            self._busy_ns = 0
        if self._lists:
            self._lists.difference_update(reply[0] for reply in replies)
        if unfit:
            self.reply(unfit, 0)

    def _value(self, reply: Reply) -> Any:
        """Return what of a reply may be too long: of a list of values the last, all before it are not."""
        return reply[2][-1] if reply[0] in self._lists and reply[1] else reply[2]

    def _replies(self, replies: Sequence[Reply]) -> tuple[int, Any]:
        return protocol.REPLIES, (self._epoch, self._busy_ns, replies)

    def _take(self, kind: int, message: Any) -> None:
        if kind == protocol.REQUESTS and self._box is not None:
            self._box.put(message)
        elif kind == protocol.EACH and self._box is not None:
            self._lists.add(message[0])
            self._box.put([Each(message)])
        elif kind == protocol.HELLO and not self._greeted:
            self._greet(*message)
        elif kind == protocol.ASSIGN and self._greeted:
            self._assign(message[1])
        elif kind == protocol.VIOLATION:
            self._leave(VIOLATED_STATUS)
        elif self._box is not None and self._actor is not None:
            self._take_rare(kind, message, self._box, self._actor)
        else:
            raise FrameError(f"expected no {protocol.NAMES[kind]} at this point, got one")

    def _take_rare(self, kind: int, message: Any, box: Box, actor: Actor) -> None:
        if kind == protocol.CANCEL:
            for request_id in message:
                box.cancel(request_id)
        elif kind == protocol.PING:
            box.ask(actor.ping, lambda problem: self._say(protocol.PONG, (message[0], problem)))
        elif kind == protocol.TERMINATE:
            box.close()
            box.ask(actor.terminate, self._bye)
        else:
            raise FrameError(f"expected {protocol.NAMES[kind]} once, got it again")

    def _greet(self, most_bytes: int, spec: bytes | None) -> None:
        self._greeted = True
        self._in.allow(most_bytes)
        self._out.most_bytes = most_bytes
        self._hello(spec)

    def _assign(self, epoch: int) -> None:
        self._epoch = epoch
        if self._box is not None:
            self._box.epoch = epoch

    def _bye(self, problem: str | None) -> None:
        self._say(protocol.BYE, (problem,))
        self._leave(0)

    def _say(self, kind: int, message: Any) -> None:
        frame = self._out.frame(kind, message)
        self._out.sent()
        self._write(frame)
