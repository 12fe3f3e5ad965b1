"""One end of a stream socket on the running loop: read in large pieces, written at once, never blocking."""

import asyncio
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Final

READ_BYTES: Final = 1 << 18

Tamper = Callable[[bytes], list[tuple[float, bytes]]]
"""Takes a frame, returns what is written instead: (seconds to wait first, bytes)."""

Splice = Callable[[socket.socket], socket.socket]
"""Puts something between the two ends of a connection: takes the near end, returns the one to use in its place."""

buffer: Final = memoryview(bytearray(READ_BYTES))
"""One for all of a process: what is read is dealt with before anything else is."""


class Wire:
    """A connected socket, owned.

    Attributes:
        tamper: for tests: what becomes of each frame that is written; None writes it as it is.

    Args:
        sock: connected, of a stream.
        received: takes what was read; valid during the call only.
        lost: told once that nothing more comes, and why; not after `close`.
    """

    def __init__(
        self,
        sock: socket.socket,
        received: Callable[[memoryview], None],
        lost: Callable[[str], None],
    ) -> None:
        sock.setblocking(False)  # noqa: FBT003 - it takes no other
        self.tamper: Tamper | None = None
        self._sock, self._received, self._lost = sock, received, lost
        self._loop = asyncio.get_running_loop()
        self._unsent = bytearray()
        self._open = True
        self._finishing = False
        self._closed = asyncio.Event()
        self._loop.add_reader(sock, self._readable)

    @property
    def unsent_bytes(self) -> int:
        """How much waits here because the kernel takes no more."""
        return len(self._unsent)

    def write(self, frame: bytes | bytearray) -> None:
        """Send a frame, now if the kernel takes it; afterwards the caller may change it."""
        if self.tamper is not None:
            for seconds, piece in self.tamper(bytes(frame)):
                if seconds:
                    self._loop.call_later(seconds, self._send, piece)
                else:
                    self._send(piece)
        else:
            self._send(frame)

    def _send(self, data: bytes | bytearray) -> None:
        if self._unsent:
            self._unsent += data
            return
        if not self._open:
            return
        try:
            sent = self._sock.send(data)
        except BlockingIOError:
            sent = 0
        except OSError:
            return  # the reader is told of the end, after what the peer has said before it
        if sent < len(data):
            self._unsent += memoryview(data)[sent:]
            self._loop.add_writer(self._sock, self._writable)

    def _writable(self) -> None:
        try:
            del self._unsent[: self._sock.send(self._unsent)]
        except BlockingIOError:
            return
        except OSError:
            self._unsent.clear()
        if not self._unsent:
            self._loop.remove_writer(self._sock)
            if self._finishing:
                self.close()

    def finish(self) -> None:
        """Close once all is sent."""
        self._finishing = True
        if not self._unsent:
            self.close()

    async def finished(self) -> None:
        """Wait until it is closed; after `finish`, when the other end has taken all."""
        await self._closed.wait()

    def _readable(self) -> None:
        try:
            length = self._sock.recv_into(buffer)
        except BlockingIOError:
            return
        except OSError as error:
            self._end(f"the connection broke: {error}")
            return
        if length:
            self._received(buffer[:length])
        else:
            self._end("the connection was closed")

    def drain(self) -> None:
        """Read all that has arrived already."""
        while self._open:
            try:
                length = self._sock.recv_into(buffer)
            except OSError:
                return
            if not length:
                return
            self._received(buffer[:length])

    def _end(self, why: str) -> None:
        self.close()
        self._lost(why)

    def close(self) -> None:
        """Close the socket, also for whoever has inherited it; safe twice."""
        if not self._open:
            return
        self._open = False
        self._closed.set()
        self._loop.remove_reader(self._sock)
        self._loop.remove_writer(self._sock)
        self._unsent.clear()
        with suppress(OSError):  # its other end is closed already
            self._sock.shutdown(socket.SHUT_RDWR)
        self._sock.close()
