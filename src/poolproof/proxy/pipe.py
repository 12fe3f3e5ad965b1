"""One direction of one connection: read, spoiled, delayed and written, with what is under way bounded."""

import asyncio
import random
from collections import deque
from collections.abc import Callable
from typing import Final

from poolproof.proxy.framing import Cutter
from poolproof.proxy.receipts import Done
from poolproof.proxy.side import Side
from poolproof.proxy.spoiling import UNSPOILED, Spoiler, Spoiling
from poolproof.proxy.travel import AT_ONCE, Course, Travel

WINDOW_BYTES: Final = 1 << 18
"""How much may be under way in one direction: what is beyond it is not read, and so its sender feels it."""
FRAME_BYTES: Final = 1 << 24
"""The longest frame that is kept until it is whole, to be spoiled; of a longer one, the rest passes as it is."""
LATE_SECONDS: Final = 0.1
"""When a frame that no other one overtakes goes on."""

Tell = Callable[[Done], None]


class _LimitReached(Exception):  # noqa: N818 - no error: what was asked for
    """The connection has carried what it may."""


class Pipe:
    """Carries what `source` says to `sink`.

    Attributes:
        travel: how it travels.
        spoiling: what is done to its frames.
        swallowing: whether what comes is thrown away.
        read_bytes, written_bytes: what has come, and what has gone.
        torn: whether bytes were thrown away outside of frames: the stream cannot be whole again.
        limited: whether it has carried all that it may.
    """

    def __init__(
        self, source: Side, sink: Side, *, cutter: Cutter, rng: random.Random, tell: Tell
    ) -> None:
        self.travel: Travel = AT_ONCE
        self.spoiling: Spoiling = UNSPOILED
        self.swallowing = False
        self.torn = self.limited = False
        self.read_bytes = self.written_bytes = 0
        self.cut_off: Callable[[], None] = lambda: None
        self._source, self._sink, self._cutter, self._tell = source, sink, cutter, tell
        self._course, self._spoiler = Course(rng), Spoiler(rng)
        self._loop = asyncio.get_running_loop()
        self._queue: deque[tuple[float, bytes | None]] = deque()
        self._queued_bytes = 0
        self._frame = bytearray()
        self._within = False
        self._late: asyncio.TimerHandle | None = None
        self._some, self._room, self._open = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._hurried = asyncio.Event()
        self._room.set()
        self._open.set()

    @property
    def held(self) -> bool:
        """Whether nothing goes on."""
        return not self._open.is_set()

    @property
    def waiting_bytes(self) -> int:
        """How much has been read and not written yet."""
        return self._queued_bytes + len(self._frame) + len(self._spoiler.kept or b"")

    def hold(self) -> None:
        """Keep back what comes; beyond the window it is not even read."""
        if not self.held:
            self._open.clear()
            self._tell(Done("held", self.written_bytes, 0, ""))

    def release(self) -> None:
        """Let go on, in order, what was held."""
        if self.held:
            self._tell(Done("released", self.written_bytes, self.waiting_bytes, ""))
            self._open.set()

    def heal(self) -> None:
        """Carry everything as it comes, what is under way first, and at once."""
        self.travel, self.spoiling, self.swallowing = AT_ONCE, UNSPOILED, False
        self._send_late()
        self._give_up_frame()
        self._course.hurry()
        self._hurried.set()
        self.release()

    async def run(self) -> None:
        """Carry until the end of what comes.

        Raises:
            OSError: one of the two ends broke.
            _LimitReached: it has carried what it may.
        """
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._read())
            tasks.create_task(self._write())

    def end(self) -> None:
        """Tell the receiver that nothing more comes, whatever its sender says."""
        self.swallowing = self.torn = True
        self._tell(Done("ended", self.written_bytes, self.waiting_bytes, ""))
        self._queue.clear()
        self._queue.append((0.0, None))
        self._some.set()
        self._open.set()

    async def _read(self) -> None:
        while data := await self._source.read():
            start, self.read_bytes = self.read_bytes, self.read_bytes + len(data)
            if self.swallowing:
                self.torn = True
                self._tell(Done("swallowed", start, len(data), ""))
                continue
            for piece, ends in self._cutter.cut(data):
                self._take(piece, start, ends=ends)
                start += len(piece)
            await self._room.wait()
        self._send_late()
        self._give_up_frame()
        self._queue.append((0.0, None))
        self._some.set()

    def _take(self, piece: bytes, start: int, *, ends: bool) -> None:
        """Send a piece on; keep it until its frame is whole, if that may be spoiled."""
        whole = bool(self._frame) or (self.spoiling.spoils and not self._within)
        self._within = not ends
        if not whole:
            self._send(piece)
            return
        self._frame += piece
        if ends:
            frame, self._frame = bytes(self._frame), bytearray()
            self._spoil(frame, start + len(piece) - len(frame))
        elif len(self._frame) > FRAME_BYTES:
            self._give_up_frame()

    def _spoil(self, frame: bytes, start: int) -> None:
        done, instead = self._spoiler.take(self.spoiling, frame)
        for one in instead:
            self._send(one)
        if done is not None:
            self._tell(Done(done, start, len(frame), self._cutter.foreign or ""))
        if done == "reorder":
            self._late = self._loop.call_later(LATE_SECONDS, self._send_late)
        elif done == "cut":
            self._send(b"")

    def _send_late(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None
        for frame in self._spoiler.late():
            self._send(frame)

    def _give_up_frame(self) -> None:
        """Send on what is there of a frame: the rest passes as it comes."""
        if self._frame:
            self._send(bytes(self._frame))
            self._frame = bytearray()

    def _send(self, data: bytes) -> None:
        """Put it under way; nothing at all is the mark at which the connection is cut off."""
        pieces = self._course.slices(self.travel, data) if data else [data]
        if len(pieces) > 1:
            self._tell(Done("sliced", self.written_bytes, len(data), f"into {len(pieces)} pieces"))
        for piece in pieces:
            self._queue.append((self._due(len(piece)), piece))
            self._queued_bytes += len(piece)
        self._some.set()
        if self._queued_bytes > WINDOW_BYTES:
            self._room.clear()

    def _due(self, length: int) -> float:
        if self.travel is AT_ONCE:
            return 0.0
        now = self._loop.time()
        due = self._course.arrival(self.travel, now, length)
        if due > now:
            self._tell(Done("delayed", self.written_bytes, length, f"by {due - now:.6f} s"))
        return due

    async def _write(self) -> None:
        while True:
            await self._some.wait()
            due, data = self._queue[0]
            await self._open.wait()
            await self._until(due)
            if self.held:
                continue
            self._queue.popleft()
            if not self._queue:
                self._some.clear()
            if data is None:
                break
            await self._hand_on(data)
        self._sink.end()

    async def _until(self, due: float) -> None:
        left = due - self._loop.time()
        if left > 0 and not self._hurried.is_set():
            try:
                async with asyncio.timeout(left):
                    await self._hurried.wait()
            except TimeoutError:
                return

    async def _hand_on(self, data: bytes) -> None:
        if not data:
            self.cut_off()
            return
        limit = self.travel.limit_bytes
        if limit is not None and self.written_bytes + len(data) >= limit:
            data = data[: max(0, limit - self.written_bytes)]
            self._tell(Done("limited", self.written_bytes, len(data), ""))
        await self._sink.write(data)
        self.written_bytes += len(data)
        if limit is not None and self.written_bytes >= limit:
            self.limited = True
            raise _LimitReached
        self._queued_bytes -= len(data)
        if self._queued_bytes <= WINDOW_BYTES:
            self._room.set()

    def shape(self, travel: Travel) -> None:
        """Let what comes from here on travel so."""
        self.travel = AT_ONCE if travel == AT_ONCE else travel
        self._hurried.clear()
