"""Where the frames of a stream end: length-prefixed ones (ours among them), those of Redis, and none at all.

A cutter keeps no byte back: whatever it is given it hands on at once, and only says where a frame ends.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from poolproof.errors import UsageError
from poolproof.transport import protocol

MOST_LINE_BYTES: Final = 1 << 16
"""The longest line of Redis' protocol outside of a bulk string; Redis itself takes 64 KiB of an inline command."""


class Cutter:
    """Cuts one direction of one connection.

    Attributes:
        foreign: what came that is no frame, in words; from there on, each read counts as one frame.
    """

    foreign: str | None = None

    def cut(self, data: bytes) -> Iterator[tuple[bytes, bool]]:
        """Yield pieces that are together `data`, each with whether a frame ends with it."""
        begin = at = 0
        while at < len(data):
            at, ends = (len(data), True) if self.foreign else self._pass(data, at)
            if ends:
                yield data[begin:at], True
                begin = at
        if begin < len(data):
            yield data[begin:], False

    def _pass(self, data: bytes, at: int) -> tuple[int, bool]:
        """Return how far the frame that is under way reaches, and whether it ends there."""
        raise NotImplementedError

    def _strange(self, expected: str, got: bytes, end: int) -> tuple[int, bool]:
        self.foreign = f"expected {expected}, got {got[:32]!r}"
        return end, True


Framing = Callable[[], Cutter]


class Raw(Cutter):
    """No frames: each read counts as one."""

    def _pass(self, data: bytes, at: int) -> tuple[int, bool]:  # noqa: ARG002 - as all cutters
        return len(data), True


@dataclass(frozen=True, slots=True, kw_only=True)
class LengthPrefixed:
    """Frames whose header says how long they are; call it for a cutter.

    Attributes:
        header_bytes: the length of the header.
        at: where in the header the length is.
        width: of the length, in bytes; big-endian.
        counts_bytes: how much of the header the length counts, beside the body.
        magic: what each frame begins with.

    Raises:
        UsageError: the length is not within the header, or the magic is longer than it.
    """

    header_bytes: int
    at: int = 0
    width: int = 4
    counts_bytes: int = 0
    magic: bytes = b""

    def __post_init__(self) -> None:
        if self.at < 0 or self.width < 1 or self.at + self.width > self.header_bytes:
            raise UsageError(
                f"expected the length within {self.header_bytes} bytes of header, got {self.width} bytes at {self.at}"
            )
        if len(self.magic) > self.header_bytes:
            raise UsageError(f"expected a magic within the header, got {self.magic!r}")

    def __call__(self) -> Cutter:
        """Return a cutter of these frames."""
        return _LengthCutter(self)

    def body_bytes(self, header: bytes) -> int:
        """Return how much follows this header; negative if it cannot be one."""
        if not header.startswith(self.magic):
            return -1
        length = int.from_bytes(header[self.at : self.at + self.width], "big")
        return length - self.counts_bytes


class _LengthCutter(Cutter):
    def __init__(self, shape: LengthPrefixed) -> None:
        self._shape = shape
        self._header = b""
        self._left = 0

    def _pass(self, data: bytes, at: int) -> tuple[int, bool]:
        wanted = self._shape.header_bytes
        if len(self._header) < wanted:
            taken = data[at : at + wanted - len(self._header)]
            self._header += taken
            at += len(taken)
            if len(self._header) < wanted:
                return at, False
            self._left = self._shape.body_bytes(self._header)
            if self._left < 0:
                return self._strange("a header", self._header, len(data))
        step = min(self._left, len(data) - at)
        self._left -= step
        if self._left:
            return at + step, False
        self._header = b""
        return at + step, True


class Resp(Cutter):
    """The protocol of Redis, versions 2 and 3: a command or an answer is a frame, whatever it holds."""

    def __init__(self) -> None:
        self._line = b""
        self._skip = 0
        self._values = 1

    def _pass(self, data: bytes, at: int) -> tuple[int, bool]:
        if self._skip:
            step = min(self._skip, len(data) - at)
            self._skip -= step
            return at + step, not self._skip and self._after(1)
        end = data.find(b"\n", at) + 1
        self._line += data[at : end or len(data)]
        if len(self._line) > MOST_LINE_BYTES:
            return self._strange("a line", self._line, len(data))
        if not end:
            return len(data), False
        line, self._line = self._line, b""
        try:
            return end, self._begun(line)
        except ValueError:
            return self._strange("a length", line, len(data))

    def _begun(self, line: bytes) -> bool:
        """Take the line that begins a value, and tell whether the frame ends with it."""
        kind = line[:1]
        if kind in b"$!=":
            length = int(line[1:])
            self._skip = length + 2 if length >= 0 else 0
            return not self._skip and self._after(1)
        if kind in b"*~>%|":
            items = max(0, int(line[1:])) * (2 if kind in b"%|" else 1)
            return self._after((0 if kind == b"|" else 1) - items)
        return self._after(1)

    def _after(self, fewer: int) -> bool:
        self._values -= fewer
        ends = self._values == 0
        if ends:
            self._values = 1
        return ends


OURS: Final = LengthPrefixed(
    header_bytes=protocol.HEADER.size,
    at=protocol.HEADER.size - 4,
    magic=protocol.MAGIC,
)
"""The frames of docs/protocol.md."""

FRAMINGS: Final[dict[str, Framing]] = {"raw": Raw, "ours": OURS, "resp": Resp}
"""Framings by name, for files that describe scenarios."""
