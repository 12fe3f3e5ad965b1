"""What a run did, as one hash: which task took each step, and when time moved.

Equal traces mean equal runs. Only numbers go in, so it does not depend on the process, on
addresses or on the hash seed; it does on the Python version, whose asyncio takes other steps.
"""

import hashlib
from array import array
from typing import Final

BATCH: Final = 8192


class Trace:
    """The growing record; hashed in batches, so that a step costs one `append`; its loop flushes it.

    Attributes:
        entries: not yet hashed. A task's number (from 1) for a step, minus the virtual nanoseconds
            for a move of time.
        keeps: whether what was hashed is kept.
        kept: what was.
    """

    def __init__(self) -> None:
        self.entries: list[int] = []
        self.keeps = False
        self.kept: list[int] = []
        self._hash = hashlib.blake2b(digest_size=16)
        self._steps = 0

    @property
    def steps(self) -> int:
        """How many task steps there were."""
        return self._steps + _steps_in(self.entries)

    def flush(self) -> None:
        """Hash what has come since."""
        self._steps += _steps_in(self.entries)
        self._hash.update(array("q", self.entries).tobytes())
        if self.keeps:
            self.kept += self.entries
        self.entries.clear()

    def digest(self) -> str:
        """Return the hash of all so far, as hexadecimal digits."""
        self.flush()
        return self._hash.hexdigest()


def _steps_in(entries: list[int]) -> int:
    return len([entry for entry in entries if entry > 0])
