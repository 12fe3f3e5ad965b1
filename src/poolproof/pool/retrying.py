"""Whether a failed job is tried again, and after how long.

Only what certainly did not happen is tried again, unless the job was declared idempotent.

The delays are computed here and not by a library: those that are well kept (tenacity, and stamina
on top of it) draw their jitter from the global `random`, where no seed of ours reaches it, have
neither Fibonacci nor decorrelated jitter, and take 80 ms to import. But every wait strategy of
tenacity is a `Custom` here as it is, and the tests hold our growth against theirs.
"""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Final, Literal, NamedTuple, assert_never

from poolproof.categories import Backoff, Severity
from poolproof.errors import PoolError
from poolproof.pool.recovery import budget_ns, escalate, is_hopeless

Verdict = Literal["retry", "fail_over", "give_up"]

_MS: Final = 1_000_000
_NS: Final = 1_000_000_000


class Attempt(NamedTuple):
    """What a custom back-off is told: the number of the attempt that failed, from 1 on."""

    attempt_number: int


Custom = Callable[[Attempt], float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Delays:
    """How long to wait before a retry; the numbers are the plan's.

    Attributes:
        base_ns: the first delay of a back-off.
        step_ns: by how much an immediate retry waits longer each time; the first does not wait.
        cap_ns: the longest delay.
        jitter: up to which share of a delay is taken off, at random; 0 for none, 1 for "full jitter".
        custom: seconds by the attempt, instead of the category's back-off; within the cap.
    """

    base_ns: int = 1000 * _MS
    step_ns: int = 100 * _MS
    cap_ns: int = 30_000 * _MS
    jitter: float = 0.5
    custom: Custom | None = None

    def __post_init__(self) -> None:
        assert 0 <= self.base_ns <= self.cap_ns
        assert 0 <= self.jitter <= 1


class Tries(NamedTuple):
    """What a job went through.

    Attributes:
        retries: how many were made.
        since_ns: when it failed first; 0 if never.
        delay_ns: the last delay.
    """

    retries: int = 0
    since_ns: int = 0
    delay_ns: int = 0


class Decision(NamedTuple):
    """What becomes of the job.

    Attributes:
        verdict: `retry` after `delay_ns`; `fail_over`, if a fallback is declared; `give_up`: raise.
        reason: why, in one word.
        delay_ns: how long to wait.
        tries: what to hand in when it fails again.
        severity: how severe the failure is by now.
    """

    verdict: Verdict
    reason: str
    delay_ns: int
    tries: Tries
    severity: Severity


def growth_ns(backoff: Backoff, retry: int, delays: Delays) -> int:
    """Return the delay before a retry, numbered from 1, without jitter, within the cap."""
    match backoff:
        case "none":
            factor = 0
        case "linear":
            factor = retry
        case "exponential":
            # Beyond this the cap rules anyway, and powers of two do not become huge.
            factor = 1 << min(retry - 1, 62)
        case "fibonacci":
            factor = _fibonacci(min(retry, 90))
        case "decorrelated":
            factor = 1
        case _:  # pragma: no cover
            assert_never(backoff)
    return min(delays.cap_ns, delays.base_ns * factor)


def delay_ns(error: PoolError, tries: Tries, delays: Delays, rng: Random) -> int:
    """Return the delay before the next retry, with jitter, within the cap.

    Decorrelated jitter is uniform between the base and three times the last delay.
    Brooker: Exponential Backoff And Jitter (AWS Architecture Blog, 2015).
    """
    retry = tries.retries + 1
    category = error.category
    if delays.custom is not None:
        return min(delays.cap_ns, max(0, round(delays.custom(Attempt(retry)) * _NS)))
    if category.backoff == "decorrelated":
        high = max(delays.base_ns, 3 * (tries.delay_ns or delays.base_ns))
        return min(delays.cap_ns, rng.randint(delays.base_ns, high))
    if category.strategy == "immediate_retry":
        steps = 0 if category.backoff == "none" else retry - 1
        return _jittered(min(delays.cap_ns, delays.step_ns * steps), delays, rng)
    return _jittered(growth_ns(category.backoff, retry, delays), delays, rng)


def decide(
    error: PoolError,
    tries: Tries,
    *,
    now_ns: int,
    deadline_ns: int,
    rng: Random,
    idempotent: bool = False,
    all_workers: bool = False,
    user_facing: bool = False,
    delays: Delays = Delays(),
) -> Decision:
    """Return what becomes of a job that failed.

    Args:
        error: what it failed with.
        tries: what it went through before.
        now_ns: CLOCK_MONOTONIC.
        deadline_ns: the job's; 0 if it has none.
        rng: where the jitter comes from.
        idempotent: the job was declared so: it may be done twice.
        all_workers: every worker of the pool is affected.
        user_facing: a user waits: recovery may take half as long.
        delays: how long to wait.
    """
    tries = tries._replace(since_ns=tries.since_ns or now_ns)
    severity = escalate(error.category.severity, retries=tries.retries, all_workers=all_workers)
    wait_ns = delay_ns(error, tries, delays, rng)
    spent_ns = now_ns + wait_ns - tries.since_ns
    against = _against(error, tries, idempotent=idempotent)
    if against is None:
        if is_hopeless(severity, tries.retries):
            against = "critical"
        elif deadline_ns and now_ns + wait_ns >= deadline_ns:
            against = "deadline"
        elif spent_ns > budget_ns(severity, user_facing=user_facing):
            against = "budget"
    if against is not None:
        return Decision("give_up", against, 0, tries, severity)
    strategy = error.category.strategy
    verdict: Verdict = "fail_over" if strategy == "failover" else "retry"
    after = Tries(tries.retries + 1, tries.since_ns, wait_ns)
    return Decision(verdict, strategy, wait_ns, after, severity)


def _against(error: PoolError, tries: Tries, *, idempotent: bool) -> str | None:
    """Return what forbids another try, whatever the time."""
    if error.hopeless:
        return "hopeless"
    if error.may_have_happened and not idempotent:
        return "may_have_happened"
    if error.category.strategy == "abandon":
        return "abandon"
    if tries.retries >= error.category.max_retries:
        return "retries"
    return None


def _jittered(wait_ns: int, delays: Delays, rng: Random) -> int:
    return wait_ns - int(wait_ns * delays.jitter * rng.random())


def _fibonacci(place: int) -> int:
    one, other = 1, 1
    for _ in range(place - 1):
        one, other = other, one + other
    return one
