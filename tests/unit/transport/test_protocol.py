"""What is framed comes out as it went in; whatever else comes in has one answer, and costs no more than its bound."""

import itertools
import tracemalloc
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from poolproof.errors import FrameError, NotCarriedError
from poolproof.transport import protocol
from poolproof.transport.base import Request, WireError
from poolproof.transport.protocol import HEADER, MAGIC, VERSION, Receiver, Sender

pytestmark = pytest.mark.unit

MOST = 1 << 16
KINDS = sorted(protocol.MESSAGES)
IDS = st.integers(1, protocol.MOST_ID)
COUNTS = st.integers(0, protocol.MOST_ID)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(1 << 63), (1 << 64) - 1)
    | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=["Cs"]))
    | st.binary()
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text("ab") | IDS, inner, max_size=3)
    ),
    max_leaves=10,
)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
ERRORS = st.builds(
    WireError, st.sampled_from(["raised", "expired"]), TEXTS, TEXTS, TEXTS, TEXTS, st.booleans()
)
MESSAGES = st.one_of(
    st.tuples(st.just(protocol.HELLO), st.tuples(IDS, st.none() | st.binary())),
    st.tuples(st.just(protocol.ASSIGN), st.tuples(COUNTS, COUNTS)),
    st.tuples(
        st.just(protocol.REQUESTS),
        st.lists(st.tuples(IDS, VALUES, COUNTS, COUNTS, COUNTS, st.none() | TEXTS), max_size=4),
    ),
    st.tuples(st.just(protocol.CANCEL), st.lists(IDS, max_size=4)),
    st.tuples(st.just(protocol.PING), st.tuples(COUNTS)),
    st.tuples(st.just(protocol.TERMINATE), st.tuples(st.floats(0, 100))),
    st.tuples(st.just(protocol.READY), st.tuples(COUNTS, st.booleans())),
    st.tuples(st.just(protocol.FAILED), ERRORS),
    st.tuples(
        st.just(protocol.REPLIES),
        st.tuples(COUNTS, COUNTS, st.lists(st.tuples(IDS, st.booleans(), VALUES), max_size=4)),
    ),
    st.tuples(st.just(protocol.PONG), st.tuples(COUNTS, st.none() | TEXTS)),
    st.tuples(st.just(protocol.BYE), st.tuples(st.none() | TEXTS)),
    st.tuples(st.just(protocol.VIOLATION), st.tuples(TEXTS)),
)


def receiver(most_bytes: int = MOST) -> Receiver:
    return Receiver(frozenset(KINDS), most_bytes)


def frames(messages: list[tuple[int, Any]]) -> list[bytes]:
    sender, made = Sender(MOST), []
    for kind, message in messages:
        made.append(bytes(sender.frame(kind, message)))
        sender.sent()
    return made


def cut(data: bytes, cuts: list[int]) -> list[bytes]:
    at = [0, *sorted(c % (len(data) + 1) for c in cuts), len(data)]
    return [data[a:b] for a, b in itertools.pairwise(at)]


def header(kind: int = protocol.PING, sequence: int = 0, length: int = 2, **other: Any) -> bytes:
    return HEADER.pack(
        other.get("magic", MAGIC), other.get("version", VERSION), kind, sequence, length
    )


PING = b"\x91\x01"


@given(st.lists(MESSAGES, max_size=6), st.lists(st.integers(0, 10_000), max_size=6))
def test_what_is_framed_comes_out_however_it_is_cut(
    messages: list[tuple[int, Any]], cuts: list[int]
) -> None:
    incoming = receiver()
    pieces = cut(b"".join(frames(messages)), cuts)

    assert [frame for piece in pieces for frame in incoming.feed(piece)] == messages
    assert not incoming.torn


@given(st.binary(max_size=300), st.lists(st.integers(0, 300), max_size=4))
def test_any_bytes_are_taken_or_refused(data: bytes, cuts: list[int]) -> None:
    incoming = receiver()
    try:
        for piece in cut(data, cuts):
            list(incoming.feed(piece))
    except FrameError:
        return
    assert len(data) < HEADER.size or data.startswith(MAGIC)


@given(st.sampled_from(KINDS), st.binary(max_size=200))
def test_any_body_is_its_message_or_refused(kind: int, body: bytes) -> None:
    try:
        message = protocol.decoded(kind, body)
    except FrameError:
        return
    assert message == msgspec.convert(message, protocol.MESSAGES[kind])


@given(
    st.lists(MESSAGES, min_size=2, max_size=5),
    st.integers(0, 10_000),
    st.integers(1, 255),
)
def test_a_changed_byte_never_brings_down_the_reader(
    messages: list[tuple[int, Any]], at: int, mask: int
) -> None:
    data = bytearray(b"".join(frames(messages)))
    data[at % len(data)] ^= mask
    try:
        found = list(receiver().feed(bytes(data)))
    except FrameError:
        return
    assert all(kind in KINDS for kind, _ in found)


@given(st.lists(MESSAGES, min_size=1, max_size=5), st.data())
def test_repeated_frames_are_dropped(messages: list[tuple[int, Any]], data: st.DataObject) -> None:
    made = frames(messages)
    repeats = [data.draw(st.integers(1, 3)) for _ in made]
    incoming = receiver()
    stream = b"".join(frame * times for frame, times in zip(made, repeats, strict=True))

    assert list(incoming.feed(stream)) == messages
    assert incoming.duplicates == sum(repeats) - len(made)


@given(st.lists(MESSAGES, min_size=2, max_size=5), st.data())
def test_a_missing_frame_is_refused(messages: list[tuple[int, Any]], data: st.DataObject) -> None:
    made = frames(messages)
    missing = data.draw(st.integers(0, len(made) - 2))
    del made[missing]
    incoming = receiver()

    with pytest.raises(FrameError, match="some are missing"):
        list(incoming.feed(b"".join(made)))


@pytest.mark.parametrize(
    ("stream", "problem"),
    [
        (b"GET / HTTP/1.1\r\n", r"^expected a frame, which begins with b'pf', got b'GE'"),
        (header(version=2) + PING, "^expected version 1 of the protocol, got 2"),
        (header(99) + PING, "^expected a kind of frame that may come this way, got 99"),
        (
            header(length=MOST + protocol.SLACK_BYTES + 1),
            "^expected a frame of at most 327680 bytes, got one of 327681",
        ),
        (header(sequence=1) + PING, "^expected frame 0, got 1"),
        (header(length=1) + b"\xc1", "^expected a PING message, got 1 bytes"),
        (header(length=1) + b"\x90", "^expected a PING message, got 1 bytes"),
        (header(length=2) + b"\x91\xff", "^expected a PING message, got 2 bytes"),
        (
            header(protocol.REQUESTS, length=200_000) + b"\x91" * 200_000,
            "^expected a REQUESTS message, got 200000 bytes",
        ),
    ],
)
def test_a_violation_is_named(stream: bytes, problem: str) -> None:
    with pytest.raises(FrameError, match=problem):
        list(receiver().feed(stream))


def test_sequences_begin_anew_after_the_last() -> None:
    sender, incoming = Sender(MOST), receiver()
    sender.sequence = incoming._sequence = protocol.SEQUENCES - 2
    for nonce in range(4):
        frame = bytes(sender.frame(protocol.PING, (nonce,)))
        sender.sent()

        assert list(incoming.feed(frame + frame)) == [(protocol.PING, (nonce,))]
    assert incoming.duplicates == 4


def test_a_length_that_lies_reserves_nothing() -> None:
    bodies = [b"\xdd\xff\xff\xff\xff", b"\xdf\xff\xff\xff\xff", b"\xc6\xff\xff\xff\xff"]
    tracemalloc.start()
    try:
        for body in bodies:
            with pytest.raises(FrameError):
                protocol.decoded(protocol.REQUESTS, body)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak < 1 << 20


def test_a_stream_that_never_becomes_a_frame_is_held_up_to_the_bound_only() -> None:
    incoming = receiver(1000)
    longest = 1000 + protocol.SLACK_BYTES
    list(incoming.feed(header(protocol.REQUESTS, length=longest)))
    for _ in range(longest // 4096):
        assert list(incoming.feed(bytes(4096))) == []
    assert len(incoming._held) <= HEADER.size + longest
    with pytest.raises(FrameError):
        list(incoming.feed(bytes(4096)))


@given(VALUES | st.tuples(VALUES, VALUES) | st.sets(st.integers(0, 9)))
def test_what_is_carried_is_what_a_wire_delivers(value: Any) -> None:
    delivered = msgspec.msgpack.decode(msgspec.msgpack.encode(value))
    found = protocol.carried(value, MOST)

    assert repr(found) == repr(delivered)


@pytest.mark.parametrize("value", [object(), 1 << 64, -(1 << 63) - 1, "\ud800", 1j, [print]])
def test_what_no_wire_carries_is_refused(value: Any) -> None:
    with pytest.raises(NotCarriedError, match=r"^expected what msgpack carries") as caught:
        protocol.carried(value, MOST)
    assert not caught.value.may_have_happened


@given(
    st.lists(st.sampled_from([b"", b"x" * 10, b"x" * 90, b"x" * 100, object()]), min_size=1),
    st.integers(64, 120),
)
def test_batches_leave_out_just_what_is_not_carried(payloads: list[Any], most: int) -> None:
    sender, incoming = Sender(most), receiver(most)
    requests: list[Request] = [(i, p, 0, 1, 1, None) for i, p in enumerate(payloads, 1)]
    refused: list[int] = []
    came: list[Any] = []
    for _, frame in protocol.batches(
        sender,
        requests,
        lambda some: (protocol.REQUESTS, some),
        lambda request: request[1],
        lambda request, _error: refused.append(request[0]),
    ):
        for _kind, message in incoming.feed(bytes(frame)):
            came.extend(message)
    fit = [r for r in requests if isinstance(r[1], bytes) and len(r[1]) + 2 <= most]

    assert came == fit
    assert refused == [r[0] for r in requests if r not in fit]


def test_an_error_that_is_none_is_refused() -> None:
    good = list(WireError("raised", "T", "m", "python", "", True))  # noqa: FBT003 - as it is on the wire

    assert protocol.wire_error(good).type == "T"
    for bad in (None, [], good[:5], ["odd", *good[1:]], [*good[:5], 1]):
        with pytest.raises(FrameError, match=r"^expected an error of six fields"):
            protocol.wire_error(bad)
