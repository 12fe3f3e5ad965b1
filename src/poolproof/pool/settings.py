"""What a pool is told: sizes, bounds and patience, with the plan's numbers as defaults."""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any, Final, Literal

from poolproof.errors import UsageError
from poolproof.pool.recycling import Limits

Order = Literal["lifo", "fifo"]
Mode = Literal["hint", "strict"]

MS: Final = 1_000_000
"""Nanoseconds in a millisecond."""
NS: Final = 1_000_000_000
"""Nanoseconds in a second."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolSettings:
    """How a pool behaves; times are seconds.

    The numbers are those of the plan (docs/planned_names.md), where it has one.

    Attributes:
        size: how many workers it keeps.
        overflow: how many more it may start while all are busy and somebody waits.
        overflow_idle: after how long an idle one of these is let go.
        lazy: start the workers when there is work, not on opening.
        order: which idle worker a checkout gets: the last checked in (`lifo`), or the first.
        line: who is served first of those who wait: the first (`fifo`), or the last.
        most_waiting: how many may wait; one more is shed with `PoolExhaustedError`.
        timeout: the deadline of what names none.
        init_timeout: how long a worker's start may take.
        start_retries: how often a failed start is tried again before the place is left empty.
        start_pause: how long an empty place stays so before a start is tried again.
        ping_interval: after how long an idle worker is asked whether it is well.
        ping_timeout: how long it may take to answer.
        grace: how long a worker may take to leave, and to answer a request that is past its deadline.
        start_mark: after how long a worker that has not even begun a request is given up.
        stall_mark: after how long at one request a worker is sent no more until it answers, and what
            it has not begun is sent to others.
        balancing: the name of a strategy (see `balancing.STRATEGIES`).
        affinity: whether a session prefers its worker (`hint`) or insists on it (`strict`).
        session_ttl: how long a session without a request is remembered.
        session_sweep: how often those that are over are forgotten.
        most_sessions: how many sessions are remembered.
        most_ahead: how many requests a worker may hold at most; 1 gives each its next only when it
            has answered.
        ahead: how much work, in seconds, a worker may hold ahead while its jobs are short.
        ahead_bytes: how many bytes of requests a worker may hold before it gets only one at a time.
        resends: how often a job that had not begun when its worker died is sent to another.
        retry_base: the first pause before a retry that backs off; see `pool.retrying`.
        most_deaths: how many workers a job may end before it is quarantined.
        max_jobs, max_age, max_rss_bytes: when a worker is recycled, the first two up to a tenth
            earlier, so that not all go at once; None is never.
        usage_interval: how often workers are asked for their memory, where it is bounded.
    """

    size: int = 2
    overflow: int = 0
    overflow_idle: float = 1.0
    lazy: bool = False
    order: Order = "lifo"
    line: Order = "fifo"
    most_waiting: int = 10_000
    timeout: float = 10.0
    init_timeout: float = 10.0
    start_retries: int = 3
    start_pause: float = 5.0
    ping_interval: float = 30.0
    ping_timeout: float = 5.0
    grace: float = 1.0
    start_mark: float = 1.0
    stall_mark: float = 0.005
    balancing: str = "least_loaded"
    affinity: Mode = "hint"
    session_ttl: float = 300.0
    session_sweep: float = 60.0
    most_sessions: int = 10_000
    most_ahead: int = 256
    ahead: float = 0.001
    ahead_bytes: int = 1 << 20
    resends: int = 5
    retry_base: float = 0.05
    most_deaths: int = 3
    max_jobs: int | None = None
    max_age: float | None = None
    max_rss_bytes: int | None = None
    usage_interval: float = 1.0

    def __post_init__(self) -> None:
        """Refuse what cannot be.

        Raises:
            UsageError: a value is impossible; all of them are named.
        """
        if problems := list(_problems(self)):
            raise UsageError("; ".join(problems))

    @property
    def recycling(self) -> Limits:
        """How long a worker may serve."""
        return Limits(
            age_ns=int((self.max_age or 0) * NS),
            jobs=self.max_jobs or 0,
            rss_bytes=self.max_rss_bytes or 0,
        )


_COUNTS_FROM_ONE: Final = frozenset(
    {"size", "most_waiting", "most_ahead", "most_deaths", "max_jobs"}
)
_CHOICES: Final = {
    "order": ("lifo", "fifo"),
    "line": ("lifo", "fifo"),
    "affinity": ("hint", "strict"),
}


def _problems(settings: PoolSettings) -> Iterator[str]:
    for field in fields(settings):
        value: Any = getattr(settings, field.name)
        kind = field.type.__name__ if isinstance(field.type, type) else str(field.type)
        expected = _expected(field.name, kind, value)
        if expected:
            yield f"expected {field.name} to be {expected}, got {value!r}"


def _expected(name: str, kind: str, value: Any) -> str | None:
    """Return what was expected of a value, or None if it is that."""
    if value is None and "None" in kind:
        return None
    if name in _CHOICES:
        return None if value in _CHOICES[name] else " or ".join(_CHOICES[name])
    if kind.startswith(("str", "bool")):
        fits = isinstance(value, bool if kind == "bool" else str)
        return None if fits else ("True or False" if kind == "bool" else "a name")
    least = 1 if name in _COUNTS_FROM_ONE else 0
    wanted = int if kind.startswith("int") else (int, float)
    fits = isinstance(value, wanted) and not isinstance(value, bool) and value >= least
    return None if fits else f"{'a whole number' if wanted is int else 'seconds'} from {least} on"
