"""Assertions about a pool for anybody's tests, each with a diagnosis: recovery, leaks, layer, speed, order, tenants.

Each raises a class of its own, so that a property-based test does not take two faults for one. One
that finds nothing to judge raises, too: a test that proved nothing is not a pass.
"""

import asyncio
import contextlib
import os
import threading
from collections.abc import AsyncGenerator, Callable, Collection, Hashable, Iterable
from typing import TYPE_CHECKING, Any, Final, Protocol

from poolproof.sync import SyncTimeoutError, wait_for

if TYPE_CHECKING:
    from poolproof.config import Thresholds
    from poolproof.pool.monitor import PoolStats

_INTERVAL_S: Final = 0.02
_MAX_SHOWN: Final = 12


class NotRecoveredError(AssertionError):
    """The steady state did not come back in time, or did not last."""


class LeakError(AssertionError):
    """Something is left that was not there before."""


class WrongLayerError(AssertionError):
    """What ran is not the layer that was asked for."""


class OrderError(AssertionError):
    """A job of a session began before one that was submitted earlier."""


class TenantError(AssertionError):
    """A tenant has seen what belongs to another."""


class TooSlowError(AssertionError):
    """What was measured is not good enough."""


class VacuousError(AssertionError):
    """There was nothing to judge, so nothing was proved."""


def _shown(lines: Iterable[str]) -> str:
    every = list(lines)
    left = [f"... and {len(every) - _MAX_SHOWN} more"] if len(every) > _MAX_SHOWN else []
    return "".join(f"\n  - {line}" for line in every[:_MAX_SHOWN] + left)


async def assert_recovers_within(
    seconds: float,
    steady: Callable[[], Any],
    *,
    holds_for: float = 0.0,
    interval: float = _INTERVAL_S,
) -> float:
    """Wait until `steady` is true and stays so; return after how many seconds that began.

    Args:
        seconds: how long it may take, from this call to the beginning of the time in which it holds.
        steady: returns what says whether all is well; what it returns is shown as it changed.
        holds_for: for how many seconds it must be true without a break.
        interval: seconds between two looks; a break between them is not seen.

    Raises:
        NotRecoveredError: it was not so in time; with every change that was seen.

    Example:
        >>> pool.kill_one()
        >>> await assert_recovers_within(2.0, lambda: pool.ready_workers == 4, holds_for=0.5)
    """
    loop = asyncio.get_running_loop()
    begun = loop.time()
    changes: list[tuple[float, Any]] = []
    since: float | None = None
    while True:
        at, value = loop.time() - begun, steady()
        if not changes or changes[-1][1] != value:
            changes.append((at, value))
        since = (at if since is None else since) if value else None
        if since is not None and since <= seconds and at - since >= holds_for:
            return since
        if at >= seconds and (since is None or since > seconds):
            break
        await asyncio.sleep(interval)
    raise NotRecoveredError(
        f"expected the steady state within {seconds:g} s, to hold for {holds_for:g} s, got:"
        + _shown(f"from {at:.3f} s: {value!r}" for at, value in changes[-_MAX_SHOWN:])
    )


@contextlib.asynccontextmanager
async def assert_no_leaks(
    *, grace: float = 2.0, ignore: Collection[str] = ()
) -> AsyncGenerator[None]:
    """Compare tasks, threads, child processes and open descriptors after the block with those before.

    Args:
        grace: seconds that what is ending gets to be gone.
        ignore: kinds that are not looked at: `task`, `thread`, `child`, `descriptor`.

    Raises:
        LeakError: something is left, by kind and name.
    """
    before = _held(ignore).keys()
    yield
    with contextlib.suppress(SyncTimeoutError):
        await wait_for(lambda: _held(ignore).keys() <= before, timeout=grace)
    after = _held(ignore)
    names = sorted(f"{key[0]}: {after[key]}" for key in after.keys() - before)
    if names:
        raise LeakError(
            f"expected nothing left after {grace:g} s, got {len(names)}:{_shown(names)}"
        )


def _held(ignore: Collection[str]) -> dict[tuple[str, Hashable], str]:
    """Return all that is held now, with names for people; tasks and threads by the objects themselves."""
    import psutil  # noqa: PLC0415 - costs 25 ms, and only this assertion needs it

    me = asyncio.current_task()
    held: dict[tuple[str, Hashable], str] = {}
    for task in asyncio.all_tasks() - {me}:
        held["task", task] = f"{task.get_name()} ({getattr(task.get_coro(), '__qualname__', '?')})"
    for thread in threading.enumerate():
        held["thread", thread] = thread.name
    for child in psutil.Process().children(recursive=True):
        held["child", child] = f"pid {child.pid}"
    for number in os.listdir("/proc/self/fd"):  # noqa: PTH208 - names are enough
        with contextlib.suppress(OSError):
            target = os.readlink(f"/proc/self/fd/{number}")  # noqa: PTH115
            if not target.startswith("/proc/"):
                held["descriptor", (number, target)] = f"{number} -> {target}"
    return {key: name for key, name in held.items() if key[0] not in ignore}


class Layered(Protocol):
    """What says on which layer it runs, and which processes its workers are; a stack does."""

    @property
    def layer(self) -> str:
        """The layer that runs: `mock`, `bridge_mock` or `full`."""
        ...

    def pids(self) -> list[int]:
        """Return the process ids of the workers; none where they are no processes."""
        ...


def assert_layer(stack: Layered, layer: str) -> None:
    """Check what runs, not only what it says: `full` has living processes of its own, others none.

    Raises:
        WrongLayerError: it says otherwise, or its workers are not of that layer.
    """
    if stack.layer != layer:
        raise WrongLayerError(f"expected the layer {layer!r}, got {stack.layer!r}")
    pids = stack.pids()
    if layer != "full" and pids:
        raise WrongLayerError(f"expected no processes on the layer {layer!r}, got {pids}")
    if layer == "full":
        strange = [pid for pid in pids if pid == os.getpid() or not _lives(pid)]
        if strange or not pids:
            got = f"{strange} dead or our own" if pids else "none"
            raise WrongLayerError(f"expected living processes of the workers, got {got}")


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def assert_thresholds(stats: "PoolStats", thresholds: "Thresholds | None" = None) -> None:
    """Hold a monitor's figures to what counts as good enough.

    Args:
        stats: what `PoolMonitor.stats` or `stop` returned.
        thresholds: by default those of `[tool.poolproof.thresholds]`; without a table, the plan's.

    Raises:
        TooSlowError: a figure is not good enough; all of them are named.
        VacuousError: no job was answered.
    """
    from poolproof.config import load  # noqa: PLC0415 - only this assertion needs it

    wanted, latencies = thresholds or load().thresholds, stats.latencies
    if not latencies.count:
        raise VacuousError("expected figures of at least one answered job, got none")
    failed = sum(stats.errors.values())
    error_rate = failed / (failed + latencies.count)
    figures = (
        ("a mean latency of at most", latencies.mean, wanted.mean_ms, "ms"),
        ("a 99th percentile of at most", latencies.p99, wanted.p99_ms, "ms"),
        ("a share of errors of at most", error_rate, wanted.error_rate, "of the jobs"),
    )
    wrong = [
        f"{what} {most:g} {unit}, got {got:.4g}" for what, got, most, unit in figures if got > most
    ]
    if stats.jobs_per_second < wanted.jobs_per_second:
        least, got = wanted.jobs_per_second, stats.jobs_per_second
        wrong.append(f"at least {least:g} jobs a second, got {got:.4g}")
    if wrong:
        raise TooSlowError(f"expected:{_shown(wrong)}")


def assert_session_order(
    submitted: Iterable[tuple[Hashable, Hashable]], started: Iterable[Hashable]
) -> None:
    """Check that the jobs of each session began in the order in which they were submitted.

    Args:
        submitted: (session, job) in the order of submission.
        started: jobs in the order of their beginnings; of a job that began twice, the first counts.

    Raises:
        OrderError: two of a session began the other way round.
        VacuousError: no session has two jobs that began.
    """
    begun: dict[Hashable, int] = {}
    for place, job in enumerate(started):
        begun.setdefault(job, place)
    sessions: dict[Hashable, list[Hashable]] = {}
    for session, job in submitted:
        if job in begun:
            sessions.setdefault(session, []).append(job)
    pairs = [(who, a, b) for who, jobs in sessions.items() for a, b in zip(jobs, jobs[1:])]  # noqa: B905, RUF007
    if not pairs:
        raise VacuousError(
            "expected a session with two jobs that began, got none: nothing to judge"
        )
    wrong = [
        f"session {who!r}: {b!r} began as number {begun[b]}, {a!r}, submitted before it, as {begun[a]}"
        for who, a, b in pairs
        if begun[b] < begun[a]
    ]
    if wrong:
        raise OrderError(f"expected the order of submission in each session, got:{_shown(wrong)}")


def assert_tenants_isolated(seen: Iterable[tuple[Hashable, Hashable, object]]) -> None:
    """Check that nobody has seen what belongs to another.

    Args:
        seen: (who has seen it, whose it is, what it is), of at least two tenants.

    Raises:
        TenantError: somebody has.
        VacuousError: fewer than two tenants have seen anything.
    """
    every = list(seen)
    tenants = {who for who, _, _ in every}
    if len(tenants) < 2:  # noqa: PLR2004 - one has nobody to be isolated from
        raise VacuousError(f"expected what two tenants have seen, got that of {len(tenants)}")
    wrong = [
        f"{who!r} has seen {what!r} of {owner!r}" for who, owner, what in every if who != owner
    ]
    if wrong:
        raise TenantError(f"expected each tenant to see its own alone, got:{_shown(wrong)}")
