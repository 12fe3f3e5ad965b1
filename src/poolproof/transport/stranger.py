"""Judges a worker that somebody wrote in another language, against docs/protocol.md.

Each promise is tried on a process of its own. The worker's handler must return its payload, and
raise for a payload that is a map with the key `raise`. The command is `poolproof conformance`.
"""

import fcntl
import os
import signal
import socket
import subprocess
import termios
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self

import msgspec

from poolproof.errors import FrameError, UsageError
from poolproof.transport import protocol
from poolproof.transport.base import MOST_PAYLOAD_BYTES

PATIENCE_SECONDS: Final = 5.0
PAUSE_SECONDS: Final = 0.0005
EPOCH: Final = 3
BATCH: Final = 100
VALUES: Final[tuple[Any, ...]] = (
    *(None, True, False, 0, 1, 127, 128, 255, 256, 65_535, 65_536, (1 << 32) - 1, 1 << 32),
    *((1 << 64) - 1, -1, -32, -33, -128, -129, -32_768, -32_769, -(1 << 31), -(1 << 63)),
    *(0.0, 1.5, -1e300, "", "a" * 31, "a" * 32, "\u00e9" * 200, "x" * 70_000),
    *(b"", b"x" * 255, b"x" * 256, b"x" * 70_000),
    *([], [1] * 15, [1] * 16, [None] * 70_000, {}, {"a": 1, 2: [3]}),
    {str(i): i for i in range(16)},
    [[[[["deep"]]]]],
)


class BrokenPromise(AssertionError):  # noqa: N818 - it is what it is called on the page
    """The worker did something else than the page says."""


class Visit:
    """One process of the worker, and our end of its connection."""

    def __init__(self, argv: Sequence[str], *, most_bytes: int = MOST_PAYLOAD_BYTES) -> None:
        self._argv, self.most_bytes = argv, most_bytes
        self._in = protocol.Receiver(protocol.FROM_WORKER, most_bytes)
        self._messages: list[tuple[int, Any]] = []
        self.sequence = 0
        self._ids = 0

    def __enter__(self) -> Self:
        self._socket, theirs = socket.socketpair()
        try:
            with theirs:
                self.process = subprocess.Popen(  # noqa: S603 - the command that was asked for
                    self._argv,
                    stdin=theirs.fileno(),
                    stdout=theirs.fileno(),
                    start_new_session=True,
                )
        except OSError:
            self._socket.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._socket.close()
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def frame(self, kind: int, message: Any) -> bytes:
        """Return the next frame."""
        body = msgspec.msgpack.encode(message)
        head = protocol.HEADER.pack(
            protocol.MAGIC, protocol.VERSION, kind, self.sequence, len(body)
        )
        self.sequence += 1
        return head + body

    def write(self, data: bytes) -> None:
        """Send bytes; a worker that is gone already is told of by who reads."""
        self._socket.settimeout(PATIENCE_SECONDS)
        with suppress(BrokenPipeError, ConnectionResetError):
            self._socket.sendall(data)

    def until_read(self) -> None:
        """Wait until the worker has read all that was written."""
        until = time.monotonic() + PATIENCE_SECONDS
        while any(fcntl.ioctl(self._socket, termios.TIOCOUTQ, bytes(4))):
            must(time.monotonic() < until, "the worker to read what it is sent, got no sign of it")
            time.sleep(PAUSE_SECONDS)

    def hang_up(self) -> None:
        """End the connection, as a pool that is killed does."""
        self._socket.shutdown(socket.SHUT_RDWR)

    def say(self, kind: int, message: Any) -> None:
        """Send one frame."""
        self.write(self.frame(kind, message))

    def request(self, *payloads: Any, deadline_ns: int = 0, epoch: int = EPOCH) -> bytes:
        """Return a frame of requests; their ids go on from those before."""
        first = self._ids + 1
        self._ids += len(payloads)
        return self.frame(
            protocol.REQUESTS,
            [
                (first + i, payload, deadline_ns, 1, epoch, None)
                for i, payload in enumerate(payloads)
            ],
        )

    def hear(self) -> tuple[int, Any] | None:
        """Return the next message; None at the end of the stream."""
        until = time.monotonic() + PATIENCE_SECONDS
        while not self._messages:
            self._socket.settimeout(max(0.01, until - time.monotonic()))
            try:
                data = self._socket.recv(1 << 18)
            except TimeoutError:
                raise BrokenPromise(
                    f"expected something within {PATIENCE_SECONDS:g} s, got nothing"
                ) from None
            except ConnectionResetError:
                return None
            if not data:
                return None
            self._read(data)
        return self._messages.pop(0)

    def _read(self, data: bytes) -> None:
        try:
            self._messages.extend(self._in.feed(data))
        except FrameError as error:
            raise BrokenPromise(f"it sent what is no frame: {error}") from error
        must(self._in.duplicates == 0, "each frame to have a new sequence number, got one twice")

    def expect(self, kind: int) -> Any:
        """Return the message of the next frame, which must be of that kind."""
        heard = self.hear()
        name = protocol.NAMES[kind]
        must(heard is not None, f"{name}, got the end of the stream")
        assert heard is not None
        must(heard[0] == kind, f"{name}, got {protocol.NAMES[heard[0]]} {heard[1]!r:.200}")
        return heard[1]

    def replies(self, count: int) -> list[tuple[int, bool, Any]]:
        """Return the next `count` replies."""
        found: list[tuple[int, bool, Any]] = []
        while len(found) < count:
            epoch, _busy, replies = self.expect(protocol.REPLIES)
            must(epoch == EPOCH, f"replies of epoch {EPOCH}, got epoch {epoch}")
            found.extend(replies)
        must(len(found) == count, f"{count} replies, got {len(found)}")
        return found

    def error(self, request: bytes) -> Any:
        """Send a request, return the error that it must have."""
        self.write(request)
        [(_, ok, value)] = self.replies(1)
        must(not ok, f"an error, got the value {value!r:.200}")
        try:
            return protocol.wire_error(value)
        except FrameError as error:
            raise BrokenPromise(str(error)) from error

    def begin(self) -> int:
        """Make it ready; return the pid that it says."""
        self.say(protocol.HELLO, (self.most_bytes, None))
        self.say(protocol.ASSIGN, (0, EPOCH))
        pid, marks = self.expect(protocol.READY)
        must(marks is False, "a program to mark nothing, got marks true")
        return int(pid)

    def must_leave(self, *, well: bool) -> None:
        """Wait for the end of the stream and of the process."""
        while (heard := self.hear()) is not None:
            must(heard[0] in _LAST_WORDS, f"its end, got {protocol.NAMES[heard[0]]}")
        try:
            status = self.process.wait(PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            raise BrokenPromise("expected the process to end with its connection") from None
        must(
            (status == 0) == well, f"an exit status {'' if well else 'other than '}0, got {status}"
        )

    def must_echo(self, value: Any = "still here") -> None:
        """Make sure that it works."""
        self.write(self.request(value))
        [(_, ok, back)] = self.replies(1)
        must(ok, f"a value, got the error {back!r:.300}")
        must(
            back == value and type(back) is type(value),
            f"{value!r:.100} back, got {back!r:.100}",
        )


_LAST_WORDS: Final = frozenset({protocol.VIOLATION, protocol.BYE})


def must(fact: bool, expected: str) -> None:  # noqa: FBT001 - as assert does
    """Raise BrokenPromise unless `fact`."""
    if not fact:
        raise BrokenPromise(f"expected {expected}")


@dataclass(frozen=True, slots=True)
class Promise:
    """One sentence of the page, and how it is tried."""

    sentence: str
    attempt: Callable[[Visit], None]
    most_bytes: int = MOST_PAYLOAD_BYTES


_promises: Final[list[Promise]] = []


def promises() -> tuple[Promise, ...]:
    """Return all that is tried."""
    return tuple(_promises)


def _promise(
    sentence: str, **options: int
) -> Callable[[Callable[[Visit], None]], Callable[[Visit], None]]:
    def noted(attempt: Callable[[Visit], None]) -> Callable[[Visit], None]:
        _promises.append(Promise(sentence, attempt, **options))
        return attempt

    return noted


@_promise("says that it is ready")
def _ready(visit: Visit) -> None:
    pid = visit.begin()
    must(pid > 0, f"the pid of the worker, got {pid}")


@_promise("returns every kind of value")
def _values(visit: Visit) -> None:
    visit.begin()
    for value in VALUES:
        visit.must_echo(value)


@_promise("carries a payload of a megabyte")
def _large(visit: Visit) -> None:
    visit.begin()
    visit.must_echo(bytes(range(256)) * 4096)


@_promise("answers each request of a batch once, in order")
def _batch(visit: Visit) -> None:
    visit.begin()
    visit.write(visit.request(*range(BATCH)) + visit.request(*range(BATCH)))
    replies = visit.replies(2 * BATCH)
    must([reply[0] for reply in replies] == list(range(1, 2 * BATCH + 1)), "the ids in order")
    must([reply[2] for reply in replies] == [*range(BATCH)] * 2, "each id's own value")


@_promise("bears a frame in pieces")
def _pieces(visit: Visit) -> None:
    visit.begin()
    for byte in visit.request("piece by piece"):
        visit.write(bytes([byte]))
        visit.until_read()
    must(visit.replies(1)[0][2] == "piece by piece", "the value back")


@_promise("bears several frames in one piece")
def _together(visit: Visit) -> None:
    visit.begin()
    visit.write(b"".join(visit.request(i) for i in range(10)))
    must([reply[2] for reply in visit.replies(10)] == list(range(10)), "ten values back")


@_promise("tells what its handler raised, and goes on")
def _raises(visit: Visit) -> None:
    visit.begin()
    error = visit.error(visit.request({"raise": "no such thing"}))
    must(error.kind == "raised", f"an error of kind raised, got {error.kind}")
    must("no such thing" in error.message, f"the message, got {error.message!r}")
    must(error.category == "python", f"the category python, got {error.category}")
    must(error.may_have_happened, "may_have_happened, got false")
    visit.must_echo()


@_promise("does not begin a request whose deadline has passed")
def _expired(visit: Visit) -> None:
    visit.begin()
    error = visit.error(visit.request({"raise": "begun"}, deadline_ns=1))
    must(error.kind == "expired", f"an error of kind expired, got {error.kind}")
    must(not error.may_have_happened, "may_have_happened to be false")


@_promise("begins a request whose deadline has not passed")
def _in_time(visit: Visit) -> None:
    visit.begin()
    visit.write(visit.request("early", deadline_ns=time.monotonic_ns() + 60_000_000_000))
    must(visit.replies(1)[0][2] == "early", "the value back")


@_promise("refuses a request of another epoch")
def _stale(visit: Visit) -> None:
    visit.begin()
    error = visit.error(visit.request({"raise": "begun"}, epoch=EPOCH - 1))
    must(error.kind == "refused", f"an error of kind refused, got {error.kind}")
    must(not error.may_have_happened, "may_have_happened to be false")
    visit.must_echo()


@_promise("takes a new epoch")
def _assigned_again(visit: Visit) -> None:
    visit.begin()
    visit.say(protocol.ASSIGN, (1, EPOCH + 1))
    visit.write(visit.request("new", epoch=EPOCH + 1))
    epoch, _, replies = visit.expect(protocol.REPLIES)
    must(epoch == EPOCH + 1, f"replies of the new epoch, got {epoch}")
    must(bool(replies[0][1]), "a value, got an error")


@_promise("answers a ping after the requests before it")
def _ping(visit: Visit) -> None:
    visit.begin()
    visit.write(visit.request(1, 2) + visit.frame(protocol.PING, (77,)))
    visit.replies(2)
    nonce, problem = visit.expect(protocol.PONG)
    must(nonce == 77, f"nonce 77, got {nonce}")  # noqa: PLR2004 - ours
    must(problem is None, f"health, got {problem!r}")


@_promise("passes over the cancellation of what is not there")
def _cancel_nothing(visit: Visit) -> None:
    visit.begin()
    visit.say(protocol.CANCEL, [1, 99])
    visit.must_echo()


@_promise("skips a cancelled request, or does it, and answers it once")
def _cancel(visit: Visit) -> None:
    visit.begin()
    visit.write(visit.request(*range(BATCH)) + visit.frame(protocol.CANCEL, [BATCH]))
    last = visit.replies(BATCH)[-1]
    must(last[0] == BATCH, f"the cancelled request to be answered in its turn, got {last}")
    must(bool(last[1]) or protocol.wire_error(last[2]).kind == "cancelled", "value or cancellation")
    visit.must_echo()


@_promise("drops a frame that comes twice")
def _twice(visit: Visit) -> None:
    visit.begin()
    frame = visit.request("once")
    visit.write(frame + frame)
    visit.replies(1)
    visit.must_echo("after")


def _violates(visit: Visit, data: bytes) -> None:
    visit.begin()
    visit.must_echo()
    visit.write(data)
    heard = visit.hear()
    must(heard is not None and heard[0] == protocol.VIOLATION, f"VIOLATION, got {heard!r:.200}")
    visit.must_leave(well=False)


@_promise("ends at a frame that is ahead of its turn")
def _gap(visit: Visit) -> None:
    frame = (
        protocol.HEADER.pack(protocol.MAGIC, protocol.VERSION, protocol.PING, 9, 2) + b"\x91\x01"
    )
    _violates(visit, frame)


@_promise("ends at a foreign stream")
def _foreign(visit: Visit) -> None:
    _violates(visit, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")


def _header(kind: int, length: int, version: int = protocol.VERSION) -> bytes:
    """Return the header of the frame that comes after the first three."""
    return protocol.HEADER.pack(protocol.MAGIC, version, kind, 3, length)


@_promise("ends at another magic")
def _magic(visit: Visit) -> None:
    _violates(visit, b"PF" + _header(protocol.PING, 2)[2:] + b"\x91\x01")


@_promise("ends at another version")
def _version(visit: Visit) -> None:
    _violates(visit, _header(protocol.PING, 2, version=2) + b"\x91\x01")


@_promise("ends at an unknown kind")
def _kind(visit: Visit) -> None:
    _violates(visit, _header(99, 2) + b"\x91\x01")


@_promise("ends at a frame above the bound, without waiting for it", most_bytes=1000)
def _oversized(visit: Visit) -> None:
    _violates(visit, _header(protocol.REQUESTS, 1000 + protocol.SLACK_BYTES + 1))


@_promise("ends at a body that is no MessagePack")
def _malformed(visit: Visit) -> None:
    _violates(visit, _header(protocol.REQUESTS, 3) + b"\xc1\xc1\xc1")


@_promise("ends at a body of another shape")
def _misshapen(visit: Visit) -> None:
    _violates(visit, _header(protocol.REQUESTS, 5) + msgspec.msgpack.encode([["a", 1]]))


@_promise("leaves when told, with status 0")
def _leaves(visit: Visit) -> None:
    visit.begin()
    visit.write(visit.request(1) + visit.frame(protocol.TERMINATE, (1.5,)))
    heard = visit.hear()
    if heard is not None and heard[0] == protocol.REPLIES:
        heard = visit.hear()
    must(heard is not None and heard[0] == protocol.BYE, f"BYE, got {heard!r:.200}")
    visit.must_leave(well=True)


@_promise("ends with its connection")
def _end_of_stream(visit: Visit) -> None:
    visit.begin()
    visit.hang_up()
    try:
        visit.process.wait(PATIENCE_SECONDS)
    except subprocess.TimeoutExpired:
        raise BrokenPromise("expected it to end with its connection, got it alive") from None


def judged(argv: Sequence[str]) -> Iterator[tuple[str, str | None]]:
    """Try every promise; yield its sentence, and what was wrong, or None.

    Raises:
        UsageError: the command cannot be started.
    """
    for promise in promises():
        yield promise.sentence, _tried(promise, argv)


def _tried(promise: Promise, argv: Sequence[str]) -> str | None:
    try:
        with Visit(argv, most_bytes=promise.most_bytes) as visit:
            promise.attempt(visit)
    except (BrokenPromise, FrameError, TimeoutError) as problem:
        return str(problem) or "nothing came"
    except OSError as error:
        raise UsageError(
            f"expected a program that can be started, got {argv[0]}: {error}"
        ) from error
    return None
