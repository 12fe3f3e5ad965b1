"""Streams in memory: the two ends of a connection, and the server that accepts them."""

import asyncio
import enum
from collections import deque
from collections.abc import Callable, Iterable
from contextvars import Context, copy_context
from typing import Any, Final

from poolproof.simulation.network import Address, Network

_HIGH_WATER_BYTES: Final = 65_536
Buffer = bytes | bytearray | memoryview


class _Signal(enum.Enum):
    FIN = "end of file"
    RST = "reset"


class Connection(asyncio.Transport):
    """One end of a stream.

    What is written arrives in its order, whole or in pieces. What the other end has not read
    counts as this end's write buffer, so a slow or silent peer is felt as on a real socket.
    """

    peer: "Connection"

    def __init__(
        self, network: Network, loop: asyncio.AbstractEventLoop, here: Address, there: Address
    ) -> None:
        super().__init__({"sockname": here, "peername": there})
        self.here = here
        self.there = there
        self.context = copy_context()
        self.on_lost: Callable[[Connection], object] | None = None
        self._network = network
        self._loop = loop
        self._protocol: Any = None
        self._flight: deque[bytes | _Signal] = deque()
        self._inbox: deque[bytes | _Signal] = deque()
        self._unread_bytes = 0
        self._low_bytes, self._high_bytes = _HIGH_WATER_BYTES // 4, _HIGH_WATER_BYTES
        self._writing = True
        self._reading = True
        self._ended = False
        self._closing = False
        self._gone = False
        network.join(self)

    def begin(self, protocol: asyncio.BaseProtocol) -> None:
        """Tell the protocol that the connection is made."""
        self._protocol = protocol
        protocol.connection_made(self)

    def get_protocol(self) -> asyncio.BaseProtocol:
        """Return the protocol at this end."""
        protocol: asyncio.BaseProtocol = self._protocol
        return protocol

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Let another protocol go on at this end."""
        self._protocol = protocol

    def write(self, data: Buffer) -> None:
        """Send bytes.

        Raises:
            RuntimeError: after `write_eof`.
            TypeError: it is no buffer of bytes.
        """
        if self._ended and not self._closing:
            raise RuntimeError("Cannot call write() after write_eof()")
        if self._closing or not data:
            return
        sent = memoryview(data).tobytes()
        self._unread_bytes += len(sent)
        for piece in self._network.pieces(self.here[0], self.there[0], sent):
            self._send(piece)
        if self._writing and self._unread_bytes > self._high_bytes:
            self._writing = False
            self._protocol.pause_writing()

    def writelines(self, list_of_data: Iterable[Buffer]) -> None:
        """Send the bytes of all."""
        self.write(b"".join(list_of_data))

    def write_eof(self) -> None:
        """Send the end of file; the other direction stays open."""
        if not self._ended and not self._closing:
            self._ended = True
            self._send(_Signal.FIN)

    def can_write_eof(self) -> bool:
        """Return True."""
        return True

    def close(self) -> None:
        """Send what was written and the end of file, and be done with it."""
        if not self._closing:
            self.write_eof()
            self._end(None)

    def abort(self) -> None:
        """Break the connection: the other end gets ConnectionResetError."""
        if not self._closing:
            self._send(_Signal.RST)
            self._end(None)

    def is_closing(self) -> bool:
        """Return whether this end is closed."""
        return self._closing

    def pause_reading(self) -> None:
        """Take nothing more from the peer."""
        self._reading = False

    def resume_reading(self) -> None:
        """Take again, first what has come since."""
        if not self._reading and not self._closing:
            self._reading = True
            self._loop.call_soon(self._read_inbox, context=self.context)

    def is_reading(self) -> bool:
        """Return whether this end takes what comes."""
        return self._reading and not self._closing

    def get_write_buffer_size(self) -> int:
        """Return the bytes that the other end has not read."""
        return self._unread_bytes

    def get_write_buffer_limits(self) -> tuple[int, int]:
        """Return the low and the high mark, in bytes."""
        return self._low_bytes, self._high_bytes

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Set the marks at which the protocol is told to pause and to resume, as on a real transport."""
        self._high_bytes = high if high is not None else 4 * low if low else _HIGH_WATER_BYTES
        self._low_bytes = low if low is not None else self._high_bytes // 4

    def vanish(self) -> None:
        """Forget the connection; neither the protocol here nor the other end is told."""
        self._gone = True
        self._network.leave(self)
        if self.on_lost:
            self.on_lost(self)

    def _send(self, segment: bytes | _Signal) -> None:
        if self._gone:
            return
        self._flight.append(segment)
        self._network.carry(self.here[0], self.there[0], self._arrive, self.peer.context)

    def _arrive(self) -> None:
        """Hand the peer the next segment: whichever packet came first, a stream keeps its order."""
        self.peer.receive(self._flight.popleft())

    def receive(self, segment: bytes | _Signal) -> None:
        """Take what the other end has sent; an end that is closed answers bytes by a reset."""
        if self._gone or self._closing:
            if isinstance(segment, bytes):
                self._network.carry(
                    self.here[0], self.there[0], self.peer.was_reset, self.peer.context
                )
        elif segment is _Signal.RST:
            self.was_reset()
        elif self._reading and not self._inbox:
            self._take(segment)
        else:
            self._inbox.append(segment)

    def was_reset(self) -> None:
        """Break this end: its peer knows nothing of the connection."""
        if not self._closing and not self._gone:
            self._end(ConnectionResetError(104, f"connection reset by {self.there[0]}"))

    def _read_inbox(self) -> None:
        while self._inbox and self.is_reading():
            self._take(self._inbox.popleft())

    def _take(self, segment: bytes | _Signal) -> None:
        if not isinstance(segment, bytes):
            if not self._protocol.eof_received():
                self.close()
            return
        self.peer.was_read(len(segment))
        if isinstance(self._protocol, asyncio.BufferedProtocol):
            _fill(self._protocol, segment)
        else:
            self._protocol.data_received(segment)

    def was_read(self, size_bytes: int) -> None:
        """Count what the other end has read out of the write buffer."""
        self._unread_bytes -= size_bytes
        if not self._writing and self._unread_bytes <= self._low_bytes and not self._gone:
            self._writing = True
            self._protocol.resume_writing()

    def _end(self, error: Exception | None) -> None:
        self._closing = True
        self._network.leave(self)
        if not self._gone:
            self._loop.call_soon(self._lost, error, context=self.context)

    def _lost(self, error: Exception | None) -> None:
        self._protocol.connection_lost(error)
        if self.on_lost:
            self.on_lost(self)


def _fill(protocol: asyncio.BufferedProtocol, data: bytes) -> None:
    while data:
        buffer = memoryview(protocol.get_buffer(len(data)))
        size_bytes = min(len(buffer), len(data))
        buffer[:size_bytes] = data[:size_bytes]
        protocol.buffer_updated(size_bytes)
        data = data[size_bytes:]


class Listening:
    """What stands for the socket of a server: it knows its address."""

    def __init__(self, address: Address) -> None:
        self._address = address

    def getsockname(self) -> Address:
        """Return host and port."""
        return self._address


class Server(asyncio.AbstractServer):
    """Accepts connections at one address of the simulation."""

    def __init__(
        self,
        network: Network,
        loop: asyncio.AbstractEventLoop,
        factory: Callable[[], asyncio.BaseProtocol],
        address: Address,
    ) -> None:
        self.address = network.take(address, self)
        self.context: Context = copy_context()
        self._network = network
        self._loop = loop
        self._factory = factory
        self._open: dict[Connection, None] = {}
        self._serving = False
        self._closed = False
        self._waiters: list[asyncio.Future[None]] = []

    @property
    def sockets(self) -> tuple[Listening, ...]:
        """What it listens on, for its address."""
        return () if self._closed else (Listening(self.address),)

    def accept(self, connection: Connection) -> None:
        """Begin a connection at this side."""
        self._open[connection] = None
        connection.context = self.context
        connection.on_lost = self._let_go
        connection.begin(self._factory())

    def get_loop(self) -> asyncio.AbstractEventLoop:
        """Return the simulation that it is in."""
        return self._loop

    def is_serving(self) -> bool:
        """Return whether it accepts."""
        return self._serving

    async def start_serving(self) -> None:
        """Accept from here on."""
        self._serving = not self._closed

    async def serve_forever(self) -> None:
        """Accept until cancelled or closed."""
        await self.start_serving()
        try:
            await self.wait_closed()
        finally:
            self.close()

    def close(self) -> None:
        """Accept no more; what is open stays open."""
        if not self._closed:
            self._closed, self._serving = True, False
            self._network.give_back(self.address)
            self._wake_when_done()

    def close_clients(self) -> None:
        """Close every open connection."""
        for connection in list(self._open):
            connection.close()

    def abort_clients(self) -> None:
        """Break every open connection."""
        for connection in list(self._open):
            connection.abort()

    async def wait_closed(self) -> None:
        """Wait until it is closed and every connection has ended, as from Python 3.12 on."""
        if not self._closed or self._open:
            waiter: asyncio.Future[None] = self._loop.create_future()
            self._waiters.append(waiter)
            await waiter

    def _let_go(self, connection: Connection) -> None:
        self._open.pop(connection, None)
        self._wake_when_done()

    def _wake_when_done(self) -> None:
        if self._closed and not self._open:
            for waiter in self._waiters:
                if not waiter.done():
                    waiter.set_result(None)
            self._waiters.clear()
