"""A timer on an event loop that is exact: the loop's own rounds up to a whole millisecond. Linux only."""

import asyncio
import ctypes
import os
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

_CLOCK_MONOTONIC: Final = 1
_ABSOLUTE: Final = 1
_NS: Final = 1_000_000_000


class _Spec(ctypes.Structure):
    _fields_ = [(name, ctypes.c_long) for name in ("again_s", "again_ns", "s", "ns")]


class Timer:
    """Calls a function on the loop at a time of CLOCK_MONOTONIC (timerfd, as Python has it from 3.13 on).

    Args:
        loop: whose `add_reader` is used.
        call: what is called.

    Raises:
        OSError: the kernel has no more timers.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, call: Callable[[], None]) -> None:
        self._loop, self._call = loop, call
        self._libc: Any = ctypes.CDLL(None, use_errno=True)
        self._file: int = self._libc.timerfd_create(_CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC)
        if self._file < 0:
            raise OSError(ctypes.get_errno(), "expected a timer of the kernel's")
        loop.add_reader(self._file, self._fired)

    def then(self, call: Callable[[], None]) -> None:
        """Call something else from now on."""
        self._call = call

    def fire_at(self, when_ns: int) -> None:
        """Call it once, at that time, in place of what was asked before; at once if it is over."""
        spec = _Spec(0, 0, *divmod(max(when_ns, 1), _NS))
        self._libc.timerfd_settime(self._file, _ABSOLUTE, ctypes.byref(spec), None)

    def _fired(self) -> None:
        with suppress(BlockingIOError):
            os.read(self._file, 8)
        self._call()

    def close(self) -> None:
        """Let go of it."""
        self._loop.remove_reader(self._file)
        os.close(self._file)
