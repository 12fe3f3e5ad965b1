"""A load as it was asked for, and what came of it: the data that reports and `--json` show."""

from typing import Any, Final, Literal

import msgspec

from poolproof.latency import Latencies
from poolproof.load.mix import Operation
from poolproof.load.recovery import Curve
from poolproof.load.schedule import Arrivals, Shape
from poolproof.load.slo import Bound, Judged
from poolproof.load.striking import Strike
from poolproof.plan import Target

SCHEMA: Final = 2
"""Of the JSON that `--json` writes; one more with each change that a reader would notice."""

Verdict = Literal["good", "breached", "void"]


class LoadPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked of a pool.

    Attributes:
        target: the pool.
        shape, rate, seconds, rise, spacing, seed: see `schedule.arrivals`.
        mix: the operations; the target's own where it declares some, else echoes of 100 bytes, if none is named.
        sessions: how many there are; 0 for none.
        clients: how many clients a closed load has; 0 for an open load.
        strikes: the faults.
        slo: the bounds.
        drain: seconds that the open operations are waited for in the end.
        abort: whether it ends as soon as a bound on latency or errors is certainly broken.
    """

    target: Target
    shape: Shape = "steady"
    rate: float = 1000.0
    seconds: float = 10.0
    rise: float | None = None
    spacing: Arrivals = "poisson"
    seed: int = 0
    mix: tuple[Operation, ...] = ()
    sessions: int = 0
    clients: int = 0
    strikes: tuple[Strike, ...] = ()
    slo: tuple[Bound, ...] = ()
    drain: float = 10.0
    abort: bool = False


class WorkerUse(msgspec.Struct, frozen=True, kw_only=True):
    """What one worker's process used: the most resident memory, and how much of one core on average.

    In a row of the series, its memory at the end of that second, and its share since the second before.
    """

    pid: int
    rss_mb: float
    cpu_percent: float


class LoadResult(msgspec.Struct, frozen=True, kw_only=True):
    """What came of one load.

    Attributes:
        plan: what was asked for.
        verdict: `good`; `breached`, a bound was broken; `void`, the load was not offered as planned, or
            a fault did not take effect, so that nothing is proven.
        reasons: why it is void.
        loop: `open`, or `closed`, whose latencies leave out what was not asked meanwhile.
        seconds: from the first operation that was due to the end of the last.
        planned, sent, answered, failed, unanswered, dropped: operations; unanswered ones had no end in time,
            and count as having taken at least so long.
        errors: failed ones by the name of the error.
        latency: from when each was due until its answer; see `Latencies`.
        service: from when each was sent.
        late, lag_p99_ms, lag_max_ms, overhead_us: of the generator; see `tally.Offered`.
        throughput: right answers a second.
        judged: each bound, and what was measured.
        curves: what each fault did.
        series: a row a second; `workers` in it is what each used in that second.
        workers: what each used.
        load_before, load_after: of the machine (1 minute); the latter has the load itself in it.
        fingerprint: of the machine, as `poolproof.fingerprint` has it, and of the target's interpreter.
        aborted: whether it was ended because a bound was broken.
    """

    plan: LoadPlan
    verdict: Verdict
    reasons: tuple[str, ...]
    loop: Literal["open", "closed"]
    seconds: float
    planned: int
    sent: int
    answered: int
    failed: int
    unanswered: int
    dropped: int
    errors: dict[str, int]
    latency: Latencies
    service: Latencies
    late: int
    lag_p99_ms: float
    lag_max_ms: float
    overhead_us: float
    throughput: float
    judged: tuple[Judged, ...]
    curves: tuple[Curve, ...]
    series: tuple[dict[str, Any], ...]
    workers: tuple[WorkerUse, ...]
    load_before: float
    load_after: float
    fingerprint: dict[str, Any]
    aborted: bool = False
    schema: int = SCHEMA


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """A running load, for who looks on."""

    seconds: float
    due: int
    answered: int
    failed: int
    waiting: int
    rate: float
    p50_ms: float
    p99_ms: float
    max_ms: float
    live: int
    rss_mb: float
    cpu_percent: float
    struck: str = ""


EXIT: Final[dict[str, int]] = {"good": 0, "breached": 1, "void": 3}
