"""What a simulation's loop offers in place of sockets: connections, servers and datagrams in memory."""

import asyncio
import errno
import socket
from collections.abc import Callable
from typing import Any, Final, cast

from poolproof.simulation.connection import Connection, Server
from poolproof.simulation.datagram import DatagramEndpoint
from poolproof.simulation.network import Address, Network, Port
from poolproof.simulation.refusal import refuse

# What Linux waits for an answer to its SYNs (tcp_syn_retries 6: 1 + 2 + ... + 64 s).
CONNECT_TIMEOUT_S: Final = 127.0
Factory = Callable[[], Any]


class Endpoints:
    """The methods of an event loop that reach others, mixed into one that has a network.

    Attributes:
        network: hosts, links and their faults.
    """

    network: Network

    async def create_connection(
        self, protocol_factory: Factory, host: Any = None, port: Any = None, **options: Any
    ) -> Any:
        """Connect to a server of the simulation.

        Raises:
            ConnectionRefusedError: nobody listens there.
            socket.gaierror: no host has this name.
            TimeoutError: there was no answer for 127 virtual seconds.
            RealWorldError: `sock` or `ssl` were given.
        """
        _refuse_options("create_connection", options)
        return await self._connect(protocol_factory, (self.network.here(host), port))

    async def create_unix_connection(
        self, protocol_factory: Factory, path: Any = None, **options: Any
    ) -> Any:
        """Connect to a path of this host, as `create_connection` to a port."""
        _refuse_options("create_unix_connection", options)
        return await self._connect(protocol_factory, (self.network.here(), str(path)))

    async def create_server(
        self,
        protocol_factory: Factory,
        host: Any = None,
        port: Any = None,
        *,
        start_serving: bool = True,
        **options: Any,
    ) -> Any:
        """Listen at this host, or the one named.

        Raises:
            OSError: the address is taken.
            RealWorldError: `sock` or `ssl` were given.
        """
        _refuse_options("create_server", options)
        return await self._serve(protocol_factory, host, port or 0, start_serving=start_serving)

    async def create_unix_server(
        self,
        protocol_factory: Factory,
        path: Any = None,
        *,
        start_serving: bool = True,
        **options: Any,
    ) -> Any:
        """Listen at a path of this host."""
        _refuse_options("create_unix_server", options)
        return await self._serve(protocol_factory, None, str(path), start_serving=start_serving)

    async def create_datagram_endpoint(
        self,
        protocol_factory: Factory,
        local_addr: Any = None,
        remote_addr: Any = None,
        **options: Any,
    ) -> Any:
        """Send and take datagrams at this host.

        Raises:
            OSError: the address is taken.
            RealWorldError: `sock` was given.
        """
        _refuse_options("create_datagram_endpoint", options)
        here = self._resolved(local_addr or (None, 0))
        there = self._resolved(remote_addr) if remote_addr else None
        endpoint = DatagramEndpoint(self.network, self._as_loop(), here, there)
        protocol = protocol_factory()
        endpoint.begin(protocol)
        return endpoint, protocol

    def _resolved(self, address: Any) -> Address:
        return self.network.here(address[0]), address[1]

    def _as_loop(self) -> asyncio.AbstractEventLoop:
        return cast("asyncio.AbstractEventLoop", self)

    async def _serve(
        self, factory: Factory, host: str | None, port: Port, *, start_serving: bool
    ) -> Server:
        address = (self.network.here(host), port)
        server = Server(self.network, self._as_loop(), factory, address)
        if start_serving:
            await server.start_serving()
        return server

    async def _connect(self, factory: Factory, there: Address) -> Any:
        if not self.network.knows(there[0]):
            names = "listen there, or name the host by network.at"
            raise socket.gaierror(socket.EAI_NONAME, f"no host {there[0]!r} here: {names}")
        answer = self._as_loop().create_future()
        here = (self.network.here(), 0)
        client = Connection(self.network, self._as_loop(), here, there)
        self._knock(client, answer)
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                await answer
        except BaseException:
            client.vanish()
            raise
        protocol = factory()
        client.begin(protocol)
        return client, protocol

    def _knock(self, client: Connection, answer: asyncio.Future[None]) -> None:
        """Carry the request there and the answer back; without a listener the answer is a refusal."""
        source, target = client.here[0], client.there[0]

        def reach() -> None:
            server = self.network.owner(client.there)
            if isinstance(server, Server) and server.is_serving():
                _join(client, Connection(self.network, self._as_loop(), client.there, client.here))
                server.accept(client.peer)
                outcome = None
            else:
                outcome = ConnectionRefusedError(errno.ECONNREFUSED, f"nobody at {client.there}")
            self.network.carry(target, source, lambda: _settle(answer, outcome), client.context)

        self.network.carry(source, target, reach, client.context)


def _join(one: Connection, other: Connection) -> None:
    one.peer, other.peer = other, one


def _settle(answer: asyncio.Future[None], error: Exception | None) -> None:
    if answer.done():
        return
    if error:
        answer.set_exception(error)
    else:
        answer.set_result(None)


def _refuse_options(name: str, options: dict[str, Any]) -> None:
    if options.get("sock") is not None:
        raise refuse(f"{name}(sock=...)", "a real socket")
    if options.get("ssl"):
        raise refuse(f"{name}(ssl=...)", "encryption")
