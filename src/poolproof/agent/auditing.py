"""Audit hooks, and what keeps one from costing a thread its tracer, and so its life, on Python 3.11.

There whoever installs a trace function while another thread does so is refused with a RuntimeError, and a hook that
is written in Python may let that other thread run meanwhile. coverage.py installs one in each new thread: beside our
hook, 22 threads in 100 ended before their first line where threads are switched each microsecond (3.11.7).
"""

import os
import sys
import threading
from collections.abc import Callable
from typing import Any, Final

_turn: Final = threading.RLock()


def add_hook(hook: Callable[[str, tuple[Any, ...]], object]) -> None:
    """Have this called at every audit event of the interpreter, for ever: a hook cannot be taken out again."""
    global _real_settrace
    sys.addaudithook(hook)
    if sys.version_info < (3, 12) and _real_settrace is None:
        _real_settrace, sys.settrace = sys.settrace, settrace
        os.register_at_fork(after_in_child=_turn._at_fork_reinit)  # type: ignore[attr-defined]  # noqa: SLF001


_real_settrace: Any = None


def settrace(function: Any, /) -> None:
    """Do what `sys.settrace` does when no other thread does: that is what it is there, once there is a hook."""
    # That of coverage.py goes on to install its tracer in C, past this function. Another's has no turn: a debugger
    # may wait in it for its user.
    hook: Any = threading.gettrace()
    if function is hook and getattr(hook, "__module__", "") == "coverage.collector":
        function = _in_turn(function)
    with _turn:
        _real_settrace(function)


def _in_turn(function: Callable[..., Any]) -> Callable[..., Any]:
    def traced(*event: Any) -> Any:
        with _turn:
            return function(*event)

    return traced
