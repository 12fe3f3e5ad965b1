"""One end of a connection as the proxy holds it: a stream of asyncio, or one socket of a pair."""

import asyncio
import socket
import struct
from contextlib import suppress
from typing import Final, Protocol

READ_BYTES: Final = 1 << 16
_LINGER_NOT: Final = struct.pack("ii", 1, 0)


class Side(Protocol):
    """What the proxy reads from and writes to."""

    async def read(self) -> bytes:
        """Return what has come, nothing at its end; raise OSError where the connection broke."""
        ...

    async def write(self, data: bytes) -> None:
        """Write, and wait as long as the other end takes no more; raise OSError where it broke."""
        ...

    def end(self) -> None:
        """Say that nothing more comes this way."""
        ...

    def close(self) -> None:
        """Close it; what was written still goes out."""
        ...

    def reset(self) -> None:
        """Break it off: on TCP, the other end is told by RST."""
        ...


class Stream:
    """A connection of asyncio, or of the simulation."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def read(self) -> bytes:
        """See `Side`."""
        return await self._reader.read(READ_BYTES)

    async def write(self, data: bytes) -> None:
        """See `Side`."""
        self._writer.write(data)
        await self._writer.drain()

    def end(self) -> None:
        """See `Side`."""
        with suppress(OSError, RuntimeError):  # it is closing already
            self._writer.write_eof()

    def close(self) -> None:
        """See `Side`."""
        self._writer.close()

    def reset(self) -> None:
        """Break it off: without lingering, Linux answers what comes by RST."""
        sock: socket.socket | None = self._writer.get_extra_info("socket")
        if sock is not None and sock.family != socket.AF_UNIX:
            with suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
        self._writer.transport.abort()


class PairEnd:
    """One socket of a pair, on any loop that can wait for one: a simulation's, too."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)  # noqa: FBT003 - it takes no other
        self._sock = sock
        self._loop = asyncio.get_running_loop()
        self._waiting: set[asyncio.Future[None]] = set()

    async def read(self) -> bytes:
        """See `Side`."""
        while self._sock.fileno() >= 0:
            try:
                return self._sock.recv(READ_BYTES)
            except BlockingIOError:
                await self._ready("reader")
        return b""

    async def write(self, data: bytes) -> None:
        """See `Side`."""
        left = memoryview(data)
        while left:
            if self._sock.fileno() < 0:
                raise BrokenPipeError("the connection is closed")
            try:
                left = left[self._sock.send(left) :]
            except BlockingIOError:
                await self._ready("writer")

    async def _ready(self, kind: str) -> None:
        reads = kind == "reader"
        add = self._loop.add_reader if reads else self._loop.add_writer
        remove = self._loop.remove_reader if reads else self._loop.remove_writer
        ready: asyncio.Future[None] = self._loop.create_future()
        descriptor = self._sock.fileno()
        self._waiting.add(ready)
        add(descriptor, _settle, ready)
        try:
            await ready
        finally:
            self._waiting.discard(ready)
            if self._sock.fileno() >= 0:
                remove(descriptor)

    def end(self) -> None:
        """See `Side`."""
        with suppress(OSError):
            self._sock.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """See `Side`."""
        if self._sock.fileno() >= 0:
            self._loop.remove_reader(self._sock)
            self._loop.remove_writer(self._sock)
            self._sock.close()
        for waiter in self._waiting:
            _settle(waiter)

    def reset(self) -> None:
        """Close it: a pair knows no RST."""
        self.close()


def _settle(ready: "asyncio.Future[None]") -> None:
    if not ready.done():
        ready.set_result(None)
