"""The nine categories of failure: how bad each is, and what is done about it.

The table is that of the plan (`docs/planned_names.md`), kept once: whatever decides about a failure
reads it here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal, get_args

CategoryName = Literal[
    "initialization",
    "connection",
    "communication",
    "timeout",
    "resource",
    "health_check",
    "session",
    "python",
    "system",
]
Severity = Literal["minor", "major", "critical"]
Strategy = Literal["immediate_retry", "backoff_retry", "circuit_break", "failover", "abandon"]
Backoff = Literal["none", "linear", "exponential", "fibonacci", "decorrelated"]

SEVERITIES: Final[tuple[Severity, ...]] = get_args(Severity)


@dataclass(frozen=True, slots=True)
class Category:
    """One row of the table.

    Attributes:
        name: what sort of failure it is.
        severity: how bad it is by itself; `recovery.escalate` may raise it.
        strategy: what to do about it.
        max_retries: attempts after the first; a retry also needs that nothing can have happened,
            or that the job was declared idempotent.
        backoff: how the delay grows from one retry to the next.
    """

    name: CategoryName
    severity: Severity
    strategy: Strategy
    max_retries: int
    backoff: Backoff


_ROWS: Final = (
    Category("initialization", "critical", "circuit_break", 3, "exponential"),
    Category("connection", "major", "backoff_retry", 5, "exponential"),
    Category("communication", "major", "immediate_retry", 3, "linear"),
    Category("timeout", "major", "backoff_retry", 2, "exponential"),
    Category("resource", "critical", "circuit_break", 1, "none"),
    Category("health_check", "minor", "backoff_retry", 3, "linear"),
    Category("session", "minor", "immediate_retry", 2, "none"),
    Category("python", "major", "failover", 1, "none"),
    Category("system", "critical", "abandon", 0, "none"),
)
CATEGORIES: Final[Mapping[str, Category]] = MappingProxyType({row.name: row for row in _ROWS})
