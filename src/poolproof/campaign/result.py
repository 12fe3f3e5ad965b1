"""What a campaign came to, as data: the schema of its `--json` (docs/campaign.md)."""

import msgspec

from poolproof.campaign.coverage import Covered
from poolproof.campaign.grouping import Group, Groups, unproven_kinds, verdict_of
from poolproof.campaign.kept import Kept
from poolproof.campaign.tasks import Case, Menu
from poolproof.checkers import Verdict

CAMPAIGN_SCHEMA = 1
STOPPED = "the unharmed pool already breaks a promise: mend that first"


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """One distinct failure.

    Attributes:
        invariant, effect: which promise, and how it was broken, without numbers.
        verdict: `unknown` where it was seen once and never again.
        fault: by what, as far as that is known to be needed.
        reason: how, in the smallest plan.
        hits: how many seeds showed it; `seeds` has the first of them.
        points: where workers were struck.
        jobs, bystanders, fresh, warmup: the size of the smallest plan.
        runs, one_minimal: how many plays the cutting took; whether each part was shown to be needed.
        again, times: in how many of how many plays the smallest plan showed it again.
        story: the smallest history, a line each.
        plan, found: the smallest plan, and the one that was found.
        replay: the command that plays the smallest again.
    """

    invariant: str
    effect: str
    verdict: Verdict
    fault: str
    reason: str
    hits: int
    seeds: tuple[int, ...]
    points: tuple[str, ...] = ()
    jobs: int | None = None
    bystanders: int | None = None
    fresh: int | None = None
    warmup: int | None = None
    runs: int = 0
    one_minimal: bool = False
    again: int = 0
    times: int = 0
    story: tuple[str, ...] = ()
    plan: str = ""
    found: str = ""
    replay: str = ""


class CampaignResult(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that a campaign found.

    Attributes:
        verdict: invalid where a failure was confirmed; unknown where fewer seeds were played than asked for, or no play
            of some kind of fault told anything.
        target: its name.
        seeds: how many were asked for; `played` how many of them have been.
        stopped: why none was played, if the pool allows of no play.
        verdicts: how many plays came to which verdict.
        unknown: why plays told nothing, and how many.
        unproven: the kinds of fault that were played, and of which no play told anything.
        pairs: how often each fault hit the pool in each state, by `fault x state`.
        points, points_struck: how many crash points there are, and at how many a worker was struck.
        missed_points, untried: those at which none was, and the kinds of fault without any receipt.
        inapplicable: by kind of fault, why it does not apply to this target.
        failures: the distinct ones, the most frequent first.
        seconds: how long this run took.
        directory: where everything is.
    """

    verdict: Verdict
    target: str
    seeds: int
    played: int
    stopped: str
    verdicts: dict[str, int]
    unknown: dict[str, int]
    unproven: tuple[str, ...]
    pairs: dict[str, int]
    points: int
    points_struck: int
    missed_points: tuple[str, ...]
    untried: tuple[str, ...]
    inapplicable: dict[str, str]
    failures: tuple[Failure, ...]
    seconds: float
    directory: str
    schema: int = CAMPAIGN_SCHEMA


def counted(
    menu: Menu, cases: dict[int, Case], groups: Groups, kept: Kept, *, seeds: int, seconds: float
) -> CampaignResult:
    """Count up what has been played."""
    covered = Covered()
    verdicts: dict[str, int] = {}
    unknown: dict[str, int] = {}
    for case in cases.values():
        covered.add(case)
        verdicts[case.verdict] = verdicts.get(case.verdict, 0) + 1
        if case.reason:
            unknown[case.reason] = unknown.get(case.reason, 0) + 1
    missed = covered.missed(menu)
    points = len(menu.places) * len(menu.effects)
    found = sorted(groups.found.values(), key=lambda group: -group.hits)
    return CampaignResult(
        verdict=verdict_of(groups, cases.values(), seeds),
        target=menu.target.name,
        seeds=seeds,
        played=len(cases),
        stopped=STOPPED if menu.unplayable else "",
        verdicts=verdicts,
        unknown=dict(sorted(unknown.items(), key=lambda item: -item[1])),
        pairs=dict(sorted(covered.pairs.items())),
        points=points,
        points_struck=points - len(missed),
        unproven=unproven_kinds(cases.values()),
        missed_points=tuple(missed),
        untried=tuple(covered.untried(menu)),
        inapplicable=menu.inapplicable,
        failures=tuple(_failure(group, kept) for group in found),
        seconds=round(seconds, 1),
        directory=str(kept.directory),
    )


def _failure(group: Group, kept: Kept) -> Failure:
    least = group.least
    common = {
        "invariant": group.broken.invariant,
        "effect": group.broken.effect,
        "verdict": group.verdict,
        "fault": group.fault,
        "reason": least.reason if least else group.broken.reason,
        "hits": group.hits,
        "seeds": tuple(group.seeds),
        "points": tuple(group.points),
        "found": str(kept.found_path(group.fingerprint)),
    }
    if least is None:
        replay = f"poolproof replay {common['found']}" if kept.plan(group.fingerprint) else ""
        return msgspec.convert({**common, "replay": replay}, Failure)
    sizes = {name: getattr(least.plan, name) for name in ("jobs", "bystanders", "fresh", "warmup")}
    cut = {
        name: getattr(least, name) for name in ("runs", "one_minimal", "again", "times", "story")
    }
    path = str(kept.plan_path(least.fingerprint))
    whole = {**common, **sizes, **cut, "plan": path, "replay": f"poolproof replay {path}"}
    return msgspec.convert(whole, Failure)
