"""What was tried and what was found by it, counted up: from judged trials to the rows of a result.

No trial is played here: a check counts while it runs, and `recheck` counts what is saved.
"""

from collections import Counter
from collections.abc import Iterable, Sequence

from poolproof.chaos.accept import Acceptance
from poolproof.chaos.confirm import Violation
from poolproof.chaos.result import Entry, FaultRow, PointEntry
from poolproof.chaos.stuck import primary, telling
from poolproof.checkers import Finding, Trial, Verdict, combine, judge
from poolproof.faults import FAULTS
from poolproof.faults.base import Fault

NO_TIME = "no time left"
SWEEP = "crash-points"
"""The row of the table that says why there is no sweep of crash points."""

Judged = tuple[Trial, tuple[Finding, ...]]


def judged_unharmed(trials: Iterable[Trial]) -> list[Judged]:
    """Judge what nothing was done to: leaks by the trial in which the pool lives twice, the rest by the other one.

    What one life leaves behind is what every trial is compared with; what grows from life to life leaks.
    """
    return [
        (trial, tuple(f for f in judge(trial) if (f.invariant == "leak") == (trial.plan.lives > 1)))
        for trial in trials
    ]


class Tally:
    """All that is known of a target so far.

    Attributes:
        found: by kind of fault, its trials, judged.
        rows: by kind of fault, its row in the table of everything tried.
        points: how each crash point ended, and the trial that tells.
        violations: the broken promises, one for each cause and kind of fault.
    """

    def __init__(self) -> None:
        self.found: dict[str, list[Judged]] = {}
        self.rows: dict[str, FaultRow] = {}
        self.points: dict[PointEntry, Trial | None] = {}
        self.violations: list[Violation] = []

    def entries(self, accepted: Iterable[Acceptance] = ()) -> tuple[Entry, ...]:
        """Return every row of `checks`, the broken promises first, those that are accepted marked so."""
        entries = [violation.entry() for violation in self.violations] + self._quiet_entries()
        known = tuple(accepted)
        for entry in entries:
            for acceptance in known:
                if acceptance.covers(entry):
                    entry.accepted = acceptance.reason
        return tuple(entries)

    def in_order(self, kinds: Iterable[str]) -> tuple[FaultRow, ...]:
        """Return the table of everything tried."""
        return tuple(self.rows[kind] for kind in kinds if kind in self.rows)

    def sorted_points(self) -> list[PointEntry]:
        """Return the crash points in the order of their lines."""
        return sorted(self.points, key=lambda point: (point.file, point.line))

    def summarise(self, kind: str) -> None:
        """Make the row of a kind of fault from its trials; where there are none, one that says why stays."""
        tried = self.found.get(kind, [])
        if not tried and kind in self.rows:
            return
        if not tried:
            self.rows[kind] = FaultRow(
                fault=kind, does=FAULTS[kind].does, verdict="not tried", note=NO_TIME
            )
            return
        told = tuple(f for _, findings in tried for f in telling(findings))
        self.row(kind, FAULTS[kind].does, told)

    def row(self, kind: str, does: str, findings: Sequence[Finding]) -> None:
        """Make the row of a kind of fault from these findings in its trials."""
        histories = tuple(trial.directory for trial, _ in self.found[kind] if trial.directory)
        verdict = combine(finding.verdict for finding in findings)
        words = dict.fromkeys(
            finding.invariant if verdict == "invalid" else finding.reason
            for finding in findings
            if finding.verdict == verdict and verdict != "valid"
        )
        note = ", ".join(words) if verdict == "invalid" else next(iter(words), "")
        self.rows[kind] = FaultRow(
            fault=kind,
            does=does,
            verdict=verdict,
            trials=len(self.found[kind]),
            note=note,
            histories=histories,
        )

    def fault_violations(self, kind: str) -> list[Violation]:
        """Return what the trials of this kind of fault broke, one for each promise and effect."""
        found: dict[tuple[str, str], Violation] = {}
        tried = self.found.get(kind, [])
        for trial, findings in tried:
            for finding, also in primary(findings):
                key = (finding.invariant, finding.effect)
                violation = found.setdefault(key, Violation(kind, finding, trial, also=also))
                violation.hits += 1
                violation.trials = len(tried)
        return list(found.values())

    def point_violations(self) -> list[Violation]:
        """Return what the crash points broke, one for each promise and ending."""
        found: dict[tuple[str, str, str], Violation] = {}
        tried = {
            effect: sum(point.effect == effect for point in self.points)
            for effect in ("kill", "raise", "hang")
        }
        for point, trial in self.points.items():
            if trial is None:
                continue
            for finding, also in primary(judge(trial, trial.reference)):
                fault = f"crash-point:{point.effect}"
                key = (
                    finding.invariant,
                    fault,
                    finding.effect if finding.invariant == "leak" else point.ending,
                )
                violation = found.setdefault(key, Violation(fault, finding, trial, also=also))
                violation.hits += 1
                violation.trials = tried[point.effect]
                violation.points.append(point)
        return list(found.values())

    def _quiet_entries(self) -> list[Entry]:
        """Return a row for each kind of fault and invariant that was not broken, the worst verdict of its trials."""
        entries: list[Entry] = []
        for kind, tried in self.found.items():
            told = [finding for _, findings in tried for finding in telling(findings)]
            for invariant in dict.fromkeys(finding.invariant for finding in told):
                same = [finding for finding in told if finding.invariant == invariant]
                verdict = combine(finding.verdict for finding in same)
                if verdict not in ("invalid", "by contract"):
                    worst = next(finding for finding in same if finding.verdict == verdict)
                    entries.append(_quiet_entry(kind, worst, len(tried)))
        entries += [
            Entry(invariant="any", verdict="not applicable", fault=kind, reason=row.note)
            for kind, row in self.rows.items()
            if row.verdict == "not applicable"
        ]
        return entries + self._untried_entries()

    def _untried_entries(self) -> list[Entry]:
        """Return a row for each thing that could have been tried and was not: of that, nothing is known."""
        late = {
            kind: f"not tried: {NO_TIME}"
            for kind, row in self.rows.items()
            if row.verdict == "not tried" and row.note == NO_TIME
        }
        if untried := sum(point.ending == "not_tried" for point in self.points):
            late[SWEEP] = f"{untried} of {len(self.points)} crash points were not tried"
        return [
            Entry(invariant="any", verdict="unknown", fault=kind, reason=reason)
            for kind, reason in late.items()
        ]


def verdict_of(entries: Iterable[Entry]) -> Verdict:
    """Return the worst verdict that no acceptance covers; where nothing could apply, nothing is known."""
    verdict = combine(entry.verdict for entry in entries if not entry.accepted)
    return "unknown" if verdict == "not applicable" else verdict


def _quiet_entry(kind: str, finding: Finding, trials: int) -> Entry:
    return Entry(
        invariant=finding.invariant,
        verdict=finding.verdict,
        fault=kind,
        reason=finding.reason,
        evidence=finding.evidence,
        trials=trials,
    )


def varied(violations: Sequence[Violation]) -> list[Violation]:
    """Return the violations so that the first ones tell different stories: another promise, or another moment."""
    seen: Counter[tuple[str, str]] = Counter()
    ranks: list[int] = []
    for violation in violations:
        fault = FAULTS.get(violation.fault)
        kind = (violation.finding.invariant, fault.moment if fault else violation.fault)
        ranks.append(seen[kind])
        seen[kind] += 1
    return [
        violation
        for _, violation in sorted(zip(ranks, violations, strict=True), key=lambda pair: pair[0])
    ]


def inapplicable_row(fault: Fault, reason: str) -> FaultRow:
    """Return the row of a fault that cannot apply here."""
    return FaultRow(fault=fault.kind, does=fault.does, verdict="not applicable", note=reason)
