"""The worker that a pool machine runs in our stacks: it says what it has begun, by a way of its own."""

import asyncio
import os
from collections import Counter, defaultdict
from typing import Final

_started: Final[defaultdict[str, list[int]]] = defaultdict(list)
_living: Final[defaultdict[str, list["Probe"]]] = defaultdict(list)


class Probe:
    """Answers job n with 2n + 1, after it has said that it began.

    Args:
        witness: where it says so: the path of a file, or any other name for a list in this process.
    """

    def __init__(self, witness: str) -> None:
        self.witness = witness
        self._open: asyncio.Event | None = None

    async def init(self) -> None:
        """Be known, so that it can be paused."""
        self._open = asyncio.Event()
        self._open.set()
        _living[self.witness].append(self)

    async def handle(self, job: int) -> int:
        """Begin a job, stand still while paused, and answer it."""
        self._say(job)
        assert self._open is not None
        await asyncio.sleep(0)
        await self._open.wait()
        return answer(job)

    def _say(self, job: int) -> None:
        if not self.witness.startswith("/"):
            _started[self.witness].append(job)
            return
        descriptor = os.open(self.witness, os.O_WRONLY | os.O_APPEND)
        try:
            os.write(descriptor, b"%d\n" % job)
        finally:
            os.close(descriptor)

    def pause(self, *, paused: bool) -> None:
        """Stand still, or go on."""
        assert self._open is not None
        if paused:
            self._open.clear()
        else:
            self._open.set()


def answer(job: int) -> int:
    """Return the one right answer to a job."""
    return 2 * job + 1


def starts(witness: str) -> dict[int, int]:
    """Return how often each job was begun, as the probes of this witness say."""
    if not witness.startswith("/"):
        return Counter(_started[witness])
    with open(witness, "rb") as lines:  # noqa: PTH123 - as it is written
        return Counter(map(int, lines.read().split()))


def living(witness: str) -> list[Probe]:
    """Return the probes of this process that were started for this witness, those that have ended too."""
    return _living[witness]


def forget(witness: str) -> None:
    """Drop what is kept in this process for a witness."""
    _started.pop(witness, None)
    _living.pop(witness, None)
