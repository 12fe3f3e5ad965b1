"""Two looks at workers that have jobs: does one not begin its next, and does one take long over it?"""

import asyncio
from collections.abc import Callable, Iterable

from poolproof.pool.settings import PoolSettings
from poolproof.pool.slot import Slot


class Lookout:
    """Looks at intervals while there are jobs at workers, and not at all while there are none.

    Args:
        settings: `start_mark` and `stall_mark` are the intervals.
        slots: returns all workers that are not known to have ended.
        unbegun: told of a worker that has not begun its oldest job since the last look.
        slow: told of a worker that is at the same job as at the last look, once until it answers.
    """

    __slots__ = (
        "_begun",
        "_loop",
        "_oldest",
        "_progress",
        "_settings",
        "_slots",
        "_slow",
        "_unbegun",
        "_waiting",
    )

    def __init__(
        self,
        settings: PoolSettings,
        slots: Callable[[], Iterable[Slot]],
        *,
        unbegun: Callable[[Slot], None],
        slow: Callable[[Slot], None],
    ) -> None:
        self._settings, self._slots = settings, slots
        self._unbegun, self._slow = unbegun, slow
        self._loop = asyncio.get_running_loop()
        self._begun: asyncio.TimerHandle | None = None
        self._progress: asyncio.TimerHandle | None = None
        self._waiting: dict[Slot, int] = {}
        self._oldest: dict[Slot, int] = {}

    def wake(self) -> None:
        """Look from now on: jobs were sent to a worker."""
        if self._begun is None:
            self._begun = self._loop.call_later(self._settings.start_mark, self._look_for_begun)
        if self._progress is None:
            self._progress = self._loop.call_later(self._settings.stall_mark, self._look_for_slow)

    def stop(self) -> None:
        """Look no more."""
        for timer in (self._begun, self._progress):
            if timer is not None:
                timer.cancel()
        self._begun = self._progress = None

    def _look_for_begun(self) -> None:
        before, self._begun = self._waiting, None
        slots = [slot for slot in self._slots() if slot.jobs]
        oldest = {slot: next(iter(slot.jobs)) for slot in slots}
        self._waiting = {slot: one for slot, one in oldest.items() if one > slot.link.started()}
        if slots:
            self._begun = self._loop.call_later(self._settings.start_mark / 2, self._look_for_begun)
        for slot, one in self._waiting.items():
            if before.get(slot) == one:
                self._unbegun(slot)

    def _look_for_slow(self) -> None:
        before, self._progress = self._oldest, None
        busy = [slot for slot in self._slots() if slot.jobs and not slot.stalled]
        self._oldest = {slot: next(iter(slot.jobs)) for slot in busy}
        if busy:
            self._progress = self._loop.call_later(self._settings.stall_mark, self._look_for_slow)
        for slot, one in self._oldest.items():
            if before.get(slot) == one and slot.lease is None:
                self._slow(slot)
