"""A saved run, judged anew: the same histories, today's checkers, and no process started."""

import msgspec

from poolproof.chaos.accept import Acceptance
from poolproof.chaos.confirm import weigh
from poolproof.chaos.crashpoints import Place, judged
from poolproof.chaos.result import Entry, PointEntry, Result, counted
from poolproof.chaos.saved import Run, without_reference
from poolproof.chaos.tally import Tally, judged_unharmed, varied, verdict_of
from poolproof.checkers import Trial, classify, judge
from poolproof.errors import UsageError

Key = tuple[str, str, str]


def recheck(run: Run, accepted: tuple[Acceptance, ...] = ()) -> Result:
    """Return the result that today's checkers come to from the histories of the run.

    What was accepted stays so; `accepted` adds to it.

    Raises:
        UsageError: its histories are not there.
    """
    before = run.result
    if not any(row.histories for row in before.faults):
        raise UsageError(
            f"expected the histories of the run in {run.path}, got a result that names none;"
            " check the target anew"
        )
    tally = Tally()
    _judge_faults(run, tally)
    tally.points = _points(run)
    for kind in tally.found:
        tally.violations += tally.fault_violations(kind)
    tally.violations += tally.point_violations()
    _weigh(run, tally)
    tally.violations = varied(tally.violations)
    entries = _as_before(tally.entries(accepted), before)
    points = counted(
        tally.sorted_points(), seconds=before.crash_points.seconds, own=before.crash_points.own
    )
    return msgspec.structs.replace(
        before,
        checks=entries,
        verdict=verdict_of(entries),
        crash_points=points,
        faults=tally.in_order(row.fault for row in before.faults),
    )


def _judge_faults(run: Run, tally: Tally) -> None:
    for row in run.result.faults:
        trials = [run.trial(name) for name in row.histories]
        if not trials:
            tally.rows[row.fault] = row
        elif row.fault == "none":
            tally.found["none"] = judged_unharmed(map(without_reference, trials))
            told = tuple(finding for _, findings in tally.found["none"] for finding in findings)
            tally.row("none", row.does, told)
        else:
            tally.found[row.fault] = [(trial, judge(trial, trial.reference)) for trial in trials]
            tally.summarise(row.fault)


def _points(run: Run) -> dict[PointEntry, Trial | None]:
    """Classify every crash point; first those by which a violation was first seen, so that they are so again."""
    first = {entry.original for entry in run.result.checks}
    points = sorted(run.result.crash_points.points, key=lambda point: point.trial not in first)
    return dict(_point(run, point) for point in points)


def _point(run: Run, point: PointEntry) -> tuple[PointEntry, Trial | None]:
    if point.trial is None:
        return point, None
    trial = run.trial(point.trial)
    assert trial.plan.point is not None
    effect = trial.plan.point.effect
    place = Place(trial.plan.point.file, point.file, point.line, point.function)
    entry = judged(place, effect, classify(trial, trial.reference))
    return msgspec.structs.replace(entry, trial=point.trial), trial


def _weigh(run: Run, tally: Tally) -> None:
    """Count the repeats of each violation: those of the trial that it was first seen in."""
    repeats = {
        (entry.fault, entry.invariant, entry.original): entry.repeats
        for entry in run.result.checks
        if entry.original
    }
    for violation in tally.violations:
        key = (violation.fault, violation.finding.invariant, violation.original)
        weigh(violation, [run.trial(name) for name in repeats.get(key, ())])


def _as_before(entries: tuple[Entry, ...], before: Result) -> tuple[Entry, ...]:
    """Give each row the saved plan and the acceptance that it had; one that is new can be replayed from its trial."""
    known = {_key(entry): entry for entry in before.checks}
    places = {key: place for place, key in enumerate(known)}
    for entry in entries:
        old = known.get(_key(entry))
        if old is not None:
            entry.plan, entry.replay = old.plan, old.replay
            entry.accepted = entry.accepted or old.accepted
        elif entry.trial is not None:
            entry.plan = f"{before.directory}/{entry.trial}/plan.json"
            entry.replay = f"poolproof replay {entry.plan}"
    return tuple(sorted(entries, key=lambda entry: places.get(_key(entry), len(places))))


def _key(entry: Entry) -> Key:
    return entry.invariant, entry.fault, entry.effect
