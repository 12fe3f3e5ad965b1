"""The stack's record of what went wrong and what came of it: counted, timed, logged."""

import logging
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple, cast

from poolproof.history import Packed
from poolproof.ledger import BIRTH, DEATH, FAIL, INFO, KINDS, NOTE, PHASE, Ledger
from poolproof.pool.settings import MS

LENGTH: Final = 1000
"""How many of the last errors and recoveries are kept."""
_LEVELS: Final = {
    BIRTH: logging.INFO,
    DEATH: logging.WARNING,
    NOTE: logging.WARNING,
    FAIL: logging.INFO,
    INFO: logging.INFO,
    PHASE: logging.INFO,
}


class Recovery(NamedTuple):
    """A worker's death and its replacement.

    Attributes:
        worker: the number of both.
        died_ns: when the first had ended.
        took_ns: how long until the second was given jobs.
    """

    worker: int
    died_ns: int
    took_ns: int

    @property
    def took_ms(self) -> float:
        """How long it took, in milliseconds."""
        return self.took_ns / MS


class Orchestrator:
    """Reads a pool's history as it happens; what went wrong is found here, and in the log.

    What is to be done about a failure is decided in `pool.retrying` and `pool.recovery`; this is
    the plan's ErrorRecoveryOrchestrator as far as it is a witness.

    Attributes:
        errors: how many jobs failed, by the category of their error.
        last_errors: the contexts of the last of them (see `errors.ErrorContext.data`).
        recoveries: the last deaths with how long each replacement took.
    """

    def __init__(
        self, ledger: Ledger, log: logging.Logger, level: int, records: Mapping[str, str]
    ) -> None:
        self.errors: Counter[str] = Counter()
        self.last_errors: deque[Mapping[str, Any]] = deque(maxlen=LENGTH)
        self.recoveries: deque[Recovery] = deque(maxlen=LENGTH)
        self._log, self._level, self._records = log, level, records
        self._died: dict[int, int] = {}
        self._unfollow: Callable[[], None] = ledger.follow(self._read)

    def close(self) -> None:
        """Read no more."""
        self._unfollow()

    def _read(self, batch: Sequence[Packed]) -> None:
        for event in batch:
            if FAIL <= event[1] <= PHASE:
                self._take(event)

    def _take(self, event: Packed) -> None:
        whole: tuple[Any, ...] = (*event, None, None, None)
        t, kind, _, number, data, error, message = whole[:7]
        known = cast("dict[str, Any]", data) if isinstance(data, dict) else None
        context = known or {"worker": data}
        if kind == DEATH:
            self._died[number] = t
        elif kind == BIRTH and (died := self._died.pop(number, None)) is not None:
            self.recoveries.append(Recovery(number, died, t - died))
        elif kind in {FAIL, INFO} and error is not None:
            self.errors[context.get("category", "system")] += 1
            self.last_errors.append(context)
        self._say(kind, error, message or context.get("what"), context.get("worker"))

    def _say(self, kind: int, error: str | None, message: str | None, worker: int | None) -> None:
        level = logging.INFO if error == "terminated" else _LEVELS[kind]
        if level >= self._level and self._log.isEnabledFor(level):
            text = ": ".join(str(part) for part in (KINDS[kind], error, message) if part)
            extra = {**self._records, "worker": worker}
            self._log.log(
                level, "%s (%s, worker %s)", text, self._records["test"], worker, extra=extra
            )
