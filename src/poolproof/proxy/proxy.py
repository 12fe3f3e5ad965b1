"""The proxy: a service's stand-in, through which every connection to it passes, and by which each can be harmed."""

import asyncio
import socket
from collections.abc import Iterable
from types import TracebackType
from typing import Any, Final, Literal, Self, TypeVar

from poolproof.errors import UsageError
from poolproof.proxy.connection import WAYS, Connection, Direction
from poolproof.proxy.framing import Framing, Raw
from poolproof.proxy.listener import Address, Listener, connect
from poolproof.proxy.pipe import Pipe
from poolproof.proxy.receipts import Done, Receipt, Receipts
from poolproof.proxy.side import PairEnd, Side
from poolproof.proxy.spoiling import UNSPOILED, Spoiling
from poolproof.proxy.travel import AT_ONCE, Travel

CONNECT_SECONDS: Final = 10.0
HEAL_SECONDS: Final = 5.0

T = TypeVar("T")


class Proxy:
    """Stands between any client and a service on TCP or a unix socket; used as `async with`.

    Unharmed it changes nothing: bytes, ends and resets pass as they come, and who reads slowly is
    felt by who writes. What is asked of it holds for the connections that are there and for those
    that come, unless `only` names some; `heal` undoes all of it, and `healed` proves that.

    Example:
        >>> async with Proxy(("127.0.0.1", 6379), framing=Resp, seed=7) as proxy:
        ...     proxy.shape(Travel(latency=0.1, jitter=0.4))
        ...     proxy.spoil(Spoiling(drop=0.05), "replies")

    Args:
        upstream: the service: host and port, or the path of a socket; None if only `splice` is used.
        listen: where clients find the proxy: a free port of this machine if not given.
        framing: how frames are told apart; `Raw`, if nothing else is said.
        seed: decides whatever is drawn.

    Attributes:
        connections: those that are open, in their order.
        receipts: what was done to them.
    """

    def __init__(
        self,
        upstream: Address | None = None,
        *,
        listen: Address | None = None,
        framing: Framing = Raw,
        seed: int = 0,
    ) -> None:
        self.upstream = upstream
        self.receipts = Receipts()
        self.connections: list[Connection] = []
        self._framing, self._seed = framing, seed
        self._listener = Listener(listen or ("127.0.0.1", 0), self._accepted)
        self._knocking: dict[asyncio.Task[None], Side] = {}
        self._carrying: set[asyncio.Task[None]] = set()
        self._numbers = 0
        self._refusing = False
        self._tried = asyncio.Event()
        self._travels = _either_way(AT_ONCE)
        self._spoilings = _either_way(UNSPOILED)
        self._holding: set[str] = set()
        self._swallowing: set[str] = set()

    @property
    def address(self) -> Address:
        """Where clients find it.

        Raises:
            UsageError: it was not entered, or has no upstream.
        """
        if self.upstream is None:
            raise UsageError("expected an upstream, got a proxy of spliced sockets only")
        return self._listener.address

    async def __aenter__(self) -> Self:
        if self.upstream is not None:
            await self._listener.open()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._listener.close()
        for task, client in self._knocking.items():
            task.cancel()
            client.reset()
        for connection in self.connections:
            connection.reset()
        await asyncio.gather(*self._knocking, *self._carrying, return_exceptions=True)

    # How bytes travel, and what is done to frames.

    def shape(
        self, travel: Travel, direction: Direction = "both", *, only: Iterable[int] | None = None
    ) -> None:
        """Let what comes from here on travel so."""
        self._remember(self._travels, travel, direction, only)
        for pipe in self._pipes(direction, only):
            pipe.shape(travel)

    def spoil(
        self,
        spoiling: Spoiling,
        direction: Direction = "both",
        *,
        only: Iterable[int] | None = None,
    ) -> None:
        """Spoil frames that begin from here on."""
        self._remember(self._spoilings, spoiling, direction, only)
        for pipe in self._pipes(direction, only):
            pipe.spoiling = spoiling

    def hold(self, direction: Direction = "both", *, only: Iterable[int] | None = None) -> None:
        """Keep back what is said; when the window is full it is not even read."""
        if only is None:
            self._holding |= _ways(direction)
        for pipe in self._pipes(direction, only):
            pipe.hold()

    def release(self, direction: Direction = "both", *, only: Iterable[int] | None = None) -> None:
        """Let go on, in its order, what was held."""
        if only is None:
            self._holding -= _ways(direction)
        for pipe in self._pipes(direction, only):
            pipe.release()

    def blackhole(
        self, direction: Direction = "both", *, only: Iterable[int] | None = None
    ) -> None:
        """Read and throw away what is said; a connection that lost some of it is reset by `heal`."""
        if only is None:
            self._swallowing |= _ways(direction)
        for pipe in self._pipes(direction, only):
            pipe.swallowing = True

    # What is done to whole connections.

    def reset(self, *, only: Iterable[int] | None = None) -> int:
        """Break the connections off on both sides; return how many."""
        chosen = self._chosen(only)
        for connection in chosen:
            connection.reset()
        return len(chosen)

    def half_open(
        self, whom: Literal["client", "server"] = "server", *, only: Iterable[int] | None = None
    ) -> int:
        """Let one side of the connections be gone without the other being told; return how many."""
        chosen = self._chosen(only)
        for connection in chosen:
            connection.forget(whom)
        return len(chosen)

    def half_close(
        self, direction: Direction = "replies", *, only: Iterable[int] | None = None
    ) -> int:
        """Tell the receiver of a direction that nothing more comes; return how many were told."""
        pipes = self._pipes(direction, only)
        for pipe in pipes:
            pipe.end()
        return len(pipes)

    def refuse(self) -> None:
        """Refuse new connections: nobody listens, until `heal`."""
        if not self._refusing:
            self._refusing = True
            self._tell(0, "both", Done("refusing"))
            if self.upstream is not None:
                self._listener.refuse()

    def splice(self, sock: socket.socket) -> socket.socket:
        """Put the proxy between the two ends of a connected stream; return the client's new end.

        Args:
            sock: the end that the client has had; the proxy owns it from here on.

        Raises:
            ConnectionRefusedError: connections are refused; the end is closed.
        """
        if self._refusing:
            sock.close()
            self._tell(0, "both", Done("refused"))
            raise ConnectionRefusedError("the proxy refuses connections")
        ours, theirs = socket.socketpair()
        self._begin(PairEnd(theirs), PairEnd(sock))
        return ours

    # How it is undone.

    async def heal(self) -> None:
        """Undo everything: what is held goes on in its order, and what cannot be whole again is reset."""
        self._travels = _either_way(AT_ONCE)
        self._spoilings = _either_way(UNSPOILED)
        self._holding.clear()
        self._swallowing.clear()
        for connection in list(self.connections):
            if connection.torn:
                connection.reset()
            else:
                for pipe in connection.toward("both"):
                    pipe.heal()
        if self._refusing:
            self._refusing = False
            if self.upstream is not None:
                await self._listener.open()

    async def healed(self, seconds: float = HEAL_SECONDS) -> str | None:
        """Return the evidence that it harms nothing any more; None if it does, or cannot be reached."""
        if self._refusing or any(self._harmed(pipe) for pipe in self._pipes("both", None)):
            return None
        calm = f"{len(self.connections)} connections carry as they come"
        if self.upstream is None:
            return calm
        before = self._numbers
        self._tried.clear()
        try:
            async with asyncio.timeout(seconds):
                probe = await connect(self.address)
                await self._tried.wait()
        except (OSError, TimeoutError):
            return None
        probe.close()
        return f"{calm}; a new one has reached {self.upstream}" if self._numbers > before else None

    @staticmethod
    def _harmed(pipe: Pipe) -> bool:
        return pipe.held or pipe.swallowing or pipe.spoiling.spoils or pipe.travel is not AT_ONCE

    # Connections come and go.

    def _accepted(self, client: Side) -> None:
        task = asyncio.get_running_loop().create_task(self._reach(client))
        self._knocking[task] = client
        task.add_done_callback(self._knocking.pop)

    async def _reach(self, client: Side) -> None:
        assert self.upstream is not None
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                server = await connect(self.upstream)
        except (OSError, TimeoutError) as error:
            self._tell(0, "both", Done("unreachable", detail=str(error)))
            client.reset()
        else:
            self._begin(client, server)
        self._tried.set()

    def _begin(self, client: Side, server: Side) -> None:
        self._numbers += 1
        connection = Connection(
            self._numbers,
            client,
            server,
            framing=self._framing,
            seed=self._seed,
            tell=self._tell,
        )
        for way, pipe in connection.pipes.items():
            pipe.travel, pipe.spoiling = self._travels[way], self._spoilings[way]
            pipe.swallowing = way in self._swallowing
            if way in self._holding:
                pipe.hold()
        self.connections.append(connection)
        task = asyncio.get_running_loop().create_task(self._carry(connection))
        self._carrying.add(task)
        task.add_done_callback(self._carrying.discard)

    async def _carry(self, connection: Connection) -> None:
        try:
            await connection.run()
        finally:
            self.connections.remove(connection)

    def _tell(self, number: int, direction: str, done: Done) -> None:
        at = asyncio.get_running_loop().time()
        self.receipts.add(Receipt(at=at, connection=number, direction=direction, **done._asdict()))

    def _chosen(self, only: Iterable[int] | None) -> list[Connection]:
        wanted = None if only is None else set(only)
        return [one for one in self.connections if wanted is None or one.number in wanted]

    def _pipes(self, direction: Direction, only: Iterable[int] | None) -> list[Pipe]:
        return [pipe for one in self._chosen(only) for pipe in one.toward(direction)]

    @staticmethod
    def _remember(
        kept: dict[str, Any], value: object, direction: Direction, only: Iterable[int] | None
    ) -> None:
        if only is None:
            kept.update(dict.fromkeys(_ways(direction), value))


def _either_way(value: T) -> dict[str, T]:
    return dict.fromkeys(WAYS, value)


def _ways(direction: Direction) -> set[str]:
    return set(WAYS) if direction == "both" else {direction}
