"""The loop's one step: look at a tree, and say whether it moves. Linux only."""

import time

from poolproof.watch.pending import NOTHING_PENDING, Pending, pending
from poolproof.watch.quiet import (
    Fingerprint,
    Member,
    Motion,
    Quiet,
    Quietness,
    Verdict,
    fingerprint,
)
from poolproof.watch.sample import TreeSample, sample


class Watch:
    """Watches the tree below one root; call `look` every 5 to 10 ms, from the tree's beginning on.

    The earlier it starts, the sharper it sees: a timed wait that began unseen may, for all it
    knows, have begun with its thread, and so end at any moment.

    Args:
        root_pid: the process above the tree, itself not watched; it should be a subreaper.
        quietness: how to judge; the defaults of `Quietness` if None.
    """

    def __init__(self, root_pid: int, quietness: Quietness | None = None) -> None:
        self._root_pid = root_pid
        self._quietness = quietness or Quietness()
        self._last: TreeSample | None = None

    def look(self, history_mark: int) -> Verdict:
        """Take a sample and judge; before it says quiet, it asks for the kernel's timers."""
        verdict = self._judge(history_mark)
        if not isinstance(verdict, Quiet):
            return verdict
        # Asked first and sampled after: a timer that ended unnoticed in between has woken somebody.
        return self._judge(history_mark, pending(self._pids, time.monotonic_ns()))

    @property
    def members(self) -> frozenset[Member]:
        """Who was there at the last look: processes and threads, and which of them had ended."""
        return fingerprint(self._last).members if self._last else frozenset()

    def fingerprint(self) -> Fingerprint:
        """Return what the last look saw, to ask `motion_since` later; raises if there was none."""
        if self._last is None:
            raise RuntimeError(
                "expected a look before the fingerprint, got none; call look() first"
            )
        return fingerprint(self._last)

    def motion_since(self, earlier: Fingerprint) -> Motion:
        """Take a sample of a parked tree, and tell what happened since the fingerprint."""
        return fingerprint(self._sample()).motion_since(earlier)

    def _judge(self, history_mark: int, timers: Pending = NOTHING_PENDING) -> Verdict:
        seen = self._sample()
        self._quietness.observe(seen, history_mark)
        return self._quietness.verdict(seen.ended_ns, timers)

    def _sample(self) -> TreeSample:
        self._last = sample(self._root_pid, self._last)
        return self._last

    @property
    def _pids(self) -> tuple[int, ...]:
        return () if self._last is None else self._last.pids
