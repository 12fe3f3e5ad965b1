"""Output within a bound: the beginning is kept, what is dropped is counted."""

import asyncio
from pathlib import Path

import pytest

from poolproof.isolation import logs

pytestmark = pytest.mark.unit


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "MOST_BYTES", 100)
    monkeypatch.setattr(logs, "KEPT_BYTES", 10)


def test_a_log_within_its_bound_is_left_alone(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"x" * 100)
    logs.shorten(log)

    assert log.read_bytes() == b"x" * 100


def test_of_one_that_is_too_large_the_beginning_is_kept(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"beginning!" + b"x" * 91)
    logs.shorten(log)

    assert log.read_bytes() == b"beginning!\n[poolproof: 91 bytes dropped here]\n"


def test_one_that_is_gone_is_passed_over(tmp_path: Path) -> None:
    logs.shorten(tmp_path / "none")


def test_logs_are_kept_small_until_cancelled(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"

    async def scenario() -> None:
        keeping = asyncio.create_task(logs.keep_small(lambda: [one, two]))
        for log in (one, two):
            log.write_bytes(b"x" * 1000)
            async with asyncio.timeout(10):
                while log.stat().st_size > 100:  # noqa: ASYNC110 - a file tells nobody
                    await asyncio.sleep(0.001)
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)

    asyncio.run(scenario())
