"""The lock of a coverage tool in the owner: no child may be forked that waits for it for ever.

The tracer of coverage.py takes a lock at each call of measured code (measured with 7.17; coveragepy#1892 tells of
7.5.5), and a child that is forked while another thread holds it stops at the first such call. The pool would be blamed.
"""

import os
import sys
from typing import Any


def free_in_children() -> None:
    """Have every child that this process forks from now on begin with the lock free; without coverage, do nothing.

    To be called before any hook for forked children that coverage measures is registered: they run in that order.
    """
    coverage: Any = getattr(sys.modules.get("coverage"), "Coverage", None)
    measuring = coverage.current() if coverage else None
    lock = getattr(getattr(measuring, "_collector", None), "data_lock", None)
    # What the standard library does to its own locks, in C: a function of Python's would be measured, and wait.
    if free := getattr(lock, "_at_fork_reinit", None):
        os.register_at_fork(after_in_child=free)
