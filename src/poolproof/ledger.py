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

HELD: Final = 256
"""How many events may wait for the file where nothing can be lost by it; see `Ledger.hold`."""
_APPEND: Final = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC


class Ledger:
    """What happened in one pool, in order; as a file, and to any number of readers in real time.

    `note` is the list's own `append`, so that an event costs a tuple; `flush` does the rest for all
    that was noted since. An event is `(t_ns, kind, op, number, data, error, message)`, cut after
    the last that is said; `data` is a worker's number, or a mapping with more. Two kinds stand for
    many events at once: `(t_ns, INVOKES, op, first number, how many)`, and
    `(t_ns, OKS, op, worker, numbers, nanoseconds that each took)`.

    Args:
        path: the file, in the compact form of `poolproof.history`; made when there is something to
            write; None keeps none.

    Attributes:
        hold: how many events may wait for the file from one turn to the next, unless there are readers.
            0 on a real loop, so that the end of the process loses at most the turn that it is in.
    """

    __slots__ = ("_descriptor", "_events", "_open", "_readers", "hold", "note", "path")

    def __init__(self, path: Path | None = None) -> None:
        self.path = path
        self.hold = 0
        self._events: list[Packed] = []
        self._readers: list[Reader] = []
        self.note: Callable[[Packed], None] = self._events.append
        self._descriptor = -1
        self._open = path is not None

    def follow(self, reader: Reader) -> Callable[[], None]:
        """Have `reader` called with each batch of events from now on; return what ends it."""
        self.flush()
        self._readers.append(reader)

        def unfollow() -> None:
            self.flush()
            if reader in self._readers:
                self._readers.remove(reader)

        return unfollow

    def turned(self) -> None:
        """Flush at the end of a turn, unless the events may wait."""
        if len(self._events) > self.hold or self._readers:
            self.flush()

    def flush(self) -> None:
        """Write and tell what was noted since the last time."""
        if not self._events:
            return
        batch = self._events[:]
        self._events.clear()
        if self._open:
            self._write(compact_frame(batch))
        for reader in self._readers:
            reader(batch)

    def _write(self, frame: bytes) -> None:
        if self._descriptor < 0:
            assert self.path is not None
            self._descriptor = os.open(self.path, _APPEND, 0o600)
            frame = compact_header(KINDS, OPS) + frame
        os.write(self._descriptor, frame)

    def close(self) -> None:
        """Flush, and let go of the file; what is noted afterwards goes to readers only."""
        self.flush()
        self._open = False
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
