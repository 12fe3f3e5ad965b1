"""The loop's one step: look at a tree, and say whether it moves. Linux only."""

import time

from poolproof.watch.pending import pending
from poolproof.watch.quiet import Fingerprint, Quiet, Quietness, Verdict, fingerprint
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
        self._last = sample(self._root_pid, self._last)
        self._quietness.observe(self._last, history_mark)
        verdict = self._quietness.verdict(self._last.ended_ns)
        if not isinstance(verdict, Quiet):
            return verdict
        now_ns = time.monotonic_ns()
        return self._quietness.verdict(now_ns, pending(self._last.pids, now_ns))

    def fingerprint(self) -> Fingerprint:
        """Return what tells later whether the tree moved since now; takes a sample of its own."""
        self._last = sample(self._root_pid, self._last)
        return fingerprint(self._last)
