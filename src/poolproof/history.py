"""The append-only record of a trial: what was asked, what was answered, and what other witnesses saw."""

import os
import time
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, Final

import msgspec

# Kinds of event. Operations (`op` says which: start, submit, job, cancel, stop) are invoke / ok / fail / info as in
# Jepsen: `info` means the operation may or may not have happened.
#   started / finished / raised   evidence from inside a job, written by the process that ran it
#   effect                        a wrapper saw a fault's body run (pickling, unpickling, a callback, an allocation)
#   inject / receipt / heal / healed   a fault's life; the receipt is never written by what injected
#   point / strike                a crash point passed in a record run / the point at which this process now dies
#   birth / death                 a process of the tree, as seen from outside
#   tree                          what happened in a supervision tree (see supervision/events.py)
#   sample                        what the owner process holds: descriptors, threads, children, files
#   phase / suspect / moved / judged / unjudged   marks of the scenario (see chaos/scenario.py)
KINDS: Final = frozenset(
    [
        "invoke",
        "ok",
        "fail",
        "info",
        "started",
        "finished",
        "raised",
        "effect",
        "inject",
        "receipt",
        "heal",
        "healed",
        "point",
        "strike",
        "birth",
        "death",
        "sample",
        "tree",
        "phase",
        "suspect",
        "moved",
        "judged",
        "unjudged",
        "note",
    ]
)


class Event(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One line of a history.

    Attributes:
        t: CLOCK_MONOTONIC in nanoseconds, comparable between all processes of one machine.
        kind: one of `KINDS`.
        pid: the process that wrote the event.
        op: for operations: start, submit, job, cancel, stop.
        job: the job's number, unique within the trial.
        role: for `invoke` of submit: warmup, faulted, bystander, fresh.
        error: the type name of an exception.
        message: human-readable detail, at most 500 characters.
        data: everything else, by kind.
    """

    t: int
    kind: str
    pid: int = 0
    op: str | None = None
    job: int | None = None
    role: str | None = None
    error: str | None = None
    message: str | None = None
    data: dict[str, Any] = {}


# The compact form, for hot paths: this mark, then frames, each a length of four bytes and a msgpack
# list. The first is the header, every other one a list of tuples (t, kind, op, number, data, error,
# message), cut after the last that is said; kind and op are indices into the header's lists. What
# happened to many at once is one tuple: (t, "invoke*", op, first number, how many), and
# (t, "ok*", op, worker, numbers, nanoseconds that each took). Reading makes single events of them.
COMPACT: Final = b"poolproof-compact-1\n"
Packed = tuple[Any, ...]

_BEGINNING: Final = b'{"t":'
_LENGTH_BYTES: Final = 4
_decoder = msgspec.json.Decoder(Event)
_encoder = msgspec.json.Encoder()
_packer = msgspec.msgpack.Encoder()


def encode(event: Event) -> bytes:
    """Return the event as one line of JSON, newline included."""
    return _encoder.encode(event) + b"\n"


def decode_line(line: bytes) -> Event | None:
    """Return the event in `line`, or None if it is torn, foreign or garbage.

    What somebody else has written before it on the same line is passed over.
    """
    try:
        event = _decoder.decode(line)
    except (msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError):
        begins = line.rfind(_BEGINNING)
        return decode_line(line[begins:]) if begins > 0 else None
    return event if event.kind in KINDS else None


def now(kind: str, **fields: Any) -> Event:
    """Return an event of this process at this moment."""
    return Event(t=time.monotonic_ns(), kind=kind, pid=os.getpid(), **fields)


def compact_header(kinds: Sequence[str], ops: Sequence[str]) -> bytes:
    """Return what a compact history of this process begins with."""
    return COMPACT + compact_frame([(os.getpid(), list(kinds), list(ops))])


def compact_frame(events: Sequence[Packed]) -> bytes:
    """Return one frame of a compact history: as many events as happened together."""
    body = _packer.encode(events)
    return len(body).to_bytes(_LENGTH_BYTES, "big") + body


def _unpacked(content: bytes) -> Iterator[Event]:
    frames = _frames(content, len(COMPACT))
    first: Any = next(frames, None)
    header: tuple[int, list[str], list[str]] = first[0] if first else (0, [], [])
    pid, kinds, ops = header
    events: list[tuple[str, str, tuple[Any, ...]]] = [
        (kinds[row[1]], ops[row[2]], tuple(row)) for frame in frames for row in frame
    ]
    began = dict(chain.from_iterable(_began(row) for kind, _, row in events if kind == "ok*"))
    for kind, op, row in events:
        t: int = row[0]
        number, rest = row[3], row[4:]
        if kind == "invoke*":
            numbers = range(number, number + rest[0])
            yield from (
                Event(t=began.get(one, t), kind="invoke", pid=pid, op=op, job=one)
                for one in numbers
            )
        elif kind == "ok*":
            data = {"worker": number}
            yield from (
                Event(t=t, kind="ok", pid=pid, op=op, job=one, data=data) for one in rest[0]
            )
        else:
            yield _single(Event(t=t, kind=kind, pid=pid, op=op, job=number), *rest)


def _began(row: Packed) -> Iterator[tuple[int, int]]:
    """Yield when each job of an `ok*` was submitted: more exactly than its `invoke*` says it."""
    t, _, _, _, numbers, took = row
    return ((number, t - ns) for number, ns in zip(numbers, took, strict=True))


def _single(event: Event, data: Any = None, error: Any = None, message: Any = None) -> Event:
    more = {"worker": data} if isinstance(data, int) else data or {}
    return msgspec.structs.replace(event, data=more, error=error, message=message)


def _frames(content: bytes, at: int) -> Iterator[list[Any]]:
    """Yield whole frames; what a crash cut off at the end is passed over."""
    while (begin := at + _LENGTH_BYTES) <= len(content):
        at = begin + int.from_bytes(content[begin - _LENGTH_BYTES : begin], "big")
        if at <= len(content):
            yield msgspec.msgpack.decode(content[begin:at])


def read(path: Path) -> Iterator[Event]:
    """Yield the events of a saved history, compact or not, in the order of their time.

    Lines that are no events are passed over, and so is what a crash has cut off.
    """
    content = path.read_bytes()
    if content.startswith(COMPACT):
        yield from sorted(_unpacked(content), key=lambda event: event.t)
        return
    events = (decode_line(line) for line in content.splitlines())
    yield from sorted((event for event in events if event is not None), key=lambda event: event.t)
