"""Whether a scenario was passed: each criterion with the number that was wanted, the number that was got, the unit."""

from collections.abc import Iterator
from typing import Final

import msgspec

from poolproof.checkers import Verdict, combine
from poolproof.scenarios.data import Criteria, Scenario
from poolproof.scenarios.facts import Facts, JobFacts

BY_NUMBER: Final = frozenset({"duplicate-run", "false-denial"})
"""What rests on the numbers of requests: a worker that was told a wrong one does a job of which nobody knows."""


class Judgement(msgspec.Struct, frozen=True, kw_only=True):
    """One criterion.

    Attributes:
        invariant: what it is about, as a slug.
        verdict: whether it held.
        wanted, got: both with number and unit.
    """

    invariant: str
    verdict: Verdict
    wanted: str
    got: str


def judge(scenario: Scenario, facts: Facts) -> tuple[Judgement, ...]:
    """Judge one play; what was not proven to have happened leaves everything unknown."""
    doubt = _unproven(scenario, facts)
    found = tuple(_criteria(scenario, facts))
    if doubt is None:
        return found
    wanted = "a receipt for each deed, a steady state before, a heal that is verified"
    unproven = Judgement(invariant="unproven", verdict="unknown", wanted=wanted, got=doubt)
    return (unproven, *(_doubted(judgement) for judgement in found))


def verdict(judgements: tuple[Judgement, ...]) -> Verdict:
    """Return the worst."""
    return combine(judgement.verdict for judgement in judgements)


def _doubted(judgement: Judgement) -> Judgement:
    if judgement.verdict in ("valid", "invalid"):
        return msgspec.structs.replace(judgement, verdict="unknown")
    return judgement


def _unproven(scenario: Scenario, facts: Facts) -> str | None:
    if not facts.steady:
        return "no steady state before anything was done"
    deeds = dict.fromkeys(step.deed for step in scenario.steps if step.do not in ("wait", "heal"))
    missing = [deed for deed in deeds if not facts.receipts.get(deed)]
    if missing:
        return f"no receipt that {', '.join(missing)} took effect"
    return None if facts.healed else "no evidence that everything was healed"


def _criteria(scenario: Scenario, facts: Facts) -> Iterator[Judgement]:
    criteria = scenario.criteria
    load = facts.role("load", "step")
    if load:
        yield _success(criteria, load)
    if expected := facts.role("expected"):
        refused = sum(not job.ok and job.ended is not None for job in expected)
        yield _counted("honest-refusal", len(expected), refused, "errors")
    yield from _integrity(facts, at_most_once=criteria.at_most_once)
    yield _recovery(criteria, facts)
    if facts.deaths:
        yield _repair(criteria, facts)
    yield _counted("capacity", facts.wanted, facts.live, "live workers")
    fresh = facts.role("fresh")
    right = sum(job.ok and job.right for job in fresh)
    yield _counted("no-recovery", scenario.steady, right, "right answers after the heal")
    yield from _bounds(criteria, facts)
    yield _counted("shutdown-hang", 1, int(facts.closed), "shutdowns that ended")


def _success(criteria: Criteria, load: list[JobFacts]) -> Judgement:
    right = sum(job.ok and job.right for job in load)
    share = right / len(load)
    return Judgement(
        invariant="success",
        verdict="valid" if share >= criteria.success else "invalid",
        wanted=f"at least {criteria.success:.1%} of the jobs answered rightly",
        got=f"{share:.1%}: {right} of {len(load)} jobs{_errors(load)}",
    )


def _errors(jobs: list[JobFacts]) -> str:
    names = [job.error for job in jobs if job.error]
    told = ", ".join(f"{names.count(name)} {name}" for name in sorted(set(names)))
    return f" ({told})" if told else ""


def _integrity(facts: Facts, *, at_most_once: bool) -> Iterator[Judgement]:
    """Nothing lost, wrong, doubled, invented or denied, whatever was broken."""
    jobs = facts.jobs.values()
    denied = [job for job in jobs if job.error and not job.happened]
    broken = {
        "unresolved-job": [job.number for job in jobs if job.ended is None],
        "wrong-result": [job.number for job in jobs if job.ok and not job.right],
        "duplicate-run": list(facts.duplicated),
        "false-denial": [job.number for job in denied if facts.starts.get(job.number)],
    }
    for invariant, bad in broken.items():
        judged = _none(invariant, bad, "jobs", vacuous=not facts.jobs)
        if invariant in BY_NUMBER and not at_most_once:
            judged = msgspec.structs.replace(judged, verdict="not applicable")
        yield judged
    phantoms = sorted(set(facts.starts) - set(facts.jobs))
    unrun = [job.number for job in jobs if job.ok and not facts.starts.get(job.number)]
    yield _none("phantom-result", [*phantoms, *unrun], "jobs", vacuous=not facts.starts)


def _none(invariant: str, bad: list[int], unit: str, *, vacuous: bool) -> Judgement:
    named = f": {', '.join(map(str, bad[:5]))}" if bad else ""
    held: Verdict = "unknown" if vacuous else "valid"
    return Judgement(
        invariant=invariant,
        verdict="invalid" if bad else held,
        wanted=f"0 {unit}",
        got=f"{len(bad)} {unit}{named}",
    )


def _counted(invariant: str, wanted: int, got: int, unit: str) -> Judgement:
    verdict: Verdict = "valid" if got >= wanted else "invalid"
    return Judgement(
        invariant=invariant,
        verdict=verdict if wanted else "unknown",
        wanted=f"{wanted} {unit}",
        got=f"{got} {unit}",
    )


def _recovery(criteria: Criteria, facts: Facts) -> Judgement:
    took = facts.recovery_seconds
    in_time = took is not None and took <= criteria.recovery_seconds
    return Judgement(
        invariant="recovery",
        verdict="valid" if in_time else "invalid",
        wanted=f"steady at most {criteria.recovery_seconds:g} s after the heal",
        got="never steady" if took is None else f"steady after {took:.3f} s",
    )


def _repair(criteria: Criteria, facts: Facts) -> Judgement:
    """Judge how long there were too few workers; whether there are enough in the end is for `capacity` to tell."""
    repairs = facts.repairs()
    most = max(repairs, default=0.0)
    return Judgement(
        invariant="repair",
        verdict="valid" if most <= criteria.recovery_seconds else "invalid",
        wanted=f"workers missing for at most {criteria.recovery_seconds:g} s",
        got=f"for {most:.3f} s at most, {len(repairs)} times; {facts.deaths} workers died",
    )


def _bounds(criteria: Criteria, facts: Facts) -> Iterator[Judgement]:
    longest = max((job.ended - job.asked for job in facts.jobs.values() if job.ended), default=0.0)
    bounds = (
        ("late-answer", criteria.answered_seconds, longest, "s that a caller waited"),
        ("worker-deaths", criteria.deaths if facts.ours else None, facts.deaths, "dead workers"),
        ("memory", criteria.rss_bytes, facts.most_rss_bytes, "bytes of a worker's memory"),
    )
    for invariant, most, got, unit in bounds:
        if most is not None:
            held: Verdict = "unknown" if got is None else "valid" if got <= most else "invalid"
            yield Judgement(
                invariant=invariant,
                verdict=held,
                wanted=f"at most {most:g} {unit}",
                got="not known" if got is None else f"{got:.9g} {unit}",
            )
