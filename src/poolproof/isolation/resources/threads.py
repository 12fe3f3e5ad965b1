"""Threads, and pools of threads that nobody shuts down."""

import sys
import threading
from typing import Final

from poolproof.isolation.blame import Notes, shortened
from poolproof.isolation.resources.base import Change, Finding, State


class Threads:
    """The threads that Python knows."""

    slugs: Final = ("thread",)
    steady: Final = False
    fades: Final = True

    def look(self) -> State:
        """Return the threads that are alive."""
        return dict.fromkeys(threading.enumerate(), True)

    def judge(self, change: Change, notes: Notes) -> Finding | None:
        """Report a thread that was started in this turn, neither by an import nor by an older thread."""
        thread = change.key
        assert isinstance(thread, threading.Thread)
        foreign = isinstance(thread, threading._DummyThread)  # noqa: SLF001 (it never ends in 3.11)
        site = notes.threads.get(thread)
        if not change.appeared or foreign or not thread.is_alive() or not notes.mine(site):
            return None
        kind = "daemon thread" if thread.daemon else "thread"
        where = f"started at {site}" if site else ""
        return Finding(
            resource="thread", what=f"{kind} {thread.name!r}, {doing(thread)}", where=where
        )

    def undo(self, change: Change) -> None:
        """Leave it: a thread cannot be ended from outside."""


def doing(thread: threading.Thread) -> str:
    """Return what a thread is at, as text."""
    frame = sys._current_frames().get(thread.ident or 0)  # noqa: SLF001 (the documented way)
    if frame is None:
        return "ending"
    code = frame.f_code
    return f"in {code.co_qualname} ({shortened(code.co_filename)}:{frame.f_lineno})"
