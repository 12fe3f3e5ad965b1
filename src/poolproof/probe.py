"""The worker that state machines and plans run in our stacks: it says what it has begun, by a way of its own.

Apart from them, so that its process imports none of what they need.
"""

import asyncio
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from typing import Final

_started: Final[defaultdict[str, list[int]]] = defaultdict(list)
_living: Final[defaultdict[str, list["Probe"]]] = defaultdict(list)
_told: Final[dict[str, Callable[[], None]]] = {}


class Probe:
    """Answers job n with 2n + 1, after it has said that it began.

    Args:
        witness: where it says so: the path of a named pipe, or any other name for a list in this process.
        seconds: how long a job takes.
    """

    def __init__(self, witness: str, seconds: float = 0.0) -> None:
        self.witness, self.seconds = witness, seconds
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
        await asyncio.sleep(self.seconds)
        await self._open.wait()
        return answer(job)

    def _say(self, job: int) -> None:
        if not self.witness.startswith("/"):
            begun(self.witness, [job])
            return
        descriptor = os.open(self.witness, os.O_WRONLY | os.O_NONBLOCK)
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


def begun(witness: str, jobs: Iterable[int]) -> None:
    """Note what the probes of this witness have begun, and tell who wants to know it at once."""
    _started[witness].extend(jobs)
    if (tell := _told.get(witness)) is not None:
        tell()


def on_start(witness: str, tell: Callable[[], None]) -> None:
    """Have `tell` called whenever a probe of this witness has begun something."""
    _told[witness] = tell


def starts(witness: str) -> dict[int, int]:
    """Return how often each job was begun, as the probes of this witness say."""
    return Counter(_started[witness])


def living(witness: str) -> list[Probe]:
    """Return the probes of this process that were started for this witness, those that have ended too."""
    return _living[witness]


def forget(witness: str) -> None:
    """Drop what is kept in this process for a witness."""
    _started.pop(witness, None)
    _living.pop(witness, None)
    _told.pop(witness, None)
