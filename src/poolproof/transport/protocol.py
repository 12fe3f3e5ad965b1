"""The bytes between a pool and a worker: frames, their bounds, and what is refused. See docs/protocol.md.

Nothing here does input or output, and nothing that a peer sends raises anything but `FrameError`.
"""

import struct
from collections.abc import Callable, Iterator, Sequence
from typing import Annotated, Any, Final, TypeVar

import msgspec

from poolproof.errors import FrameError, NotCarriedError
from poolproof.transport.base import WireError

MAGIC: Final = b"pf"
VERSION: Final = 1
HEADER: Final = struct.Struct(">2sBBII")  # magic, version, kind, sequence, bytes of the body
SLACK_BYTES: Final = 1 << 18
"""How much longer a frame may be than the longest payload."""
SEQUENCES: Final = 1 << 32

# To the worker.
HELLO, ASSIGN, REQUESTS, CANCEL, PING, TERMINATE, EACH = range(1, 8)
# From the worker.
READY, FAILED, REPLIES, PONG, BYE = range(17, 22)
# Either way: the last word before the connection is closed.
VIOLATION: Final = 32

TO_WORKER: Final = frozenset({HELLO, ASSIGN, REQUESTS, CANCEL, PING, TERMINATE, EACH, VIOLATION})
FROM_WORKER: Final = frozenset({READY, FAILED, REPLIES, PONG, BYE, VIOLATION})

MOST_ID: Final = (1 << 63) - 1
Id = Annotated[int, msgspec.Meta(ge=1, le=MOST_ID)]
Count = Annotated[int, msgspec.Meta(ge=0, le=MOST_ID)]
MESSAGES: Final[dict[int, Any]] = {
    HELLO: tuple[Id, bytes | None],  # the longest payload in bytes, how to make the worker
    ASSIGN: tuple[Count, Count],  # number, epoch
    REQUESTS: list[tuple[Id, Any, Count, Count, Count, str | None]],
    CANCEL: list[Id],
    PING: tuple[Count],
    TERMINATE: tuple[float],  # grace in seconds
    EACH: tuple[Id, list[Any], Count, Count, Count, str | None],  # a request for each of a list
    READY: tuple[Count, bool],  # pid, whether it marks what it begins in shared memory
    FAILED: WireError,
    REPLIES: tuple[Count, Count, list[tuple[Id, bool, Any]]],  # epoch, busy nanoseconds, replies
    PONG: tuple[Count, str | None],  # what its own ping said was wrong
    BYE: tuple[str | None],  # what went wrong in its own terminate
    VIOLATION: tuple[str],
}
NAMES: Final = {
    value: name
    for name, value in list(globals().items())
    if type(value) is int and value in MESSAGES
}
_decoders: Final = {kind: msgspec.msgpack.Decoder(type=shape) for kind, shape in MESSAGES.items()}
_KEEP_BYTES: Final = 1 << 20
GOOD_BYTES: Final = 1 << 17
MOST_ITEMS: Final = 1024

T = TypeVar("T")

_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder()
_EXACT: Final = frozenset({bytes, float, bool, type(None)})
SHORT: Final = frozenset({int, float, bool, type(None)})
_SHORT_BYTES: Final = 9


def carried(value: Any, most_bytes: int) -> Any:
    """Return `value` as the other end of a wire has it: a tuple becomes a list, and nothing is shared.

    Raises:
        NotCarriedError: no wire can carry it, or it is longer than `most_bytes` once encoded.
    """
    kind = type(value)  # pyright: ignore[reportUnknownVariableType]
    if kind is bytes or (kind is str and value.isascii()):
        if len(value) + 5 <= most_bytes:
            return value
    elif kind in _EXACT or (kind is int and -(1 << 63) <= value < 1 << 63):
        return value
    encoded = encoded_value(value, most_bytes)
    try:
        return _decoder.decode(encoded)
    except (msgspec.DecodeError, RecursionError, ValueError) as error:
        raise _not_carried(value, error) from error


def length(value: Any) -> int:
    """Return about how many bytes `value` has as msgpack, at most; 0 for what has none."""
    if type(value) in SHORT:
        return _SHORT_BYTES
    if type(value) is bytes:
        return len(value) + 5
    try:
        return len(_encoder.encode(value))
    except (TypeError, ValueError, OverflowError, RecursionError):
        return 0


def encoded_value(value: Any, most_bytes: int) -> bytes:
    """Return `value` as msgpack.

    Raises:
        NotCarriedError: it has none, or too long a one.
    """
    try:
        encoded = _encoder.encode(value)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise _not_carried(value, error) from error
    if len(encoded) > most_bytes:
        raise NotCarriedError(
            f"expected at most {most_bytes} bytes in one request or reply, got {len(encoded)};"
            " send less at a time, or raise most_payload_bytes",
            may_have_happened=False,
        )
    return encoded


def _not_carried(value: Any, why: Exception) -> NotCarriedError:
    return NotCarriedError(
        f"expected what msgpack carries (None, bool, int of 64 bits, float, str, bytes, lists, maps),"
        f" got {type(value).__qualname__}: {why}; convert it first",
        may_have_happened=False,
    )


class Sender:
    """Makes the frames of one direction of one connection.

    Attributes:
        sequence: of the next frame.
        room: how many items the next frame should hold, by the length of those before: a long frame
            is copied more often, and nothing of it is done before all of it has come.

    Args:
        most_bytes: the longest payload or value, encoded.
    """

    __slots__ = ("_buffer", "most_bytes", "room", "sequence")

    def __init__(self, most_bytes: int) -> None:
        self.most_bytes = most_bytes
        self.room = MOST_ITEMS
        self.sequence = 0
        self._buffer = bytearray(HEADER.size)

    def frame(self, kind: int, message: Any) -> bytearray:
        """Return one frame; it is valid until the next one is made.

        Raises:
            TypeError, ValueError, OverflowError, RecursionError: msgpack cannot carry the message.
        """
        buffer = self._buffer
        _encoder.encode_into(message, buffer, HEADER.size)
        length = len(buffer) - HEADER.size
        HEADER.pack_into(buffer, 0, MAGIC, VERSION, kind, self.sequence, length)
        if length > _KEEP_BYTES:
            self._buffer = bytearray(HEADER.size)
        return buffer

    def sent(self) -> None:
        """Count the frame that was made last: it goes out."""
        self.sequence = (self.sequence + 1) % SEQUENCES

    def fits(self, frame: bytearray) -> bool:
        """Tell whether nothing in a frame can be longer than the longest payload."""
        return len(frame) - HEADER.size <= self.most_bytes


class Receiver:
    """Cuts a stream of bytes into frames, and refuses what is none.

    Attributes:
        duplicates: how many frames came a second time, and were dropped.

    Args:
        accepts: the kinds of frame that may come this way.
        most_bytes: the longest payload or value, encoded.
    """

    __slots__ = ("_accepts", "_held", "_most", "_need", "_sequence", "duplicates")

    def __init__(self, accepts: frozenset[int], most_bytes: int) -> None:
        self._accepts = accepts
        self._held = bytearray()
        self._need = HEADER.size
        self._sequence = 0
        self.duplicates = 0
        self.allow(most_bytes)

    def allow(self, most_bytes: int) -> None:
        """Set the longest payload or value that may come."""
        self._most = most_bytes + SLACK_BYTES

    @property
    def torn(self) -> bool:
        """Whether the stream stopped within a frame."""
        return bool(self._held)

    def feed(self, data: bytes | memoryview) -> Iterator[tuple[int, Any]]:
        """Yield (kind, message) of each whole frame; keep what is left for the next call.

        Raises:
            FrameError: a frame is foreign, oversized, out of order, of an unknown kind or malformed.
                The connection cannot be used any more.
        """
        if self._held:
            self._held += data
            if len(self._held) < self._need:
                return
            data, self._held = memoryview(self._held), bytearray()
        at, view = 0, memoryview(data)
        while len(view) - at >= HEADER.size:
            kind, body_bytes = self._header(view, at)
            end = at + HEADER.size + body_bytes
            if end > len(view):
                break
            if self._in_turn(view, at):
                yield kind, decoded(kind, view[at + HEADER.size : end])
            at = end
        self._hold(view[at:])

    def _hold(self, rest: memoryview) -> None:
        self._held += rest
        self._need = HEADER.size
        if len(rest) >= HEADER.size:
            self._need += self._header(rest, 0)[1]

    def _header(self, view: memoryview, at: int) -> tuple[int, int]:
        magic, version, kind, _sequence, length = HEADER.unpack_from(view, at)
        if magic != MAGIC:
            raise FrameError(f"expected a frame, which begins with {MAGIC!r}, got {magic!r}")
        if version != VERSION:
            raise FrameError(f"expected version {VERSION} of the protocol, got {version}")
        if kind not in self._accepts:
            raise FrameError(f"expected a kind of frame that may come this way, got {kind}")
        if length > self._most:
            raise FrameError(f"expected a frame of at most {self._most} bytes, got one of {length}")
        return kind, length

    def _in_turn(self, view: memoryview, at: int) -> bool:
        """Tell whether this is the next frame; False for one that was here before."""
        sequence = HEADER.unpack_from(view, at)[3]
        if sequence == self._sequence:
            self._sequence = (sequence + 1) % SEQUENCES
            return True
        if (self._sequence - sequence) % SEQUENCES < SEQUENCES // 2:
            self.duplicates += 1
            return False
        raise FrameError(f"expected frame {self._sequence}, got {sequence}: some are missing")


def decoded(kind: int, body: bytes | memoryview) -> Any:
    """Return the message in the body of a frame.

    Raises:
        FrameError: it is no such message.
    """
    try:
        return _decoders[kind].decode(body)
    except Exception as error:
        raise FrameError(
            f"expected a {NAMES[kind]} message, got {len(body)} bytes: {error}"
        ) from error


def wire_error(value: Any) -> WireError:
    """Return the error that a reply or a FAILED frame holds.

    Raises:
        FrameError: it holds none.
    """
    try:
        return msgspec.convert(value, WireError)
    except Exception as error:
        raise FrameError(f"expected an error of six fields, got {value!r:.200}: {error}") from error


def batches(
    sender: Sender,
    items: Sequence[T],
    enveloped: Callable[[Sequence[T]], tuple[int, Any]],
    payload: Callable[[T], Any],
    refuse: Callable[[T, NotCarriedError], None],
) -> Iterator[tuple[Sequence[T], bytearray]]:
    """Yield (items, frame) until every item is in a frame, or refused.

    Args:
        sender: makes the frames; the caller writes each one before it asks for the next.
        items: requests or replies, at least one.
        enveloped: returns the kind and the message of a frame that holds these items.
        payload: returns what in an item may be what no wire carries.
        refuse: told each such item.
    """
    rest = items
    while rest:
        some, rest = (rest, ()) if len(rest) <= sender.room else _cut(rest, sender.room)
        yield from _halved(sender, some, enveloped, payload, refuse)


def _cut(items: Sequence[T], at: int) -> tuple[Sequence[T], Sequence[T]]:
    return items[:at], items[at:]


def _halved(
    sender: Sender,
    items: Sequence[T],
    enveloped: Callable[[Sequence[T]], tuple[int, Any]],
    payload: Callable[[T], Any],
    refuse: Callable[[T, NotCarriedError], None],
) -> Iterator[tuple[Sequence[T], bytearray]]:
    """The same, in one frame if it can be, else in halves."""
    frame, problem = _tried(sender, *enveloped(items))
    if frame is not None and (sender.fits(frame) or _long_for_its_envelope(items, payload, sender)):
        sender.sent()
        sender.room = max(1, min(MOST_ITEMS, GOOD_BYTES * len(items) // len(frame)))
        yield items, frame
    elif len(items) == 1:
        try:
            encoded_value(payload(items[0]), sender.most_bytes)
        except NotCarriedError as error:
            refuse(items[0], error)
        else:
            refuse(items[0], _not_carried(items[0], problem or ValueError("too long")))
    else:
        for half in _cut(items, len(items) // 2):
            yield from _halved(sender, half, enveloped, payload, refuse)


def _tried(
    sender: Sender, kind: int, message: Any
) -> tuple[bytearray, None] | tuple[None, Exception]:
    try:
        return sender.frame(kind, message), None
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        return None, error


def _long_for_its_envelope(items: Sequence[T], payload: Callable[[T], Any], sender: Sender) -> bool:
    """Tell whether a frame of one item is longer than the longest payload only by what is around it."""
    if len(items) > 1:
        return False
    try:
        return bool(encoded_value(payload(items[0]), sender.most_bytes))
    except NotCarriedError:
        return False
