"""Says what is wrong with a suite: ten symptoms scored, each failure's cause and first fix, how to run it till then.

Pure functions of what `verify` recorded.
"""

from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Final, Literal

import msgspec

from poolproof.isolation import verify
from poolproof.isolation.runs.records import Case
from poolproof.isolation.symptoms import SYMPTOMS, FailureClass, classify
from poolproof.isolation.verify import Finding, Run, Verification

SCHEMA: Final = 1
COMPROMISED: Final = 3
"""From so many of the ten symptoms on, no outcome of the suite means anything."""
MOST_EXAMPLES: Final = 3
MOST_LINE: Final = 200
CHANGING: Final = frozenset({"flaky", "polluted", "needs others", "parallel only"})

Advice = Literal[
    "parallel", "serial", "fix clean-up first", "fix the failing tests first", "nothing ran"
]


class Symptom(msgspec.Struct, frozen=True, kw_only=True):
    """One of the ten symptoms, with what shows it; nothing, where it is absent."""

    name: str
    what: str
    evidence: tuple[str, ...] = ()


class Diagnosis(msgspec.Struct, frozen=True, kw_only=True):
    """Why one test fails: the class of its failure, what shows it, and the first thing to do."""

    test: str
    kind: str
    failure: str
    symptom: str
    cause: str
    evidence: tuple[str, ...]
    fix: str


class Checkup(msgspec.Struct, frozen=True, kw_only=True):
    """What is wrong with a suite."""

    schema: int = SCHEMA
    symptoms: tuple[Symptom, ...]
    score: int
    compromised: bool
    diagnoses: tuple[Diagnosis, ...]
    advice: Advice
    reason: str


def examine(runs: Sequence[Run], bounds: verify.Bounds | None = None) -> Checkup:
    """Return what the runs show."""
    found = verify.judge(runs, bounds or verify.Bounds())
    diagnoses = tuple(_diagnoses(runs, found))
    symptoms = tuple(_symptoms(runs, found, diagnoses))
    score = sum(bool(symptom.evidence) for symptom in symptoms)
    present = {symptom.name for symptom in symptoms if symptom.evidence}
    advice, reason = recommend(found, present)
    return Checkup(
        symptoms=symptoms,
        score=score,
        compromised=score >= COMPROMISED,
        diagnoses=diagnoses,
        advice=advice,
        reason=reason,
    )


def recommend(found: Verification, present: AbstractSet[str]) -> tuple[Advice, str]:
    """Return how to run the suite until it is mended, and why."""
    if not any(row.tests for row in found.runs):
        return "nothing ran", "no test was recorded"
    kinds = {finding.kind for finding in found.findings}
    return next(
        (advice, why) for shown, advice, why in _RULES if not shown or shown & (kinds | present)
    )


_RULES: Final[tuple[tuple[AbstractSet[str], Advice, str], ...]] = (
    (
        {"alone", "order", "leftovers"},
        "fix clean-up first",
        "what one test leaves changes another, and one process alone would only hide it",
    ),
    (
        {"parallel", "collision", "vanished", "exhausted", "waiting"},
        "serial",
        "the tests share what is outside of their processes: names, rows, ports, connections",
    ),
    (
        {"fails", "flaky"},
        "fix the failing tests first",
        "they fail in every way of running, so isolation is not the cause",
    ),
    (
        {"drift"},
        "serial",
        "in parallel it is slower, or loses, skips or crashes tests",
    ),
    (
        set(),
        "parallel",
        "however it is run it says the same, and nothing is left behind",
    ),
)
"""The first of which anything is shown stands; the last always does."""


def _bad(runs: Sequence[Run]) -> Mapping[str, list[tuple[Run, Case]]]:
    found: dict[str, list[tuple[Run, Case]]] = {}
    for run in runs:
        for name, test in run.record.tests.items():
            if test.bad:
                found.setdefault(name, []).append((run, test))
    return found


def _diagnoses(runs: Sequence[Run], found: Verification) -> Iterator[Diagnosis]:
    by_test = {f.test: f for f in found.findings if f.kind in CHANGING}
    for name, bad in _bad(runs).items():
        run, test = bad[0]
        match = classify(f"{test.message}\n{test.text}")
        finding = by_test.get(name)
        yield Diagnosis(
            test=name,
            kind=finding.kind if finding else "fails",
            failure=match.of.name,
            symptom=match.of.symptom,
            cause=match.of.cause,
            evidence=tuple(_evidence(match.line, match.of, run, name, finding)),
            fix=match.of.fix if not finding or match.of.name != "unclassified" else finding.advice,
        )


def _evidence(
    line: str, of: FailureClass, run: Run, name: str, finding: Finding | None
) -> Iterator[str]:
    if line:
        yield line[:MOST_LINE]
    if finding:
        yield finding.evidence.partition(": ")[0]
    yield from _left_before(of, run, name)


def _left_before(of: FailureClass, run: Run, name: str) -> Iterator[str]:
    """Yield what tests that ran before it, on the same worker, left of a kind that explains the failure."""
    left = (
        f"{test} had left {leak.resource}: {leak.what}"
        for test in reversed(run.record.before(name))
        for leak in run.record.tests[test].leaks or ()
        if leak.resource in of.left
    )
    yield from (line for line, _ in zip(left, range(MOST_EXAMPLES), strict=False))


def _symptoms(
    runs: Sequence[Run], found: Verification, diagnoses: Sequence[Diagnosis]
) -> Iterator[Symptom]:
    shown: dict[str, list[str]] = {name: [] for name in SYMPTOMS}
    for symptom, evidence in (
        *_of_findings(found),
        *_of_orders(runs),
        *_of_failures(diagnoses, runs),
    ):
        shown[symptom].append(evidence)
    for gate in found.gates:
        if gate.name == "time variance" and gate.verdict == "invalid":
            shown["drift"].append(gate.measured)
    for name, what in SYMPTOMS.items():
        lines = list(dict.fromkeys(shown[name]))
        more = [f"and {len(lines) - MOST_EXAMPLES} more"] * (len(lines) > MOST_EXAMPLES)
        yield Symptom(name=name, what=what, evidence=(*lines[:MOST_EXAMPLES], *more))


_SHOWN_BY: Final = {
    "needs others": "alone",
    "parallel only": "parallel",
    "flaky": "flaky",
    "leak": "leftovers",
    "unclosed": "leftovers",
    "lost": "drift",
    "newly skipped": "drift",
}


def _of_findings(found: Verification) -> Iterator[tuple[str, str]]:
    for finding in found.findings:
        if finding.kind in _SHOWN_BY:
            yield _SHOWN_BY[finding.kind], f"{finding.test}: {finding.evidence}"


def _of_orders(runs: Sequence[Run]) -> Iterator[tuple[str, str]]:
    """Yield what passed alone and failed together, and what passed in order and failed out of it."""
    for name in _bad(runs):
        bad: dict[str, list[bool]] = {}
        for run in runs:
            if test := run.record.tests.get(name):
                bad.setdefault(run.mode, []).append(test.bad)
        always = {mode: all(seen) for mode, seen in bad.items()}
        never = {mode: not any(seen) for mode, seen in bad.items()}
        if never.get("alone") and always.get("serial"):
            yield "alone", f"{name} passes alone and fails together"
        if never.get("serial") and any(bad.get("shuffled", ())):
            yield "order", f"{name} passes in its order and fails in another"


def _of_failures(diagnoses: Sequence[Diagnosis], runs: Sequence[Run]) -> Iterator[tuple[str, str]]:
    """Yield what the failures' words tell; a test that fails however it is run accuses only itself."""
    changing = len(runs) > 1
    for diagnosis in diagnoses:
        if diagnosis.symptom and not (changing and diagnosis.kind == "fails"):
            yield diagnosis.symptom, f"{diagnosis.test}: {diagnosis.failure}"
