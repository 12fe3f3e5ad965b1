"""What runs inside a worker process: its requests by blocking, or on an event loop if its author's code awaits."""

import asyncio
import os
import socket
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Final, NoReturn

from poolproof.errors import FrameError
from poolproof.transport import actor as acting
from poolproof.transport import describe, packing, protocol
from poolproof.transport.actor import Actor
from poolproof.transport.base import (
    MOST_PAYLOAD_BYTES,
    Each,
    Reply,
    Request,
    WireError,
    WorkerSpec,
)
from poolproof.transport.mailbox import Errand
from poolproof.transport.peer import Peer
from poolproof.transport.service import Service
from poolproof.transport.wire import READ_BYTES, buffer

HOLD_NS: Final = 500_000
"""How long finished replies may wait for the next one while there is more to do."""


def main(sock: socket.socket, mark: memoryview) -> NoReturn:
    """Be the worker that the first frame describes, until the connection ends or it is told to leave.

    Args:
        sock: connected to a link, blocking.
        mark: two unsigned numbers of 64 bits, shared with the link; see `actor.Mark`.
    """
    data, spec = _first_frame(sock)
    made = _made(spec)
    if isinstance(made, Actor) and made.asynchronous:
        leave(asyncio.run(_on_a_loop(sock, data, made, mark)))
    Blocking(sock, made, mark).serve(data)


def rehearse() -> None:
    """Go through a start and a request once: the pages that this writes to are then our own, not shared."""
    here, there = socket.socketpair()
    said = protocol.Sender(MOST_PAYLOAD_BYTES)
    with here, there:
        for kind, message in (
            (protocol.HELLO, (MOST_PAYLOAD_BYTES, packing.packed(WorkerSpec(target=abs)))),
            (protocol.ASSIGN, (0, 1)),
            (protocol.REQUESTS, [(1, 1, 0, 1, 1, None)]),
        ):
            here.sendall(said.frame(kind, message))
            said.sent()
        data, spec = _first_frame(there)
        worker = Blocking(there, _made(spec), memoryview(bytearray(16)).cast("Q"))
        worker.play(data)


def leave(status: int) -> NoReturn:
    """End this process, without what its ancestors registered to be done at their exit."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):
            stream.flush()
    os._exit(status)


def _first_frame(sock: socket.socket) -> tuple[bytes, bytes | None]:
    """Return (all that was read, what HELLO says the worker is); what is no HELLO is for others to refuse."""
    data = b""
    while piece := sock.recv(READ_BYTES):
        data += piece
        with suppress(FrameError):
            for kind, message in protocol.Receiver(protocol.TO_WORKER, MOST_PAYLOAD_BYTES).feed(
                data
            ):
                return data, message[1] if kind == protocol.HELLO else None
            continue
        return data, None
    leave(0)


def _made(spec: bytes | None) -> Actor | WireError:
    try:
        return acting.make(packing.unpacked(spec))
    except (Exception, SystemExit) as error:  # noqa: BLE001 - importing and making are the author's code
        return describe.raised(error)


async def _on_a_loop(sock: socket.socket, data: bytes, made: Actor, mark: memoryview) -> int:
    done: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def start(_spec: bytes | None) -> Actor | WireError:
        problem = await _init_problem(made)
        return made if problem is None else problem

    peer = Peer(sock, start=start, left=done.set_result, mark=mark)
    peer.received(data)
    status = await done
    await peer.wire.finished()
    return status


async def _init_problem(made: Actor) -> WireError | None:
    try:
        if made.init is not None:
            await acting.awaited(made.init)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - it is the author's code
        return describe.raised(error)
    return None


class Blocking:
    """A worker whose code never awaits: read, do, write, and nothing between."""

    def __init__(self, sock: socket.socket, made: Actor | WireError, mark: memoryview) -> None:
        self.epoch = 0
        self._sock, self._made, self._mark = sock, made, mark
        self._service = Service(write=self._write, hello=self._hello, leave=self._leave)
        self._queue: deque[Request | Errand] = deque()
        self._replies: list[Reply] = []
        self._since = 0
        self._cancelled: set[int] = set()

    def put(self, requests: Sequence[Request]) -> None:
        """Have requests done."""
        self._queue.extend(requests)

    def ask(self, method: Callable[[], Any] | None, done: Callable[[str | None], None]) -> None:
        """Have `method` called once what is here is done; tell its problem, or None."""
        self._queue.append(Errand(method, done))

    def cancel(self, request_id: int) -> None:
        """Skip a request that has not begun."""
        if any(not isinstance(item, Errand) and item[0] == request_id for item in self._queue):
            self._cancelled.add(request_id)

    def close(self) -> None:
        """Drop what has not begun."""
        errands = [item for item in self._queue if isinstance(item, Errand)]
        self._queue.clear()
        self._queue.extend(errands)

    def serve(self, data: bytes) -> NoReturn:
        """Obey, beginning with what was read already."""
        self.play(data)
        while True:
            self.play(self._receive())

    def play(self, data: bytes | memoryview) -> None:
        """Obey what was read."""
        self._service.received(data)
        self._work()

    def _hello(self, _spec: bytes | None) -> None:
        made = self._made
        if isinstance(made, Actor):
            try:
                if made.init is not None:
                    made.init()
            except (Exception, SystemExit) as error:  # noqa: BLE001 - it is the author's code
                made = describe.raised(error)
        if isinstance(made, WireError):
            self._service.failed(made)
        else:
            self._actor = made
            self._service.ready(made, self, os.getpid(), marks=True)

    def _work(self) -> None:
        """Do what is here; what takes long is answered meanwhile, and what has come since is heard."""
        queue, clock = self._queue, time.monotonic_ns
        self._since = clock()
        until = self._since + HOLD_NS
        try:
            while queue:
                self._one(queue.popleft())
                if clock() > until:
                    self._flush()
                    self._hear()
                    until = clock() + HOLD_NS
        except (SystemExit, KeyboardInterrupt, GeneratorExit) as end:
            self._flush()
            leave(acting.exit_status(end))
        self._flush()

    def _one(self, item: Request | Errand) -> None:
        if isinstance(item, Errand):
            self._flush()
            item.done(acting.problem(item.method))
            return
        self._mark[acting.BEGUN] = item[0]
        if item[0] in self._cancelled or item[0] <= self._mark[acting.RECALLED]:
            self._cancelled.discard(item[0])
            self._replies.append((item[0], False, describe.cancelled(begun=False)))
        elif isinstance(item, Each):
            self._replies.append(
                acting.answer_each(self._actor, item, self.epoch, time.monotonic_ns)
            )
        else:
            self._replies.append(acting.answer(self._actor, item, self.epoch, time.monotonic_ns))

    def _flush(self) -> None:
        if self._replies:
            now = time.monotonic_ns()
            self._service.reply(self._replies, now - self._since)
            self._replies.clear()
            self._since = now

    def _hear(self) -> None:
        with suppress(BlockingIOError):
            self._service.received(self._receive(socket.MSG_DONTWAIT))

    def _receive(self, flags: int = 0) -> memoryview:
        try:
            length = self._sock.recv_into(buffer, 0, flags)
        except ConnectionError:  # the controller is gone, and has not read all that was sent to it
            length = 0
        if not length:
            leave(0)
        return buffer[:length]

    def _write(self, frame: bytearray) -> None:
        try:
            self._sock.sendall(frame)
        except OSError:
            leave(0)  # nobody is there any more

    def _leave(self, status: int) -> None:
        leave(status)
