"""What a failure means: how severe it is by now, and how long recovery from it may take.

What becomes of the worker is said by its state machine (`worker.check_failed`) and by its death.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from poolproof.categories import SEVERITIES, Severity

_MS: Final = 1_000_000
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
