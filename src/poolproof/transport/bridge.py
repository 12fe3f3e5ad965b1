"""The bridge layer: the real frames, over a real socket, to a peer in this process that can be told to misbehave.

    link.misbehave(duplicate, delay(0.1), truncate(5))

spoils the next three frames that the peer sends, one trick each; `on="requests"` spoils ours.
"""

import asyncio
import functools
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Final, Literal

import msgspec

from poolproof.transport import protocol
from poolproof.transport.base import EndKind, Layer, Usage, WorkerEvents, WorkerSpec
from poolproof.transport.link import farewell
from poolproof.transport.peer import Peer
from poolproof.transport.remote import RemoteLink
from poolproof.transport.starting import begin, check_for_this_process, connected
from poolproof.transport.wire import Splice

CLOSE_SECONDS: Final = 0.25


class BridgeTransport:
    """Workers on the running loop, each behind a socket pair; one per pool.

    Args:
        splice: puts something between a worker and the pool, as `Proxy.splice` does.
    """

    layer: ClassVar[Layer] = "bridge_mock"

    def __init__(self, *, splice: Splice | None = None) -> None:
        self._splice = splice
        self._links: set[BridgeLink] = set()

    async def open(self) -> None:
        """Do nothing: there is nothing to make ready."""

    async def spawn(
        self, spec: WorkerSpec, number: int, epoch: int, events: WorkerEvents
    ) -> "BridgeLink":
        """Make an actor behind a socket; see `Transport.spawn`."""
        check_for_this_process(spec)
        link = BridgeLink(spec, number, epoch, self._splice)
        self._links.add(link)
        link.when_ended(self._links.discard)
        try:
            await link.greet(None)
        except BaseException:
            link.kill()
            raise
        link.adopt(events)
        return link

    async def close(self) -> None:
        """End every worker, by force after a quarter of a second."""
        await asyncio.gather(*(link.terminate(CLOSE_SECONDS) for link in list(self._links)))


class BridgeLink(RemoteLink):
    """A peer in this process, from outside."""

    def __init__(
        self, spec: WorkerSpec, number: int, epoch: int, splice: Splice | None = None
    ) -> None:
        ours, theirs = connected(spec, splice)
        mark = [0, 0]
        super().__init__(ours, spec, number, epoch, mark)
        start = functools.partial(begin, spec)
        self._peer = Peer(theirs, start=start, left=self._peer_left, mark=mark)
        self._verdict: tuple[EndKind, str, int | None] | None = None

    def misbehave(self, *tricks: "Trick", on: Literal["replies", "requests"] = "replies") -> None:
        """Spoil the next frames of one direction, one trick each; those after them pass as they are."""
        wire = self._peer.wire if on == "replies" else self.wire
        wire.tamper = Spoiled(tricks)

    def usage(self) -> Usage | None:
        """Return None: it has no process of its own."""
        return None

    def _process(self, pid: int) -> int | None:  # noqa: ARG002 - it is our own
        return None

    def _left(self, problem: str | None) -> None:
        self._verdict = ("terminated", farewell(problem), None)

    def _peer_left(self, status: int) -> None:
        """Note how it ended; the connection tells when, after all that it had said."""
        if self._verdict is None:
            self._verdict = ("exited", f"exit status {status}", status)

    def _gone(self, kind: EndKind, detail: str) -> None:
        if kind != "lost" or self._verdict is None:
            self._verdict = (kind, detail, None)
        self._peer.crash()
        self._loop.call_soon(self._finish, *self._verdict)


class Spoiled:
    """Has each trick done on a frame, in their order; the frames after that pass as they are."""

    def __init__(self, tricks: Sequence["Trick"]) -> None:
        self._tricks = deque(tricks)
        self._held: list[bytes] = []

    def __call__(self, frame: bytes) -> list[tuple[float, bytes]]:
        """Return what is sent instead of `frame`."""
        if not self._tricks:
            return [(0, frame)]
        self._held.append(frame)
        instead = self._tricks[0](self._held)
        if instead is None:
            return []
        self._tricks.popleft()
        self._held = []
        return instead


Trick = Callable[[list[bytes]], list[tuple[float, bytes]] | None]
"""Takes the frames it was given so far; returns what is sent instead, or None to be given one more."""


def duplicate(frames: list[bytes]) -> list[tuple[float, bytes]]:
    """Send it twice."""
    return [(0, frames[0]), (0, frames[0])]


def drop(_frames: list[bytes]) -> list[tuple[float, bytes]]:
    """Send nothing."""
    return []


def swap(frames: list[bytes]) -> list[tuple[float, bytes]] | None:
    """Send the next one first."""
    return [(0, frames[1]), (0, frames[0])] if len(frames) > 1 else None


def delay(seconds: float) -> Trick:
    """Send it later; what comes after it may overtake it."""
    return lambda frames: [(seconds, frames[0])]


def truncate(length: int) -> Trick:
    """Send only its first `length` bytes."""
    return lambda frames: [(0, frames[0][:length])]


def corrupt(at: int, mask: int = 0xFF) -> Trick:
    """Send it with the byte at `at` changed by exclusive or with `mask`."""

    def flipped(frames: list[bytes]) -> list[tuple[float, bytes]]:
        spoiled = bytearray(frames[0])
        spoiled[at % len(spoiled)] ^= mask
        return [(0, bytes(spoiled))]

    return flipped


def replace(data: bytes) -> Trick:
    """Send something else."""
    return lambda _frames: [(0, data)]


def lie(change: Callable[[Any], Any], kind: int | None = None) -> Trick:
    """Send a well-formed frame with another message, and of another `kind` if one is given."""

    def lied(frames: list[bytes]) -> list[tuple[float, bytes]]:
        _, _, was, sequence, _ = protocol.HEADER.unpack_from(frames[0])
        message = change(msgspec.msgpack.decode(frames[0][protocol.HEADER.size :]))
        body = msgspec.msgpack.encode(message)
        new = protocol.HEADER.pack(
            protocol.MAGIC, protocol.VERSION, kind or was, sequence, len(body)
        )
        return [(0, new + body)]

    return lied
