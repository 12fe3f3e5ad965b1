"""The worker of a scenario: it says what it begins by a way of its own, and does to itself what a job tells it."""

import asyncio
import mmap
import os
import zlib
from collections import Counter, defaultdict
from typing import Any, Final

_said: Final[defaultdict[str, list[int]]] = defaultdict(list)
_living: Final[defaultdict[str, list["Actor"]]] = defaultdict(list)
_kept: Final[list[bytearray]] = []


class Actor:
    """Answers job n with its right answer, after it has said that it began.

    Args:
        witness: where it says so: the path of what it can open, or any other name for a list in this process.
        checksum: of the witness, which may have been harmed on its way, as everything else.

    Attributes:
        factor: how many times as long its jobs take.
        hungry: the share of its jobs that want for memory; in a process of its own, the kernel decides that.
        met: how many jobs have met which harm.
        last: when it began its last job, on the loop's clock.
    """

    def __init__(self, witness: str, checksum: int) -> None:
        if checksum != checksum_of(witness):
            raise ValueError(f"its own arguments were corrupted on their way: {witness!r}")
        self.witness = witness
        self.factor = 1.0
        self.hungry = 0.0
        self.met: Counter[str] = Counter()
        self.last = 0.0
        self._open: asyncio.Event | None = None
        self._fed = 0.0

    async def init(self) -> None:
        """Be known, so that it can be harmed."""
        self._open = asyncio.Event()
        self._open.set()
        if not _is_file(self.witness):
            _living[self.witness].append(self)

    async def handle(self, request: list[Any]) -> list[Any]:
        """Do one job: `[number, body, seconds, bytes, checksum]`; answer `[answer, checksum]`."""
        number, body, seconds, size, checksum = request
        if checksum != checksum_of([number, body, seconds, size]):
            raise ValueError("the request was corrupted on its way")
        _say(self.witness, number)
        assert self._open is not None
        self.last = asyncio.get_running_loop().time()
        self.met["slow"] += self.factor > 1
        await asyncio.sleep(seconds * self.factor)
        self.met["pause"] += not self._open.is_set()
        await self._open.wait()
        self._do(body, size)
        return [answer(number), checksum_of(answer(number))]

    def _do(self, body: str, size: int) -> None:
        if body == "fail":
            raise ValueError("fails on purpose")
        if body == "die":
            raise SystemExit(17)
        if body == "leak":
            _kept.append(_touched(size))
        elif body == "allocate":
            self._fed += self.hungry
            if self._fed >= 1:
                self._fed -= 1
                self.met["starve"] += 1
                raise MemoryError("no memory, on purpose")
            _mapped(size)

    def pause(self, *, paused: bool) -> None:
        """Stand still, or go on."""
        assert self._open is not None
        if paused:
            self._open.clear()
        else:
            self._open.set()


def _mapped(size: int) -> None:
    """Ask the kernel for memory, and give it back at once."""
    try:
        mmap.mmap(-1, size).close()
    except OSError as error:
        raise MemoryError(f"no {size} bytes: {error}") from error


def _touched(size: int) -> bytearray:
    """Return memory that is really there: of pages that are not written to, the kernel gives none."""
    memory = bytearray(size)
    memory[::4096] = b"x" * len(memory[::4096])
    return memory


def answer(number: int) -> str:
    """Return the one right answer to a job."""
    return f"answer {2 * number + 1}"


def checksum_of(value: object) -> int:
    """Return what tells a caller that a value is the one that was sent."""
    return zlib.crc32(repr(value).encode())


def _is_file(witness: str) -> bool:
    return witness.startswith("/")


def _say(witness: str, number: int) -> None:
    if not _is_file(witness):
        _said[witness].append(number)
        return
    descriptor = os.open(witness, os.O_WRONLY | os.O_APPEND)
    try:
        os.write(descriptor, b"%d\n" % number)
    finally:
        os.close(descriptor)


def starts(witness: str) -> Counter[int]:
    """Return how often each job was begun, as the workers of this witness say."""
    if not _is_file(witness):
        return Counter(_said[witness])
    with open(witness, "rb") as lines:  # noqa: PTH123 - as it is written
        return Counter(map(int, lines.read().split()))


def living(witness: str) -> list[Actor]:
    """Return the workers of this process that were started for this witness, those that have ended too."""
    return _living[witness]


def forget(witness: str) -> None:
    """Drop what is kept in this process for a witness."""
    _said.pop(witness, None)
    _living.pop(witness, None)
