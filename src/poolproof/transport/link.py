"""What all links share: which requests have no reply yet, and that everything is told once and in order."""

import asyncio
from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Final, Self

from poolproof.errors import HealthCheckFailedError
from poolproof.transport.base import End, EndKind, Reply, Request, WorkerEvents, WorkerLink

_id_of: Final = itemgetter(0)


class Link(WorkerLink):
    """One worker from outside; a layer adds how it is reached.

    Attributes:
        dropped: how many frames or replies were thrown away: nobody waited for them.
        busy_ns: for how long the worker says it was busy with the requests that it has answered.
    """

    def __init__(self, number: int, epoch: int) -> None:
        self.number, self.epoch = number, epoch
        self.pid: int | None = None
        self.dropped = 0
        self.busy_ns = 0
        self._events: WorkerEvents = _Nobody()
        self._loop = asyncio.get_running_loop()
        self._shares: dict[int, int] = {}  # by id: its share of the bytes of its frame
        self._bytes = 0
        self._refused: list[Reply] = []
        self._pongs: dict[int, asyncio.Future[str | None]] = {}
        self._pings = 0
        self._leaving = False
        self._end: asyncio.Future[End] = self._loop.create_future()

    @property
    def in_flight_bytes(self) -> int:
        """About how many bytes of requests have no reply yet; 0 where there are no bytes."""
        return self._bytes

    @property
    def ended(self) -> bool:
        """Whether its end has been told."""
        return self._end.done()

    def adopt(self, events: WorkerEvents) -> None:
        """Tell `events` what happens from here on; the last step of a start, so that none comes before."""
        self._events = events

    def when_ended(self, tell: Callable[[Self], object]) -> None:
        """Have `tell` called with this link, in a later turn than the one in which its pool is told."""
        self._end.add_done_callback(lambda _end: tell(self))

    async def ping(self, timeout: float) -> None:  # noqa: ASYNC109 - as in the seam
        """See `WorkerLink.ping`."""
        self._pings += 1
        nonce, pong = self._pings, self._loop.create_future()
        if self.ended:
            raise HealthCheckFailedError(f"expected a living worker, got {self._end.result().kind}")
        self._pongs[nonce] = pong
        self._ask_ping(nonce)
        try:
            async with asyncio.timeout(timeout):
                problem = await pong
        except TimeoutError:
            problem = f"nothing within {timeout:g} s"
        finally:
            del self._pongs[nonce]
        if problem is not None:
            raise HealthCheckFailedError(
                f"expected worker {self.number} to find itself healthy, got: {problem}"
            )

    async def terminate(self, grace: float) -> End:
        """See `WorkerLink.terminate`."""
        if not self.ended and not self._leaving:
            self._leaving = True
            self._ask_leave()
        try:
            async with asyncio.timeout(grace):
                return await asyncio.shield(self._end)
        except TimeoutError:
            self.kill()
        return await asyncio.shield(self._end)

    def _ask_ping(self, nonce: int) -> None:
        raise NotImplementedError

    def _ask_leave(self) -> None:
        raise NotImplementedError

    def _ponged(self, nonce: int, problem: str | None) -> None:
        pong = self._pongs.get(nonce)
        if pong is None or pong.done():
            self._drop("stale pong", f"nobody waits for ping {nonce}")
        else:
            pong.set_result(problem)

    def _sent(self, requests: Sequence[Request], frame_bytes: int = 0) -> None:
        """Note requests as sent, together in a frame of that length."""
        share = frame_bytes // len(requests)
        self._shares.update(dict.fromkeys(map(_id_of, requests), share))
        self._bytes += share * len(requests)

    def _answered(self, replies: list[Reply]) -> None:
        """Hand on the replies that somebody waits for, each id once."""
        known: list[Reply] = []
        for reply in replies:
            if (share := self._shares.pop(reply[0], None)) is not None:
                self._bytes -= share
                known.append(reply)
        if len(known) < len(replies):
            self._drop("stale reply", f"{len(replies) - len(known)} that nobody waits for")
        if known:
            self._events.replied(self, known)

    def _drop(self, what: str, detail: str) -> None:
        self.dropped += 1
        self._events.noted(self, what, detail)

    def _refuse(self, reply: Reply) -> None:
        """Answer a request that never leaves; in a later turn, as every reply."""
        if not self._refused:
            self._loop.call_soon(self._tell_refused)
        self._refused.append(reply)

    def _tell_refused(self) -> None:
        replies, self._refused = self._refused, []
        if replies and not self.ended:
            self._events.replied(self, replies)

    def _finish(self, kind: EndKind, detail: str, status: int | None = None) -> None:
        """Tell the end, once; what was left without a reply goes with it."""
        if self.ended:
            return
        self._tell_refused()
        started = self.started()
        begun = tuple(i for i in self._shares if i <= started)
        untouched = tuple(i for i in self._shares if i > started)
        self._shares.clear()
        self._bytes = 0
        end = End(kind=kind, detail=detail, status=status, begun=begun, untouched=untouched)
        for pong in self._pongs.values():
            if not pong.done():
                pong.set_result(f"its end: {detail}")
        self._end.set_result(end)
        self._events.ended(self, end)


def farewell(problem: str | None) -> str:
    """Return the detail of an end as asked, with what went wrong in the worker's own `terminate`."""
    return "left as asked" if problem is None else f"left as asked, but in its terminate {problem}"


class _Nobody(WorkerEvents):
    """Hears of a worker that no pool has yet."""

    def replied(self, link: WorkerLink, replies: Sequence[Reply]) -> None:
        """Drop them."""

    def ended(self, link: WorkerLink, end: End) -> None:
        """Leave it to who waits for the start."""

    def noted(self, link: WorkerLink, what: str, detail: str) -> None:
        """Drop it."""
