"""Where clients find a proxy: a port or a path that is kept while connections to it are refused."""

import asyncio
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

from poolproof.proxy.side import READ_BYTES, Side, Stream
from poolproof.simulation import SimulationLoop

Address = tuple[str, int] | str
"""Host and port, or the path of a unix socket."""


async def connect(address: Address) -> Side:
    """Connect to a service; raise OSError if it does not answer."""
    if isinstance(address, str):
        return Stream(*await asyncio.open_unix_connection(address, limit=READ_BYTES))
    return Stream(*await asyncio.open_connection(*address, limit=READ_BYTES))


class Listener:
    """Listens at an address that stays its own when it does not listen.

    Args:
        address: where; port 0 is a free one.
        accepted: given each client.
    """

    def __init__(self, address: Address, accepted: Callable[[Side], None]) -> None:
        self.address = address
        self._accepted = accepted
        self._kept: socket.socket | None = None
        self._server: asyncio.Server | None = None

    async def open(self) -> None:
        """Listen, for the first time or again."""
        if isinstance(self.address, str):
            self._let_go(self.address)
            self._server = await asyncio.start_unix_server(
                self._connected, self.address, limit=READ_BYTES
            )
        elif _simulated():
            self._server = await asyncio.start_server(
                self._connected, *self.address, limit=READ_BYTES
            )
            self._learn(self._server.sockets[0].getsockname())
        else:
            await self._open_port(*self.address)

    async def _open_port(self, host: str, port: int) -> None:
        """Listen by a copy of a socket that is kept, and with it the port."""
        if self._kept is None:
            self._kept = _bound(host, port)
            self._learn(self._kept.getsockname())
        self._server = await asyncio.start_server(
            self._connected, sock=self._kept.dup(), limit=READ_BYTES
        )

    def _learn(self, name: Any) -> None:
        self.address = (str(name[0]), int(name[1]))

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._accepted(Stream(reader, writer))

    def refuse(self) -> None:
        """Listen no more, and keep the address: Linux refuses who connects to it."""
        self._stop()
        if isinstance(self.address, str):
            self._let_go(self.address)
            if not _simulated():
                self._kept = socket.socket(socket.AF_UNIX)
                self._kept.bind(self.address)
        elif self._kept is not None:
            self._kept.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Give the address back."""
        if self._server is not None or self._kept is not None:
            self._stop()
            self._let_go(self.address)

    def _stop(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None

    def _let_go(self, address: Address) -> None:
        if self._kept is not None:
            self._kept.close()
            self._kept = None
        if isinstance(address, str) and not _simulated():
            Path(address).unlink(missing_ok=True)


def _bound(host: str, port: int) -> socket.socket:
    """Return a socket that keeps its port when it stops listening.

    Linux lets go of a port that it has chosen itself: such a one is asked for again, by its number.
    """
    bound = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
        if port:
            return bound
        with bound:
            return _bound(host, bound.getsockname()[1])
    except OSError:
        bound.close()
        raise


def _simulated() -> bool:
    return isinstance(asyncio.get_running_loop(), SimulationLoop)
