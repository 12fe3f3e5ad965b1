"""The bytes between a pool and a worker: frames, their bounds, and what is refused. See docs/protocol.md.

Nothing here does input or output, and nothing that a peer sends raises anything but `ViolationError`.
"""

import struct
from typing import Any, Final

import msgspec

from poolproof.errors import NotCarriedError

MAGIC: Final = b"pf"
VERSION: Final = 1
HEADER: Final = struct.Struct(">2sBBII")  # magic, version, kind, sequence, bytes of the body
SLACK_BYTES: Final = 1 << 18
"""How much longer a frame may be than the longest payload."""
SEQUENCES: Final = 1 << 32

# To the worker.
HELLO, ASSIGN, REQUESTS, CANCEL, PING, TERMINATE = range(1, 7)
# From the worker.
READY, FAILED, REPLIES, PONG, BYE = range(17, 22)
# Either way: the last word before the connection is closed.
VIOLATION: Final = 32

TO_WORKER: Final = frozenset({HELLO, ASSIGN, REQUESTS, CANCEL, PING, TERMINATE, VIOLATION})
FROM_WORKER: Final = frozenset({READY, FAILED, REPLIES, PONG, BYE, VIOLATION})

_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder()
_EXACT: Final = frozenset({bytes, float, bool, type(None)})


def carried(value: Any, most_bytes: int) -> Any:
    """Return `value` as the other end of a wire has it: a tuple becomes a list, and nothing is shared.

    Raises:
        NotCarriedError: no wire can carry it, or it is longer than `most_bytes` once encoded.
    """
    kind: type = type(value)
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
