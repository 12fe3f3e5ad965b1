"""Threads, and pools of threads that nobody shuts down."""

import sys
import threading
import types
import weakref
from typing import Any, Final

from poolproof.isolation.blame import Notes, shortened
from poolproof.isolation.resources.base import Change, Finding, State, living


class Threads:
    """The threads that Python knows."""

    slugs = ("thread",)
    steady = False
    fades = True

    def __init__(self, loops: "weakref.WeakSet[Any] | None" = None) -> None:
        """Begin to watch.

        Args:
            loops: the event loops that are known, whose executors' threads are theirs.
        """
        self._loops = loops

    def look(self) -> State:
        """Return the threads that are alive."""
        return dict.fromkeys(threading.enumerate(), True)

    def judge(self, change: Change, notes: Notes) -> Finding | None:
        """Report a thread that was started in this turn, neither by an import nor by an older thread."""
        thread = change.key
        assert isinstance(thread, threading.Thread)
        foreign = type(thread).__name__ == "_DummyThread"  # it never ends in 3.11
        site = notes.threads.get(thread)
        if not change.appeared or foreign or not thread.is_alive() or not notes.mine(site):
            return None
        if _idles(thread) or any(_serves(thread, loop) for loop in living(self._loops)):
            return None
        kind = "daemon thread" if thread.daemon else "thread"
        where = f"started at {site}" if site else ""
        return Finding(
            resource="thread", what=f"{kind} {thread.name!r}, {doing(thread)}", where=where
        )

    def objects(self, change: Change) -> list[object]:
        """Return the thread, and the pool whose worker it is."""
        arguments: tuple[Any, ...] = getattr(change.key, "_args", None) or ()
        pools: list[Any] = [one() for one in arguments if type(one) is weakref.ref]
        return [change.key, *filter(None, pools)]

    def undo(self, change: Change) -> None:
        """Leave it: a thread cannot be ended from outside."""


# Who keeps idle threads for the whole process: the module of their work, and the function in which they wait for more.
_KEPT_IDLE: Final = {
    "trio._core._thread_cache": "_work",
    "poolproof.supervision.containment": "_run",
}


_BETWEEN: Final = "blockbuster.blockbuster"
"""What stands between a thread and the lock that it waits for, where blockbuster looks for calls that block a loop."""


def _idles(thread: threading.Thread) -> bool:
    waits_in = _KEPT_IDLE.get(getattr(getattr(thread, "_target", None), "__module__", ""))
    frame = frame_of(thread) if waits_in else None
    while frame is not None and frame.f_globals.get("__name__") == _BETWEEN:
        frame = frame.f_back
    return frame is not None and frame.f_code.co_name == waits_in


def _serves(thread: threading.Thread, loop: Any) -> bool:
    """Tell whether a thread is of an open loop's executor: it goes when that does, and a job is told apart."""
    executor = getattr(loop, "_default_executor", None)
    return thread in getattr(executor, "_threads", ()) and not loop.is_closed()


def frame_of(thread: threading.Thread) -> types.FrameType | None:
    """Return the innermost frame of a thread, None if it is ending."""
    frames = sys._current_frames()  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
    return frames.get(thread.ident or 0)


def doing(thread: threading.Thread) -> str:
    """Return what a thread is at, as text."""
    frame = frame_of(thread)
    if frame is None:
        return "ending"
    code = frame.f_code
    return f"in {code.co_qualname} ({shortened(code.co_filename)}:{frame.f_lineno})"
