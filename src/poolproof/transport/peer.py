"""The worker's end of a wire on an event loop: of the bridge in this process, or of a worker that awaits in its own."""

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable

from poolproof.transport import actor as acting
from poolproof.transport.actor import Actor
from poolproof.transport.base import WireError
from poolproof.transport.mailbox import Mailbox
from poolproof.transport.service import Service
from poolproof.transport.wire import Wire

Start = Callable[[bytes | None], Awaitable[Actor | WireError]]


class Peer:
    """A worker on this loop, behind a socket.

    Args:
        sock: connected to a link.
        start: makes the actor from what HELLO says, with its `init` done; or says why it cannot.
        left: told once that the worker is at its end, with the exit status a process would have.
        began: told each id just before it is begun.
    """

    def __init__(
        self,
        sock: socket.socket,
        *,
        start: Start,
        left: Callable[[int], None],
        began: Callable[[int], None] | None = None,
    ) -> None:
        self._start, self._tell_left, self._began = start, left, began
        self._service = Service(write=self._write, hello=self._hello, leave=self._leave)
        self.wire = Wire(sock, self._service.received, lambda _why: self._leave(0))
        self._box: Mailbox | None = None
        self._starting: asyncio.Task[None] | None = None
        self._gone = False

    @property
    def started(self) -> int:
        """The id of the request that was begun last, 0 for none."""
        return 0 if self._box is None else self._box.started

    def received(self, data: bytes) -> None:
        """Obey what somebody else has read already."""
        self._service.received(data)

    def crash(self) -> None:
        """Stop at once, as a process that is killed; nobody is told."""
        self._gone = True
        self.wire.close()
        if self._starting is not None:
            self._starting.cancel()
        if self._box is not None:
            self._box.crash()

    def _write(self, frame: bytearray) -> None:
        self.wire.write(frame)

    def _hello(self, spec: bytes | None) -> None:
        self._starting = asyncio.get_running_loop().create_task(self._become(spec))

    async def _become(self, spec: bytes | None) -> None:
        made = await self._start(spec)
        self._starting = None
        if isinstance(made, WireError):
            self._service.failed(made)
            return
        self._box = Mailbox(
            made, emit=self._service.reply, crashed=self._crashed, began=self._began
        )
        self._service.ready(made, self._box, os.getpid(), marks=True)

    def _crashed(self, end: BaseException) -> None:
        self._leave(acting.exit_status(end))

    def _leave(self, status: int) -> None:
        if not self._gone:
            self._gone = True
            if self._box is not None:
                self._box.crash()
            self.wire.finish()
            self._tell_left(status)
