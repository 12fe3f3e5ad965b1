"""What a failure means: how severe it is by now, what becomes of the worker, how long recovery may take."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal, NamedTuple

from poolproof.categories import SEVERITIES, Severity
from poolproof.errors import (
    CheckoutTimeoutError,
    DeadlineExceededError,
    HealthCheckFailedError,
    PoolError,
    RemoteError,
    StartFailedError,
)
from poolproof.pool.worker import FAILED_CHECKS_TO_REMOVE

Action = Literal["keep", "degrade", "replace", "remove"]

_MS: Final = 1_000_000
DEGRADED_CHECK_NS: Final = 5000 * _MS
RETRIES_BEFORE_UPGRADE: Final = 3
CRITICAL_RETRIES: Final = 2
BUDGET_NS: Final[Mapping[Severity | None, int]] = MappingProxyType(
    {
        "critical": 5000 * _MS,
        "major": 30_000 * _MS,
        "minor": 60_000 * _MS,
        None: 10_000 * _MS,
    }
)


def escalate(severity: Severity, *, retries: int, all_workers: bool = False) -> Severity:
    """Return how severe a failure is by now.

    One step more when more than three retries have failed; critical when every worker is affected.

    Args:
        severity: of its category.
        retries: those that were made already.
        all_workers: whether every worker of the pool is affected.
    """
    if all_workers:
        return "critical"
    step = SEVERITIES.index(severity) + (retries > RETRIES_BEFORE_UPGRADE)
    return SEVERITIES[min(step, len(SEVERITIES) - 1)]


def is_hopeless(severity: Severity, retries: int) -> bool:
    """Return whether it is time to give up: critical, and more than two retries have failed."""
    return severity == "critical" and retries > CRITICAL_RETRIES


def budget_ns(severity: Severity | None, *, user_facing: bool = False) -> int:
    """Return how long recovery from a failure may take in all; half of it if a user waits."""
    return BUDGET_NS[severity] // (2 if user_facing else 1)


class Treatment(NamedTuple):
    """What becomes of the worker that a failure came from.

    Attributes:
        action: `keep` it; `degrade` it and check it again after `delay_ns`; `remove` it, its place is
            filled by the supervisor's rules; `replace` it by a new one that does the same at once.
        delay_ns: how long to wait before the next check.
    """

    action: Action
    delay_ns: int = 0


def treat(error: PoolError, *, failed_checks: int = 0) -> Treatment:
    """Return what becomes of the worker: the plan's recovery tree.

    Refused before any worker was asked, or an error that the worker reported in good order: keep.
    Start failed or too slow: replace. Job over its deadline: replace, as the worker is still at it.
    Failed health check: degrade, from the third in a row on remove. Exit, and anything else: remove.
    """
    match error:
        case CheckoutTimeoutError() | RemoteError():
            return Treatment("keep")
        case PoolError(counts_as_failure=False):
            return Treatment("keep")
        case StartFailedError() | DeadlineExceededError():
            return Treatment("replace")
        case HealthCheckFailedError() if failed_checks < FAILED_CHECKS_TO_REMOVE:
            return Treatment("degrade", DEGRADED_CHECK_NS)
        case _:
            return Treatment("remove")
