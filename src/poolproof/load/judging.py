"""A load that is over, judged: good, breached, or void because it was not the load that was planned."""

import math
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from poolproof import fingerprint
from poolproof.history import Event
from poolproof.load.recovery import Curve, curve
from poolproof.load.result import LoadPlan, LoadResult, Snapshot, Verdict, WorkerUse
from poolproof.load.sampling import Sampler
from poolproof.load.slo import LATENCIES, Bound, Judged, judge
from poolproof.load.striking import Struck, unreceived
from poolproof.load.tally import Offered, Tally

PERCENTS = {"p50": 50.0, "p90": 90.0, "p95": 95.0, "p99": 99.0, "p99.9": 99.9, "p99.99": 99.99}


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """All that was seen of a load.

    Attributes:
        plan: what was asked for.
        tally: its rows.
        sampler: its workers.
        struck: the faults that were carried out.
        over: how the generator ended; None if it did not.
        names: of the errors.
        overhead_ns: what an operation costs the generator.
        load_before: of the machine.
        aborted: whether it was ended early, because a bound was broken.
        interrupted: whether it was ended early by who had begun it.
    """

    plan: LoadPlan
    tally: Tally
    sampler: Sampler
    struck: tuple[Struck, ...]
    over: Event | None
    names: Mapping[int, str]
    overhead_ns: int
    load_before: float
    aborted: bool
    interrupted: bool = False

    @property
    def cut(self) -> bool:
        """Whether it was ended early."""
        return self.aborted or self.interrupted


def result(seen: Observed) -> LoadResult:
    """Return what came of a load."""
    plan, tally = seen.plan, seen.tally
    ended = seen.over.t if seen.over is not None else time.monotonic_ns()
    sent = _sent(seen)
    unanswered = tally.close(ended, sent)
    offered = tally.offered(sent, cut=seen.cut)
    curves = _curves(seen, ended)
    uses = seen.sampler.uses()
    failed = sum(tally.errors.values())
    seconds = max((ended - tally.zero) / 1e9, 1e-9)
    latency = tally.latencies.summary()
    throughput = tally.answered / max(min(seconds, plan.seconds), 1e-9)
    measured = {
        **_latency_metrics(tally),
        "errors": 100 * (failed + unanswered) / sent if sent else None,
        "throughput": throughput,
        "recovery": _slowest(curves),
        **_use_metrics(uses),
    }
    judged = judge(plan.slo, measured)
    reasons = (*_void(seen, offered, unanswered, latency.count),)
    return LoadResult(
        plan=plan,
        verdict=verdict(reasons, judged),
        reasons=reasons,
        loop="closed" if plan.clients else "open",
        seconds=seconds,
        planned=offered.planned,
        sent=sent,
        answered=tally.answered,
        failed=failed,
        unanswered=unanswered,
        dropped=offered.dropped,
        errors=tally.error_counts(seen.names),
        latency=latency,
        service=tally.service.summary(),
        late=offered.late,
        lag_p99_ms=offered.lag_p99_ms,
        lag_max_ms=offered.lag_max_ms,
        overhead_us=seen.overhead_ns / 1e3,
        throughput=throughput,
        judged=judged,
        curves=curves,
        series=tuple(_series(tally, seen.sampler, seconds if seen.cut else math.inf)),
        workers=uses,
        load_before=seen.load_before,
        load_after=os.getloadavg()[0],
        fingerprint=fingerprint.take(plan.target.python),
        aborted=seen.aborted,
    )


def verdict(reasons: Sequence[str], judged: Sequence[Judged]) -> Verdict:
    """Return the verdict: void stands over breached, because a load that was not offered proves nothing."""
    if reasons:
        return "void"
    return "good" if all(one.kept for one in judged) else "breached"


def _sent(seen: Observed) -> int:
    if seen.over is not None and seen.over.kind == "ok":
        return int(seen.over.data["sent"])
    return seen.tally.sent + seen.tally.dropped


def _void(seen: Observed, offered: Offered, unanswered: int, answers: int) -> list[str]:
    reasons = list(offered.reasons())
    if seen.interrupted:
        reasons.append(f"it was interrupted: {seen.plan.seconds:g} s were planned")
    if seen.over is None or seen.over.kind == "fail":
        reasons.append(
            "the generator did not end: its process is gone, or stuck in the pool's submit"
        )
    if not answers and not unanswered and not seen.tally.errors:
        reasons.append("nothing was measured")
    if not seen.cut:
        reasons += unreceived(seen.struck, seen.plan.strikes)
    return reasons


def _latency_metrics(tally: Tally) -> dict[str, float | None]:
    if not (summary := tally.latencies.summary()).count:
        return dict.fromkeys(LATENCIES)
    found = zip(PERCENTS, tally.latencies.percentiles_ms(PERCENTS.values()), strict=True)
    return {**dict(found), "mean": summary.mean, "max": summary.longest}


def _use_metrics(uses: Sequence[WorkerUse]) -> dict[str, float | None]:
    return {
        "rss": max((use.rss_mb for use in uses), default=None),
        "cpu": max((use.cpu_percent for use in uses), default=None),
    }


def _slowest(curves: Sequence[Curve]) -> float | None:
    """Return the longest repair; None, which keeps no bound, if there was no fault or one was not repaired."""
    repaired = [one.repaired_ms for one in curves]
    whole = [one for one in repaired if one is not None]
    return max(whole) if whole and len(whole) == len(repaired) else None


def _curves(seen: Observed, ended: int) -> tuple[Curve, ...]:
    zero, tally = seen.tally.zero, seen.tally
    end = min(ended - zero, int(seen.plan.seconds * 1e9))
    begins = [one.at - zero for one in seen.struck]
    return tuple(
        curve(
            one.strike.kind,
            one.at - zero,
            None if one.healed is None else one.healed - zero,
            good=tally.good,
            failed=[done - zero for done in tally.bad if done - zero < until],
            live=[(t - zero, n) for t, n in seen.sampler.live if t - zero < until],
            births=[t - zero for t in seen.sampler.births if t - zero < until],
            workers=seen.plan.target.workers,
            until=until,
        )
        for one, until in zip(seen.struck, [*begins[1:], end], strict=False)
    )


def _series(tally: Tally, sampler: Sampler, until: float) -> Iterator[dict[str, Any]]:
    """Yield a row for each second that began before `until`: of what was not played there is nothing to show."""
    live: dict[int, int] = {}
    for t, n in sampler.live:
        second = (t - tally.zero) // 1_000_000_000
        live[second] = min(n, live.get(second, n))
    uses = sampler.series(tally.zero)
    for row in tally.seconds():
        second = int(row["second"])
        if second >= until:
            return
        lived = {"live": live[second]} if second in live else {}
        used = {"workers": msgspec.to_builtins(uses[second])} if uses.get(second) else {}
        yield {**row, **lived, **used}


def certainly_broken(bounds: Sequence[Bound], tally: Tally, planned: float) -> bool:
    """Tell whether a bound on latency or errors is broken already, however well the rest goes."""
    return any(_certainly(bound, tally, planned) for bound in bounds)


def _certainly(bound: Bound, tally: Tally, planned: float) -> bool:
    if bound.metric == "errors":
        return 100 * sum(tally.errors.values()) / planned > bound.value
    if bound.metric not in PERCENTS or bound.relation not in ("<", "<="):
        return False
    allowed = planned * (1 - PERCENTS[bound.metric] / 100)
    if tally.answered <= allowed + 1:
        return False
    # Were all the others fast, so many of the slowest would still decide.
    percent = 100 * (1 - (allowed + 1) / tally.answered)
    return tally.latencies.percentile_ms(percent) > bound.value


def snapshot(tally: Tally, now: float, sampler: Sampler, struck: str) -> Snapshot:
    """Return how a load goes."""
    p50, p99, longest = tally.latencies.percentiles_ms([50, 99, 100])
    failed = sum(tally.errors.values())
    due = tally.due_by(now)
    uses = sampler.uses()
    return Snapshot(
        seconds=max(now, 0.0),
        due=due,
        answered=tally.answered,
        failed=failed,
        waiting=max(0, due - tally.answered - failed - tally.dropped),
        rate=tally.answered / now if now > 0 else 0.0,
        p50_ms=p50,
        p99_ms=p99,
        max_ms=longest,
        live=sampler.live[-1][1] if sampler.live else 0,
        rss_mb=max((use.rss_mb for use in uses), default=0.0),
        cpu_percent=max((use.cpu_percent for use in uses), default=0.0),
        struck=struck,
    )
