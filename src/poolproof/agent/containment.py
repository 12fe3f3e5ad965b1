"""Keep a process tree together, and end all of it, by identity and never by name. Linux only."""

import ctypes
import os
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Final

# From <linux/prctl.h>.
_PR_SET_PDEATHSIG: Final = 1
_PR_SET_CHILD_SUBREAPER: Final = 36

TRACKER_SECONDS: Final = 5.0
"""How long a tracker is given to remove what the dead have left: a few milliseconds' work on an idle machine."""
TRACKERS: Final = frozenset({"resource_tracker", "semaphore_tracker"})
"""How the modules are named that run in trackers, in multiprocessing and its copies."""


# Looked up once, before any fork: what a forked process looks up for itself costs it half a millisecond.
_call_prctl: Final = ctypes.CDLL(None, use_errno=True).prctl


def _prctl(option: int, value: int) -> None:
    if _call_prctl(option, value, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def become_subreaper() -> None:
    """Make this process the parent of every orphan below it; raise OSError where the kernel cannot."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def die_with_parent(parent: int) -> None:
    """Arrange a SIGKILL for this process when `parent` dies, and exit at once if it has already."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def children(pid: int) -> Iterator[int]:
    """Yield the direct children of `pid`, of all its threads; nothing if it is gone."""
    with suppress(OSError):
        for tid in os.listdir(f"/proc/{pid}/task"):
            with suppress(OSError), open(f"/proc/{pid}/task/{tid}/children", "rb") as file:
                yield from map(int, file.read().split())


def descendants(pid: int) -> list[int]:
    """Return everything below `pid`, parents before their children, `pid` itself excluded."""
    found = list(children(pid))
    for child in found:  # grows while it is walked
        found.extend(children(child))
    return found


def end_all_below(pid: int) -> None:
    """Kill and, where they are ours, reap all descendants of `pid` until none is left.

    New ones cannot outrun it: a killed process forks no more, and what it had forked is found in the next round.
    The trackers of multiprocessing come last. They remove the semaphores and the shared memory of those who were
    killed, and end by themselves; who takes longer than `TRACKER_SECONDS` is killed as well.
    """
    until = time.monotonic() + TRACKER_SECONDS
    while below := descendants(pid):
        patient = time.monotonic() < until
        spared = [child for child in below if patient and is_tracker(child)]
        for child in below:
            if child not in spared:
                with suppress(ProcessLookupError):
                    os.kill(child, signal.SIGKILL)
        reap()
        if spared:
            time.sleep(0.001)


def is_tracker(pid: int) -> bool:
    """Tell whether `pid` removes what other processes leave in /dev/shm, as multiprocessing starts one for its own.

    A process that is in the middle of its exec has no command line yet, and may be about to become one.
    """
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            line = file.read().decode(errors="replace")
    except OSError:
        return False
    return not line or any(word in line for word in TRACKERS)


def started_module(argv: Sequence[str]) -> str:
    """Return the last name of the module whose `main` a command line imports and calls, or nothing.

    So the standard library and its copies (loky, joblib, billiard, multiprocess) start what serves their processes.
    """
    code = argv[argv.index("-c") + 1] if "-c" in argv[:-1] else ""
    words = code.split(maxsplit=2)
    return words[1].rpartition(".")[2] if words[:1] == ["from"] and len(words) > 1 else ""


def reap() -> list[tuple[int, int]]:
    """Collect every dead child of this process without blocking; return their (pid, wait status)."""
    found: list[tuple[int, int]] = []
    with suppress(ChildProcessError):
        while (dead := os.waitpid(-1, os.WNOHANG))[0]:
            found.append(dead)
    return found
