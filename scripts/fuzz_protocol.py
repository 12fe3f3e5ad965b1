"""Fuzzes the protocol's decoder by atheris, guided by coverage: `fuzz_protocol.py -max_total_time=600`.

Needs atheris (`pip install atheris`), which is no dependency. A crash, a hang of ten seconds or more
than a gibibyte of memory ends it with the input that did it. The same, smaller and without
guidance, is in tests/unit/transport/test_protocol.py.
"""

import sys
from typing import Any

import atheris  # type: ignore[import-not-found,import-untyped,unused-ignore]

with atheris.instrument_imports():
    from poolproof.errors import FrameError
    from poolproof.transport import protocol
    from poolproof.transport.actor import Actor
    from poolproof.transport.service import Service

MOST_BYTES = 1 << 16
KINDS = sorted(protocol.MESSAGES)


class Box:
    """Takes requests and does nothing with them."""

    epoch = 0

    def put(self, requests: Any) -> None:
        """Check what is promised of a request."""
        assert all(len(request) == 6 and request[0] > 0 for request in requests)  # noqa: PLR2004

    def ask(self, _method: Any, done: Any) -> None:
        """Answer at once."""
        done(None)

    def cancel(self, request_id: int) -> None:
        """Check what is promised of an id."""
        assert request_id > 0

    def close(self) -> None:
        """Do nothing."""


def frames(data: bytes) -> bytes:
    """Return a stream of frames with sound headers around the fuzzed bodies; some are left unsound."""
    provider = atheris.FuzzedDataProvider(data)
    stream = b""
    for sequence in range(provider.ConsumeIntInRange(0, 5)):
        kind = provider.PickValueInList(KINDS)
        body = provider.ConsumeBytes(provider.ConsumeIntInRange(0, 400))
        head = protocol.HEADER.pack(
            protocol.MAGIC, protocol.VERSION, kind, sequence, len(body) + provider.ConsumeBool()
        )
        stream += head + body
    return bytes(stream + provider.ConsumeBytes(100))


def receive(data: bytes) -> None:
    """Read a stream as a link does: in two pieces, and what it holds is what the page says."""
    receiver = protocol.Receiver(protocol.FROM_WORKER, MOST_BYTES)
    try:
        for piece in (data[: len(data) // 2], data[len(data) // 2 :]):
            for kind, message in receiver.feed(piece):
                if kind == protocol.REPLIES:
                    for _, ok, value in message[2]:
                        if not ok:
                            protocol.wire_error(value)
    except FrameError:
        pass


def serve(data: bytes) -> None:
    """Read a stream as a worker does."""
    left: list[int] = []
    service = Service(write=lambda _frame: None, hello=lambda _spec: None, leave=left.append)
    service.received(_HELLO)
    service.ready(Actor(handle=print), Box(), 1, marks=False)
    service.received(data)


_HELLO = bytes(
    protocol.HEADER.pack(protocol.MAGIC, protocol.VERSION, protocol.HELLO, 0, 5)
    + b"\x92\xcd\xff\xff\xc0"
)


def one(data: bytes) -> None:
    """Try one input."""
    for stream in (data, frames(data)):
        receive(stream)
        serve(stream)


if __name__ == "__main__":
    atheris.Setup(["fuzz_protocol", "-rss_limit_mb=1024", "-timeout=10", *sys.argv[1:]], one)
    atheris.Fuzz()
