"""Datagrams in memory: lost, doubled, overtaken, or heard by nobody."""

import asyncio
from contextvars import copy_context
from typing import Any

from poolproof.simulation.network import Address, Network

Buffer = bytes | bytearray | memoryview


class DatagramEndpoint(asyncio.DatagramTransport):
    """One socket's worth of datagrams, at an address of the simulation."""

    def __init__(
        self,
        network: Network,
        loop: asyncio.AbstractEventLoop,
        here: Address,
        there: Address | None,
    ) -> None:
        self.here = network.take(here, self)
        self.context = copy_context()
        super().__init__({"sockname": self.here, "peername": there})
        self._network = network
        self._loop = loop
        self._there = there
        self._protocol: Any = None
        self._closing = False

    def begin(self, protocol: asyncio.BaseProtocol) -> None:
        """Tell the protocol that the endpoint is there."""
        self._protocol = protocol
        protocol.connection_made(self)

    def sendto(self, data: Buffer, addr: Any = None) -> None:
        """Send to `addr`, or to the address that the endpoint was made for.

        Raises:
            ValueError: neither is given.
        """
        target: Address | None = addr or self._there
        if target is None:
            raise ValueError("expected an address to send to, got none")
        if not self._closing:
            host = self._network.here(target[0])
            self._throw((host, target[1]), bytes(data))

    def _throw(self, target: Address, data: bytes) -> None:
        def arrive() -> None:
            owner = self._network.owner(target)
            if isinstance(owner, DatagramEndpoint):
                owner.receive(data, self.here)

        self._network.throw(self.here[0], target[0], arrive, self.context)

    def receive(self, data: bytes, sender: Address) -> None:
        """Take a datagram."""
        if not self._closing:
            self._loop.call_soon(
                self._protocol.datagram_received, data, sender, context=self.context
            )

    def get_protocol(self) -> asyncio.BaseProtocol:
        """Return the protocol of this endpoint."""
        protocol: asyncio.BaseProtocol = self._protocol
        return protocol

    def is_closing(self) -> bool:
        """Return whether it is closed."""
        return self._closing

    def close(self) -> None:
        """Take and send no more."""
        if not self._closing:
            self._closing = True
            self._network.give_back(self.here)
            self._loop.call_soon(self._protocol.connection_lost, None, context=self.context)

    def abort(self) -> None:
        """Close; no datagram waits to be sent."""
        self.close()
