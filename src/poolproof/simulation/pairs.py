"""Socket pairs with both ends in this process: the one real thing whose course a simulation decides.

The kernel hands on what is sent to such a pair before `send` returns, so what can be read hangs on the
program alone. The bridge layer sends its frames that way. It is looked at when nothing else is ready.
"""

import os
import select
import socket
from collections.abc import Callable
from typing import Any, Final

from poolproof.simulation.refusal import refuse

Callback = tuple[Callable[..., object], tuple[Any, ...]]
_READS: Final = select.POLLIN | select.POLLHUP | select.POLLERR
_WRITES: Final = select.POLLOUT | select.POLLHUP | select.POLLERR


class Pairs:
    """Who waits to read from, or write to, which end of a pair."""

    def __init__(self) -> None:
        self._poll = select.poll()
        self._readers: dict[int, Callback] = {}
        self._writers: dict[int, Callback] = {}

    def __bool__(self) -> bool:
        return bool(self._readers or self._writers)

    def add(self, kind: str, file: Any, callback: Callback) -> None:
        """Call back whenever the end can be read (`kind` is reader) or written (writer).

        Raises:
            RealWorldError: it is no end of a socket pair.
        """
        descriptor = _number(file)
        if not _is_pair(descriptor):
            raise refuse(f"add_{kind}", "a real file descriptor")
        self._of(kind)[descriptor] = callback
        self._register(descriptor)

    def remove(self, kind: str, file: Any) -> bool:
        """Call back no more; return whether anybody did wait."""
        descriptor = _number(file)
        known = self._of(kind).pop(descriptor, None) is not None
        if known:
            self._register(descriptor)
        return known

    def due(self) -> list[Callback]:
        """Return what is to be called now, in the order in which it was first asked for."""
        events = dict(self._poll.poll(0)) if self else {}
        reads = [(fd, call) for fd, call in self._readers.items() if events.get(fd, 0) & _READS]
        writes = [(fd, call) for fd, call in self._writers.items() if events.get(fd, 0) & _WRITES]
        return [call for _, call in (*reads, *writes)]

    def _of(self, kind: str) -> dict[int, Callback]:
        return self._readers if kind == "reader" else self._writers

    def _register(self, descriptor: int) -> None:
        mask = select.POLLIN if descriptor in self._readers else 0
        mask |= select.POLLOUT if descriptor in self._writers else 0
        if mask:
            self._poll.register(descriptor, mask)
        else:
            self._poll.unregister(descriptor)


def _number(file: Any) -> int:
    return file if isinstance(file, int) else int(file.fileno())


def _is_pair(descriptor: int) -> bool:
    """Return whether it is a stream between two sockets without names; one that has a path came from elsewhere."""
    try:
        with socket.socket(fileno=os.dup(descriptor)) as end:
            nameless = not end.getsockname() and not end.getpeername()
            return end.family == socket.AF_UNIX and nameless
    except OSError:
        return False
