"""What is printed without end stays within a bound, and keeps its beginning and its end."""

import asyncio
import os
from pathlib import Path

import pytest

from poolproof.isolation.logs import KEPT_BYTES, MOST_BYTES, keep_small, shorten

pytestmark = pytest.mark.unit


def test_a_log_within_the_bound_stays_as_it_is(tmp_path: Path) -> None:
    log = tmp_path / "output.log"
    log.write_bytes(b"x" * MOST_BYTES)

    shorten(log)

    assert log.stat().st_size == MOST_BYTES


def test_a_log_beyond_the_bound_keeps_its_beginning_and_says_how_much_is_gone(
    tmp_path: Path,
) -> None:
    log = tmp_path / "output.log"
    log.write_bytes(b"x" * (MOST_BYTES + 1))

    shorten(log)

    kept = log.read_bytes()
    assert kept[:KEPT_BYTES] == b"x" * KEPT_BYTES
    assert kept[KEPT_BYTES:] == b"\n[poolproof: %d bytes dropped here]\n" % (
        MOST_BYTES + 1 - KEPT_BYTES
    )


def test_what_is_appended_after_a_cut_follows_it(tmp_path: Path) -> None:
    log = tmp_path / "output.log"
    writer = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(writer, b"x" * (MOST_BYTES + 1))

    shorten(log)
    os.write(writer, b"last words")
    os.close(writer)

    assert log.read_bytes().endswith(b"dropped here]\nlast words")


def test_a_log_that_is_gone_is_no_trouble(tmp_path: Path) -> None:
    shorten(tmp_path / "gone.log")

    assert not (tmp_path / "gone.log").exists()


def test_the_logs_that_there_are_now_are_looked_at_again_and_again(tmp_path: Path) -> None:
    log = tmp_path / "output.log"
    looks: list[int] = []

    async def watched() -> None:
        twice = asyncio.Event()

        def logs() -> list[Path]:
            log.write_bytes(b"x" * (MOST_BYTES + 1))
            looks.append(1)
            if len(looks) == 2:
                twice.set()
            return [log]

        task = asyncio.create_task(keep_small(logs))
        await twice.wait()
        task.cancel()

    asyncio.run(watched())

    assert log.stat().st_size < MOST_BYTES
