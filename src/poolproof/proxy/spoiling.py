"""What is done to whole frames: which, by a seed; dropped, doubled, reordered, corrupted, rewritten. Decides only."""

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, fields

from poolproof.errors import UsageError

Rewrite = Callable[[bytes], bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Spoiling:
    """Which share of the frames of one direction is spoiled, and how; at most one thing is done to each.

    Attributes:
        drop: it is not handed on: of requests, a request lost; of replies, a reply lost.
        duplicate: it is handed on twice.
        reorder: it is handed on after the next one.
        corrupt: one of its bits is flipped.
        rewrite: it is replaced by what `instead` makes of it.
        cut: it is handed on, and the connection is reset towards the other side: of requests, the
            caller cannot know whether it was done, and what it tries again is in flight twice.
        instead: see `rewrite`.
        most: how many frames are spoiled at most on one connection; None is without bound.
        after: how many frames pass first on each connection.

    Raises:
        UsageError: a share is outside 0 to 1, all of them together are more than 1, or `rewrite` comes
            without `instead`.
    """

    drop: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0
    corrupt: float = 0.0
    rewrite: float = 0.0
    cut: float = 0.0
    instead: Rewrite | None = None
    most: int | None = None
    after: int = 0

    def __post_init__(self) -> None:
        shares = self.shares
        if any(not 0 <= share <= 1 for share in shares.values()) or sum(shares.values()) > 1:
            raise UsageError(f"expected shares from 0 to 1, together at most 1, got {shares}")
        if self.rewrite and self.instead is None:
            raise UsageError(
                "expected `instead`, what makes the frame that a rewritten one is replaced by, got none"
            )

    @property
    def shares(self) -> dict[str, float]:
        """The share of each way of spoiling."""
        return {field.name: getattr(self, field.name) for field in fields(self)[:6]}

    @property
    def spoils(self) -> bool:
        """Whether it does anything: where not, nothing is drawn, and no frame is kept until it is whole."""
        return any(self.shares.values()) and self.most != 0


UNSPOILED = Spoiling()


class Spoiler:
    """Spoils the frames of one direction of one connection.

    Attributes:
        counts: how often what was done.
        kept: the frame that waits for the next one to overtake it; None if there is none.
    """

    def __init__(self, rng: random.Random) -> None:
        self.counts: Counter[str] = Counter()
        self.kept: bytes | None = None
        self._rng = rng
        self._seen = 0

    def take(self, spoiling: Spoiling, frame: bytes) -> tuple[str | None, list[bytes]]:
        """Return what is done to a whole frame, and what is handed on instead."""
        self._seen += 1
        done = self._drawn(spoiling) if self._may(spoiling) else None
        if done == "reorder" and self.kept is not None:
            done = None
        if done is not None:
            self.counts[done] += 1
        return done, self._instead(done, spoiling, frame)

    def late(self) -> list[bytes]:
        """Return what was kept; nothing is kept any more."""
        kept, self.kept = self.kept, None
        return [] if kept is None else [kept]

    def _may(self, spoiling: Spoiling) -> bool:
        if self._seen <= spoiling.after:
            return False
        return spoiling.most is None or self.counts.total() < spoiling.most

    def _drawn(self, spoiling: Spoiling) -> str | None:
        at = self._rng.random()
        for name, share in spoiling.shares.items():
            if at < share:
                return name
            at -= share
        return None

    def _instead(self, done: str | None, spoiling: Spoiling, frame: bytes) -> list[bytes]:
        if done == "reorder":
            self.kept = frame
            return []
        frames = [frame]
        if done == "drop":
            frames = []
        elif done == "duplicate":
            frames = [frame, frame]
        elif done == "corrupt":
            frames = [_flipped(frame, self._rng)]
        elif done == "rewrite" and spoiling.instead is not None:
            frames = [spoiling.instead(frame)]
        return [*frames, *self.late()]


def _flipped(frame: bytes, rng: random.Random) -> bytes:
    bit = rng.randrange(8 * len(frame))
    spoiled = bytearray(frame)
    spoiled[bit // 8] ^= 1 << bit % 8
    return bytes(spoiled)
