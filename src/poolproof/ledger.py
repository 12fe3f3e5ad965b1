"""The pool's own history: noted as tuples where it is hot, written and told once a loop turn."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from poolproof.history import Packed, compact_frame, compact_header

KINDS: Final = ("invoke", "ok", "fail", "info", "birth", "death", "note", "phase", "invoke*", "ok*")
OPS: Final = ("job", "checkout", "worker", "pool", "breaker", "session")
INVOKE, OK, FAIL, INFO, BIRTH, DEATH, NOTE, PHASE, INVOKES, OKS = range(len(KINDS))
JOB, CHECKOUT, WORKER, POOL, BREAKER, SESSION = range(len(OPS))

Reader = Callable[[Sequence[Packed]], None]

_APPEND: Final = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC


class Ledger:
    """What happened in one pool, in order; as a file, and to any number of readers in real time.

    `note` is the list's own `append`, so that an event costs a tuple; `flush` does the rest for all
    that was noted since. An event is `(t_ns, kind, op, number, data, error, message)`, cut after
    the last that is said; `data` is a worker's number, or a mapping with more. Two kinds stand for
    many events at once: `(t_ns, INVOKES, op, first number, how many)`, and
    `(t_ns, OKS, op, worker, numbers, nanoseconds that each took)`.

    Args:
        path: the file, in the compact form of `poolproof.history`; None keeps none.
    """

    __slots__ = ("_descriptor", "_events", "_readers", "note", "path")

    def __init__(self, path: Path | None = None) -> None:
        self.path = path
        self._events: list[Packed] = []
        self._readers: list[Reader] = []
        self.note: Callable[[Packed], None] = self._events.append
        self._descriptor = -1
        if path is not None:
            self._descriptor = os.open(path, _APPEND, 0o600)
            os.write(self._descriptor, compact_header(KINDS, OPS))

    def follow(self, reader: Reader) -> Callable[[], None]:
        """Have `reader` called with each batch of events from now on; return what ends it."""
        self.flush()
        self._readers.append(reader)

        def unfollow() -> None:
            self.flush()
            if reader in self._readers:
                self._readers.remove(reader)

        return unfollow

    def flush(self) -> None:
        """Write and tell what was noted since the last time."""
        if not self._events:
            return
        batch = self._events[:]
        self._events.clear()
        if self._descriptor >= 0:
            os.write(self._descriptor, compact_frame(batch))
        for reader in self._readers:
            reader(batch)

    def close(self) -> None:
        """Flush, and let go of the file; what is noted afterwards goes to readers only."""
        self.flush()
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
