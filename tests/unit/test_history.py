"""The record of a trial: what is written is read again, and what is torn or foreign is passed over."""

import os
import time
from pathlib import Path

import pytest

from poolproof import history
from poolproof.history import KINDS, Event, decode_line, encode

pytestmark = pytest.mark.unit

FULL = Event(
    t=5,
    kind="ok",
    pid=7,
    op="job",
    job=3,
    role="fresh",
    error="ValueError",
    message="line\nbreak \u2028 and \N{SNOWMAN}",
    data={"match": True, "value": "'x'"},
)


@pytest.mark.parametrize("event", [FULL, Event(t=1, kind="note")])
def test_what_is_encoded_is_one_line_and_decoded_again(event: Event) -> None:
    line = encode(event)

    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
    assert decode_line(line) == event


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_kind_is_known(kind: str) -> None:
    assert decode_line(encode(Event(t=1, kind=kind))) is not None


@pytest.mark.parametrize(
    "line",
    [
        b"",
        encode(FULL)[:-20],
        encode(FULL)[20:],
        b"Traceback (most recent call last):",
        b"null",
        b"[]",
        b'{"t":1}',
        b'{"t":"soon","kind":"ok"}',
        b'{"t":1,"kind":"gossip"}',
        b'{"t":1,"kind":"note","message":"\xff\xfe"}',
        b"\x00" * 64,
    ],
    ids=range(11),
)
def test_a_line_that_is_torn_or_foreign_or_garbage_is_no_event(line: bytes) -> None:
    assert decode_line(line) is None


def test_a_field_of_a_later_version_does_not_hide_an_event() -> None:
    assert decode_line(b'{"t":1,"kind":"note","since":"1.9"}') == Event(t=1, kind="note")


def test_an_event_is_of_this_process_and_this_moment() -> None:
    before = time.monotonic_ns()
    event = history.now("phase", data={"phase": "end"})

    assert before <= event.t <= time.monotonic_ns()
    assert (event.pid, event.kind, event.data) == (os.getpid(), "phase", {"phase": "end"})


def test_a_saved_history_is_read_in_order_of_time_without_what_is_no_event(tmp_path: Path) -> None:
    late, early = Event(t=20, kind="ok", op="start"), Event(t=10, kind="invoke", op="start")
    saved = tmp_path / "history.jsonl"
    saved.write_bytes(encode(late) + b"garbage\n\n" + encode(early) + encode(FULL)[:-9])

    assert list(history.read(saved)) == [early, late]


def test_what_was_written_at_the_same_time_keeps_its_order(tmp_path: Path) -> None:
    events = [Event(t=1, kind="note", job=number) for number in (3, 1, 2)]
    saved = tmp_path / "history.jsonl"
    saved.write_bytes(b"".join(map(encode, events)))

    assert list(history.read(saved)) == events
