"""Keeps the output of what is run within a bound: a target that prints without end must not fill the disk."""

import asyncio
import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

MOST_BYTES: Final = 1 << 20
KEPT_BYTES: Final = 1 << 16
LOOK_SECONDS: Final = 0.05


async def keep_small(logs: Callable[[], Iterable[Path]]) -> None:
    """Look at the logs again and again, until cancelled, and shorten those that have grown too large.

    Args:
        logs: returns the files that are being written now, each by O_APPEND.
    """
    while True:
        for log in list(logs()):
            shorten(log)
        await asyncio.sleep(LOOK_SECONDS)


def shorten(log: Path) -> None:
    """Keep the beginning of a file larger than `MOST_BYTES`; what is appended later follows it."""
    with suppress(OSError):
        size = log.stat().st_size
        if size <= MOST_BYTES:
            return
        os.truncate(log, KEPT_BYTES)
        with log.open("ab") as file:
            file.write(b"\n[poolproof: %d bytes dropped here]\n" % (size - KEPT_BYTES))
