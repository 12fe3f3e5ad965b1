"""When to stop trying: closed, open, and half open with a bound on the probes in flight.

The breaker only decides. The job runs elsewhere, and its outcome comes back with the permit it was
admitted with, so that an answer from before the circuit opened is no probe's answer.
"""

from collections import deque
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

from poolproof.errors import PoolError

Position = Literal["closed", "open", "half_open"]
Reason = Literal["failures", "waited", "probe_failed", "probe_unanswered", "probes_succeeded"]

HISTORY_LENGTH: Final = 64
REFUSED: Final = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """When a breaker changes its position; the numbers are the plan's.

    Attributes:
        failures_to_open: failures in a row that open it.
        open_ns: how long it refuses everything; also how long all probes may stay unanswered, counted
            from the last one's admission, before it opens again.
        successes_to_close: successes of probes that close it.
        probes_in_flight: how many probes may run at once when it is half open.
    """

    failures_to_open: int = 5
    open_ns: int = 60_000_000_000
    successes_to_close: int = 3
    probes_in_flight: int = 3

    def __post_init__(self) -> None:
        assert min(self.failures_to_open, self.successes_to_close, self.probes_in_flight) > 0
        assert self.open_ns > 0


class Change(NamedTuple):
    """A change of position.

    Attributes:
        origin: the position before.
        target: the position after.
        reason: why.
        at_ns: when, CLOCK_MONOTONIC.
    """

    origin: Position
    target: Position
    reason: Reason
    at_ns: int


def counts_as_failure(error: BaseException) -> bool:
    """Return whether an outcome speaks against what the breaker protects.

    An error that a worker returned does. A cancellation does not, nor a job that was refused before
    anything was tried: give its permit back by `CircuitBreaker.released`.
    """
    if isinstance(error, PoolError):
        return error.counts_as_failure
    return isinstance(error, Exception)


class CircuitBreaker:
    """A circuit breaker; times are `now_ns`, CLOCK_MONOTONIC nanoseconds.

    Each permit of `admit` must come back once, by `succeeded`, `failed` or `released`.

    Attributes:
        position: `closed`, `open` or `half_open`.
        changes: how often the position changed: look at `history()` when it moved.
        successes: all outcomes that were successes, of whatever permit.
        failures: all outcomes that were failures, of whatever permit.
        refusals: how often `admit` refused.

    Example:
        >>> breaker = CircuitBreaker(Limits(failures_to_open=1))
        >>> permit = breaker.admit(now_ns=0)
        >>> breaker.failed(permit, now_ns=1)
        >>> breaker.position, breaker.admit(now_ns=2) == REFUSED
        ('open', True)
    """

    __slots__ = (
        "_history",
        "_in_a_row",
        "_limits",
        "_probes",
        "_since_ns",
        "changes",
        "failures",
        "position",
        "refusals",
        "successes",
    )

    def __init__(self, limits: Limits | None = None) -> None:
        self.position: Position = "closed"
        self.changes = 0
        self.successes = 0
        self.failures = 0
        self.refusals = 0
        self._limits = limits or Limits()
        self._in_a_row = 0
        self._probes = 0
        self._since_ns = 0
        self._history: deque[Change] = deque(maxlen=HISTORY_LENGTH)

    def history(self) -> list[Change]:
        """Return the last changes, newest first, at most `HISTORY_LENGTH`."""
        return list(reversed(self._history))

    def admit(self, now_ns: int) -> int:
        """Return a permit for one job, or `REFUSED`."""
        if self.position == "closed":
            return self.changes
        if self._waited(now_ns):
            if self.position == "open":
                self._go("half_open", "waited", now_ns)
            elif self._probes == self._limits.probes_in_flight:
                self._go("open", "probe_unanswered", now_ns)
        if self.position == "open" or self._probes == self._limits.probes_in_flight:
            self.refusals += 1
            return REFUSED
        self._probes += 1
        self._since_ns = now_ns
        return self.changes

    def retry_after_ns(self, now_ns: int) -> int:
        """Return how long it will surely refuse; 0 if it may admit."""
        if self.position != "open":
            return 0
        return max(0, self._since_ns + self._limits.open_ns - now_ns)

    def succeeded(self, permit: int, now_ns: int) -> None:
        """Note a success."""
        self.successes += 1
        if permit != self.changes:
            return
        if self.position == "closed":
            self._in_a_row = 0
            return
        self._probes -= 1
        self._in_a_row += 1
        if self._in_a_row == self._limits.successes_to_close:
            self._go("closed", "probes_succeeded", now_ns)

    def failed(self, permit: int, now_ns: int) -> None:
        """Note a failure; a returned error is one."""
        self.failures += 1
        if permit != self.changes:
            return
        if self.position == "half_open":
            self._go("open", "probe_failed", now_ns)
            return
        self._in_a_row += 1
        if self._in_a_row == self._limits.failures_to_open:
            self._go("open", "failures", now_ns)

    def released(self, permit: int) -> None:
        """Take a permit back whose job was never tried, or was cancelled."""
        if permit == self.changes and self.position == "half_open":
            self._probes -= 1

    def _waited(self, now_ns: int) -> bool:
        return now_ns - self._since_ns >= self._limits.open_ns

    def _go(self, target: Position, reason: Reason, now_ns: int) -> None:
        self._history.append(Change(self.position, target, reason, now_ns))
        self.position = target
        self.changes += 1
        self._in_a_row = 0
        self._probes = 0
        self._since_ns = now_ns
