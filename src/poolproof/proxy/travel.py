"""How bytes travel in one direction: when each piece arrives, and into which pieces it is cut. Decides only."""

import random
from dataclasses import dataclass

from poolproof.errors import UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class Travel:
    """How what is sent in one direction travels; nothing overtakes, and nothing is lost.

    Attributes:
        latency: seconds that each piece takes.
        jitter: at most so many seconds more, drawn for each piece.
        bandwidth: bytes per second; None is without bound.
        slice_bytes: a read is handed on in pieces of one to so many bytes; None hands it on as it came.
        limit_bytes: after so many bytes the connection is closed; None is never.

    Raises:
        UsageError: a value cannot be.
    """

    latency: float = 0.0
    jitter: float = 0.0
    bandwidth: float | None = None
    slice_bytes: int | None = None
    limit_bytes: int | None = None

    def __post_init__(self) -> None:
        if self.latency < 0 or self.jitter < 0:
            raise UsageError(
                f"expected seconds from 0 on, got latency {self.latency:g} and jitter {self.jitter:g}"
            )
        bounds = (self.bandwidth, self.slice_bytes, self.limit_bytes)
        if any(bound is not None and bound <= 0 for bound in bounds):
            raise UsageError(
                f"expected bandwidth, slice_bytes and limit_bytes above 0, got {bounds}"
            )


AT_ONCE = Travel()


class Course:
    """What has travelled in one direction so far, which decides when the next piece can arrive."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._sent = 0.0
        self._arrived = 0.0

    def arrival(self, travel: Travel, now: float, length: int) -> float:
        """Return when a piece that is sent now arrives: after all that was sent before it."""
        self._sent = max(now, self._sent)
        if travel.bandwidth is not None:
            self._sent += length / travel.bandwidth
        late = travel.latency
        if travel.jitter:
            late += self._rng.uniform(0, travel.jitter)
        self._arrived = max(self._arrived, self._sent + late)
        return self._arrived

    def hurry(self) -> None:
        """Forget what is late."""
        self._sent = self._arrived = 0.0

    def slices(self, travel: Travel, data: bytes) -> list[bytes]:
        """Return `data` in the pieces in which it is handed on."""
        if travel.slice_bytes is None:
            return [data]
        pieces: list[bytes] = []
        at = 0
        while at < len(data):
            step = self._rng.randint(1, travel.slice_bytes)
            pieces.append(data[at : at + step])
            at += step
        return pieces
