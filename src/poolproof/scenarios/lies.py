"""What a byzantine worker says: well-formed frames of our protocol that are not true."""

import msgspec

from poolproof.transport import protocol


def stale(frame: bytes) -> bytes:
    """Return a frame of replies as if they were an earlier worker's; any other frame as it is."""
    magic, version, kind, sequence, _ = protocol.HEADER.unpack_from(frame)
    if kind != protocol.REPLIES:
        return frame
    epoch, busy_ns, replies = msgspec.msgpack.decode(frame[protocol.HEADER.size :])
    body = msgspec.msgpack.encode((max(0, epoch - 1), busy_ns, replies))
    return protocol.HEADER.pack(magic, version, kind, sequence, len(body)) + body
