"""Judges whether tests may be trusted: the same suite alone, together, in parallel and shuffled must say the same.

Pure functions of what the runs recorded.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final, Literal

import msgspec

from poolproof.isolation.runs.records import ABSENT, Case
from poolproof.isolation.runs.steps import MODES, Mode, Run
from poolproof.stats import deviation, fastest, wilson

SCHEMA: Final = 1
MOST_OUTLIERS: Final = 10
MEASURABLE_SECONDS: Final = 0.5
"""Less test time than this says nothing about parallel running: the clock and the scheduler are louder."""
OUTLIER_SECONDS: Final = 0.02
FEWEST_TIMED: Final = 2
"""Of so many runs, the fastest is compared."""

Verdict = Literal["valid", "invalid", "unknown", "not applicable"]


class Bounds(msgspec.Struct, frozen=True, kw_only=True):
    """What may not be exceeded.

    Attributes:
        flakes: the share of tests with more than one outcome.
        variance: by which share test time in parallel may differ from that in one process.
        limits: seconds for a whole test, by its marker.
        phases: seconds for each phase of any test; waiting for another is a matter of minutes when it goes wrong.
    """

    flakes: float = 0.01
    variance: float = 0.10
    limits: Mapping[str, float] = msgspec.field(
        default_factory=lambda: {"unit": 1.0, "integration": 5.0}
    )
    phases: Mapping[str, float] = msgspec.field(
        default_factory=lambda: {"setup": 15.0, "call": 30.0, "teardown": 15.0}
    )


class Gate(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that must hold: what was measured, against what."""

    name: str
    verdict: Verdict
    measured: str
    bound: str
    value: float | None = None


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One test that something is to be said about, and what to do next."""

    kind: str
    test: str
    evidence: str
    advice: str = ""


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One run in the report."""

    mode: Mode
    seed: int | None
    workers: int
    tests: int
    bad: int
    skipped: int
    seconds: float
    exit: int | None


class Verification(msgspec.Struct, frozen=True, kw_only=True):
    """All that the runs say together."""

    schema: int = SCHEMA
    verdict: Verdict
    gates: tuple[Gate, ...]
    findings: tuple[Finding, ...]
    runs: tuple[Row, ...]
    waited_seconds: float = 0.0
    interrupted: bool = False


def judge(runs: Sequence[Run], bounds: Bounds, *, interrupted: bool = False) -> Verification:
    """Return what the runs say; the suite that each of them ran must be the same."""
    story = _Story(runs)
    found = [
        *_failing(story),
        *_mixed(story),
        *_absent(story),
        *_skips(story),
        *_leaks(story),
        *_warnings(story),
        *_slow(story, bounds),
        *_outliers(story, bounds),
    ]
    gates = tuple(gate(story, bounds, found) for gate in _GATES)
    return Verification(
        verdict=_worst(gate.verdict for gate in gates),
        gates=gates,
        findings=tuple(found),
        runs=tuple(map(_row, runs)),
        waited_seconds=sum(test.waited for run in runs for test in run.record.tests.values()),
        interrupted=interrupted,
    )


def _worst(verdicts: Iterable[Verdict]) -> Verdict:
    found = set(verdicts)
    for verdict in ("invalid", "unknown", "valid"):
        if verdict in found:
            return verdict
    return "unknown"


def _row(run: Run) -> Row:
    tests = run.record.tests.values()
    return Row(
        mode=run.mode,
        seed=run.step.seed,
        workers=run.step.workers,
        tests=len(tests),
        bad=sum(test.bad for test in tests),
        skipped=sum(test.outcome == "skipped" for test in tests),
        seconds=run.record.seconds,
        exit=run.record.exit,
    )


class _Story:
    """The runs, turned round: what became of each test in each of them."""

    def __init__(self, runs: Sequence[Run]) -> None:
        self.runs = runs
        names = (name for run in runs for name in (*run.record.collected, *run.record.tests))
        self.names = tuple(dict.fromkeys(names))
        self.ran = {name: tuple(self._of(name)) for name in self.names}

    def _of(self, name: str) -> Iterator[tuple[Run, Case]]:
        return ((r, r.record.tests[name]) for r in self.runs if name in r.record.tests)

    def asked(self, name: str) -> list[tuple[Run, Case]]:
        """Return the runs in which something was asked of the test: not those in which it was skipped."""
        return [(run, test) for run, test in self.ran[name] if test.outcome not in ABSENT]

    @property
    def tried(self) -> list[str]:
        """The tests of which something was asked at least once."""
        return [name for name in self.names if self.asked(name)]

    def calls(self, name: str, mode: Mode) -> list[float]:
        """Return how long the test took each time that it passed in this mode."""
        return [t.call_seconds for r, t in self.ran[name] if r.mode == mode and not t.bad]


def _failing(story: _Story) -> Iterator[Finding]:
    for name in story.tried:
        asked = story.asked(name)
        if all(test.bad for _, test in asked):
            evidence = f"{_in_runs(len(asked), len(asked))}: {_first_line(asked[0][1].message)}"
            yield Finding(kind="fails", test=name, evidence=evidence, advice=f"pytest '{name}'")


def _mixed(story: _Story) -> Iterator[Finding]:
    for name in story.tried:
        asked = story.asked(name)
        bad = [(run, test) for run, test in asked if test.bad]
        reruns = sum(test.reruns for _, test in asked)
        if (bad and len(bad) < len(asked)) or (reruns and not bad):
            kind, advice = _kind(name, asked)
            why = _first_line(bad[0][1].message) if bad else f"a plugin ran it again {reruns} times"
            yield Finding(kind=kind, test=name, evidence=f"{_where(asked)}: {why}", advice=advice)


def _first_line(text: str) -> str:
    return text.partition("\n")[0]


def _kind(name: str, asked: Sequence[tuple[Run, Case]]) -> tuple[str, str]:
    """Say in which way a test changed its mind, and what finds out why."""
    bad = {mode: [t.bad for r, t in asked if r.mode == mode] for mode in MODES}
    if any(test.reruns for _, test in asked) or any(
        0 < sum(bad[mode]) < len(bad[mode]) for mode in ("serial", "alone", "batch")
    ):
        return "flaky", f"poolproof verify --repeat 10 -- '{name}'"
    if any(bad["alone"]):
        return "needs others", f"poolproof bisect '{name}'"
    if any(bad["serial"]) or any(bad["batch"]):
        return "polluted", f"poolproof bisect '{name}'"
    if any(bad["shuffled"]):
        seed = next(r.step.seed for r, t in asked if t.bad and r.mode == "shuffled")
        return "polluted", f"poolproof bisect --seed {seed} '{name}'"
    return "parallel only", f"poolproof bisect --workers {_workers(asked)} '{name}'"


def _workers(asked: Sequence[tuple[Run, Case]]) -> int:
    return next(run.step.workers for run, test in asked if test.bad)


def _where(asked: Sequence[tuple[Run, Case]]) -> str:
    """Say in how many runs of each mode a test was bad."""
    bad = {mode: [test.bad for run, test in asked if run.mode == mode] for mode in MODES}
    told = (f"{mode} {sum(found)} of {len(found)}" for mode, found in bad.items() if found)
    return f"bad in {', '.join(told)}"


def _absent(story: _Story) -> Iterator[Finding]:
    for name in story.names:
        missing = [run for run in story.runs if name not in run.record.tests]
        if missing:
            modes = ", ".join(dict.fromkeys(run.mode for run in missing))
            evidence = f"not heard of in {_in_runs(len(missing), len(story.runs))} ({modes})"
            yield Finding(kind="lost", test=name, evidence=evidence, advice=_ending(missing[0]))


def _ending(run: Run) -> str:
    """Say how a run ended before its end."""
    died = [test.test for test in run.record.tests.values() if test.outcome == "crashed"]
    how = "was ended, because nothing happened any more" if run.record.exit is None else "ended"
    within = f" in {died[-1]}" if died else ""
    return f"its run {how}{within} (exit code {run.record.exit})"


def _skips(story: _Story) -> Iterator[Finding]:
    for name in story.tried:
        skipped = [(run, test) for run, test in story.ran[name] if test.outcome == "skipped"]
        if skipped:
            modes = ", ".join(dict.fromkeys(run.mode for run, _ in skipped))
            evidence = f"skipped in {modes} and run elsewhere: {skipped[0][1].message}"
            advice = "a skip must not depend on how the suite is run"
            yield Finding(kind="newly skipped", test=name, evidence=evidence, advice=advice)


def _leaks(story: _Story) -> Iterator[Finding]:
    for name in story.names:
        left = {
            ("borne" if leak.borne else "leak", f"{leak.resource}: {leak.what}", leak.where)
            for _, test in story.ran[name]
            for leak in test.leaks or ()
        }
        for kind, evidence, where in sorted(left):
            advice = where if " at " in where or not where else f"made at {where}"
            yield Finding(kind=kind, test=name, evidence=evidence, advice=advice)


def _warnings(story: _Story) -> Iterator[Finding]:
    seen = {(w.test, w.text, w.where) for run in story.runs for w in run.record.warnings}
    for test, text, where in sorted(seen):
        yield Finding(kind="unclosed", test=test, evidence=text, advice=f"at {where}")


def _slow(story: _Story, bounds: Bounds) -> Iterator[Finding]:
    """Yield the tests of which even the fastest run took longer than it may."""
    for name in story.tried:
        runs = [t for r, t in story.asked(name) if r.mode in ("serial", "alone")]
        for evidence in _too_long(runs, bounds) if runs else ():
            yield Finding(kind="slow", test=name, evidence=evidence)


def _too_long(runs: Sequence[Case], bounds: Bounds) -> Iterator[str]:
    took = fastest(sum(test.seconds.values()) - test.waited for test in runs)
    for marker, limit in bounds.limits.items():
        if marker in runs[0].markers and took > limit:
            yield f"{took:.2f} s at best, and a {marker} test has {limit:g} s"
    for phase, limit in bounds.phases.items():
        took = fastest(test.seconds.get(phase, 0.0) for test in runs)
        if took > limit:
            yield f"{phase} takes {took:.1f} s at best, and has {limit:g} s"


def _times(story: _Story) -> Iterator[tuple[str, float, float]]:
    """Yield each test's fastest call in one process, and under xdist."""
    for name in story.tried:
        serial, parallel = story.calls(name, "serial"), story.calls(name, "parallel")
        if serial and parallel:
            yield name, fastest(serial), fastest(parallel)


def _outliers(story: _Story, bounds: Bounds) -> Iterator[Finding]:
    if _comparable(story, bounds, math.inf)[1]:
        return
    times = [(abs(p - s), name, s, p) for name, s, p in _times(story)]
    for difference, name, serial, parallel in sorted(times, reverse=True)[:MOST_OUTLIERS]:
        if difference >= OUTLIER_SECONDS and deviation(parallel, serial) >= bounds.variance:
            evidence = f"{serial:.3f} s in one process, {parallel:.3f} s in parallel"
            yield Finding(kind="other time", test=name, evidence=evidence)


def _in_runs(some: int, runs: int) -> str:
    return f"{some} of {runs} run{'s' if runs != 1 else ''}"


def _passing(story: _Story, _bounds: Bounds, found: Sequence[Finding]) -> Gate:
    failing = sum(finding.kind == "fails" for finding in found)
    measured = f"{failing} of {len(story.tried)} fail in every run"
    verdict: Verdict = "invalid" if failing else "valid" if story.tried else "unknown"
    return Gate(name="tests", verdict=verdict, measured=measured, bound="0", value=failing)


def _flakes(story: _Story, bounds: Bounds, found: Sequence[Finding]) -> Gate:
    kinds = {"flaky", "needs others", "polluted", "parallel only"}
    hits = sum(finding.kind in kinds for finding in found)
    tried, rate = len(story.tried), hits / max(1, len(story.tried))
    low, high = wilson(hits, tried)
    interval = f"95 % interval {low:.1%} to {high:.1%}"
    verdict: Verdict = (
        "unknown" if len(story.runs) <= 1 or not tried else _below(rate, bounds.flakes)
    )
    return Gate(
        name="flakes",
        verdict=verdict,
        measured=f"{hits} of {tried} changed their mind: {rate:.1%} ({interval}, {len(story.runs)} runs)",
        bound=f"< {bounds.flakes:.0%}",
        value=rate,
    )


def _below(value: float, bound: float) -> Verdict:
    return "valid" if value < bound else "invalid"


def _variance(story: _Story, bounds: Bounds, _found: Sequence[Finding]) -> Gate:
    times = list(_times(story))
    serial, parallel = sum(time[1] for time in times), sum(time[2] for time in times)
    value = deviation(parallel, serial)
    verdict, why = _comparable(story, bounds, serial)
    ratio = f"{value:.1%}, ratio {serial / parallel:.2f}" if parallel else "no time at all"
    told = f"{serial:.2f} s in one process, {parallel:.2f} s in parallel: {ratio}"
    return Gate(
        name="time variance",
        verdict=verdict or _below(value, bounds.variance),
        measured=why or told,
        bound=f"< {bounds.variance:.0%}",
        value=None if why else value,
    )


def _comparable(story: _Story, bounds: Bounds, serial: float) -> tuple[Verdict | None, str]:
    """Say why times cannot be compared, if they cannot."""
    runs = {mode: sum(run.mode == mode for run in story.runs) for mode in ("serial", "parallel")}
    if not runs["parallel"]:
        return "not applicable", "no run was parallel"
    if min(runs.values()) < FEWEST_TIMED:
        return "not applicable", f"{min(runs.values())} run of a mode cannot be told from noise"
    if serial < MEASURABLE_SECONDS:
        return "not applicable", f"{serial:.2f} s of test time are too little to tell"
    if (noise := _noise(story)) >= bounds.variance:
        return "unknown", f"runs in one process differ by {noise:.1%} already: is the machine busy?"
    return None, ""


def _noise(story: _Story) -> float:
    """Return by how much the two fastest runs in one process differ."""
    totals = sorted(
        sum(test.call_seconds for test in run.record.tests.values())
        for run in story.runs
        if run.mode == "serial"
    )
    return deviation(totals[1], totals[0])


def _cleanups(story: _Story, _bounds: Bounds, _found: Sequence[Finding]) -> Gate:
    looked = [name for name in story.tried if any(t.leaks is not None for _, t in story.ran[name])]
    clean = sum(not _left(story.ran[name]) for name in looked)
    share = clean / len(looked) if looked else 0.0
    measured = f"{clean} of {len(looked)} tests left nothing: {share:.1%}"
    if not looked:
        measured = "no guard has looked: is the plugin off?"
    verdict: Verdict = "unknown" if not looked else "valid" if clean == len(looked) else "invalid"
    return Gate(name="clean-ups", verdict=verdict, measured=measured, bound="100 %", value=share)


def _left(ran: Iterable[tuple[Run, Case]]) -> bool:
    return any(
        test.verified < test.released or any(not leak.borne for leak in test.leaks or ())
        for _, test in ran
    )


def _count(name: str, kind: str) -> "_Judge":
    def gate(story: _Story, _bounds: Bounds, found: Sequence[Finding]) -> Gate:
        number = sum(finding.kind == kind for finding in found)
        return Gate(
            name=name,
            verdict="invalid" if number else "valid" if story.names else "unknown",
            measured=f"{number} of {len(story.names)}",
            bound="0",
            value=number,
        )

    return gate


_Judge = Callable[[_Story, Bounds, Sequence[Finding]], Gate]
_GATES: Final[tuple[_Judge, ...]] = (
    _passing,
    _flakes,
    _variance,
    _cleanups,
    _count("lost tests", "lost"),
    _count("newly skipped", "newly skipped"),
)
