"""Poison jobs: those that ended the worker that had begun them, too often."""

from collections import OrderedDict
from collections.abc import Hashable
from typing import Final

DEATHS: Final = 3
MEMORY: Final = 1024


class Quarantine:
    """Counts the deaths that a job was in; from `deaths` on it is given to no worker.

    Only a job that was begun is to blame: one that merely waited for the dead worker is innocent.
    Bounded: beyond `memory` the longest unseen is forgotten, a suspect before a convict.

    Attributes:
        forgotten: how many keys were forgotten to make room.

    Example:
        >>> quarantine = Quarantine(deaths=2)
        >>> quarantine.died("job 7"), quarantine.died("job 7"), "job 7" in quarantine
        (False, True, True)
    """

    __slots__ = ("_convicts", "_deaths", "_memory", "_suspects", "forgotten")

    def __init__(self, *, deaths: int = DEATHS, memory: int = MEMORY) -> None:
        assert deaths > 0
        assert memory > 0
        self.forgotten = 0
        self._deaths = deaths
        self._memory = memory
        self._suspects: OrderedDict[Hashable, int] = OrderedDict()
        self._convicts: OrderedDict[Hashable, int] = OrderedDict()

    def __contains__(self, key: Hashable) -> bool:
        return key in self._convicts

    def __len__(self) -> int:
        return len(self._convicts)

    def died(self, key: Hashable) -> bool:
        """Note that a worker died while it ran the job with this key; return whether it is now poison."""
        if key in self._convicts:
            return True
        deaths = self._suspects.pop(key, 0) + 1
        found = deaths >= self._deaths
        (self._convicts if found else self._suspects)[key] = deaths
        self._make_room()
        return found

    def survived(self, key: Hashable) -> None:
        """Note that the job came to an end, in whatever way, and its worker lives: it is no suspect."""
        self._suspects.pop(key, None)

    def release(self, key: Hashable) -> bool:
        """Let a job out again, as its owner says it is cured; return whether it was in."""
        return self._convicts.pop(key, None) is not None

    def _make_room(self) -> None:
        if len(self._suspects) + len(self._convicts) > self._memory:
            (self._suspects or self._convicts).popitem(last=False)
            self.forgotten += 1
