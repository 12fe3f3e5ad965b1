"""Judges whether tests may be trusted: the same suite alone, together, in parallel and shuffled must say the same.

Pure functions: which runs to make, and, from what they recorded, what holds and what does not.
"""

import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final, Literal

import msgspec

from poolproof.isolation.runs.ordering import Order
from poolproof.isolation.runs.records import ABSENT, Case, Record
from poolproof.stats import deviation, fastest, wilson

SCHEMA: Final = 1
MOST_OUTLIERS: Final = 10
MEASURABLE_SECONDS: Final = 0.5
"""Less test time than this says nothing about parallel running: the clock and the scheduler are louder."""
OUTLIER_SECONDS: Final = 0.02

Mode = Literal["alone", "batch", "serial", "parallel", "shuffled"]
Verdict = Literal["valid", "invalid", "unknown", "not applicable"]

MODES: Final[Mapping[Mode, str]] = {
    "alone": "each test in a process of its own",
    "batch": "each class, or module, in a process of its own",
    "serial": "all in one process, in their order",
    "parallel": "all under xdist",
    "shuffled": "all in one process, in a random order",
}


class Bounds(msgspec.Struct, frozen=True, kw_only=True):
    """What may not be exceeded: shares of 1, and seconds by marker."""

    flakes: float = 0.01
    variance: float = 0.10
    limits: Mapping[str, float] = msgspec.field(
        default_factory=lambda: {"unit": 1.0, "integration": 5.0}
    )


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One run that is to be made."""

    mode: Mode
    seed: int | None = None
    workers: int = 0

    @property
    def order(self) -> Order:
        """The order in which its tests are played."""
        apart = {"alone": "test", "batch": "batch"}.get(self.mode, "")
        return Order(seed=self.seed, apart=apart)


def step_of(order: Order, workers: int) -> Step:
    """Return the step of a run that was played in this order."""
    modes: dict[str, Mode] = {"test": "alone", "batch": "batch"}
    mode = modes.get(order.apart) or ("parallel" if workers else "serial")
    return Step(
        mode="shuffled" if order.seed is not None else mode, seed=order.seed, workers=workers
    )


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One run that was made."""

    step: Step
    record: Record

    @property
    def mode(self) -> Mode:
        """How its tests were run."""
        return self.step.mode


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


def steps(repeat: int, workers: int, seed: int) -> tuple[Step, ...]:
    """Return the runs that verify a suite: alone once, and all other modes `repeat` times.

    Args:
        repeat: 3 as a gate, 10 to look for flakes.
        workers: 0 for one process, which leaves out the parallel runs.
        seed: what the seeds of the shuffled runs are drawn from.
    """
    draw = random.Random(seed)  # noqa: S311 - an order, no secret
    found = [Step(mode="serial"), Step(mode="alone")]
    for number in range(repeat):
        found += [Step(mode="serial")] * (number > 0)
        found += [Step(mode="parallel", workers=workers)] * (workers > 0)
        found.append(Step(mode="shuffled", seed=draw.randrange(1 << 32)))
    return tuple(found)


def ladder(workers: int, seed: int) -> tuple[Step, ...]:
    """Return the rungs of the validation ladder: alone, by class, together, again, in parallel, in another order."""
    rungs = [Step(mode="alone"), Step(mode="batch"), Step(mode="serial"), Step(mode="serial")]
    rungs += [Step(mode="parallel", workers=workers)] * (workers > 0)
    return (*rungs, Step(mode="shuffled", seed=seed))


def estimate(left: Sequence[Step], runs: Sequence[Run]) -> float:
    """Return how many seconds the runs that are left will take: as those of their mode did, else as the longest did."""
    took = {run.mode: run.record.seconds for run in runs}
    return sum(took.get(step.mode, max(took.values(), default=0.0)) for step in left)


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
            (leak.resource, leak.what, leak.where)
            for _, test in story.ran[name]
            for leak in test.leaks or ()
        }
        for resource, what, where in sorted(left):
            advice = f"made at {where}" if where else ""
            yield Finding(kind="leak", test=name, evidence=f"{resource}: {what}", advice=advice)


def _warnings(story: _Story) -> Iterator[Finding]:
    seen = {(w.test, w.text, w.where) for run in story.runs for w in run.record.warnings}
    for test, text, where in sorted(seen):
        yield Finding(kind="unclosed", test=test, evidence=text, advice=f"at {where}")


def _slow(story: _Story, bounds: Bounds) -> Iterator[Finding]:
    """Yield the tests of which even the fastest run took longer than its marker allows."""
    for name in story.tried:
        runs = [t for r, t in story.asked(name) if r.mode in ("serial", "alone")]
        took = fastest(sum(test.seconds.values()) - test.waited for test in runs)
        for marker, limit in bounds.limits.items():
            if runs and marker in runs[0].markers and took > limit:
                evidence = f"{took:.2f} s at best, and a {marker} test has {limit:g} s"
                yield Finding(kind="slow", test=name, evidence=evidence)


def _times(story: _Story) -> Iterator[tuple[str, float, float]]:
    """Yield each test's fastest call in one process, and under xdist."""
    for name in story.tried:
        serial, parallel = story.calls(name, "serial"), story.calls(name, "parallel")
        if serial and parallel:
            yield name, fastest(serial), fastest(parallel)


def _outliers(story: _Story, bounds: Bounds) -> Iterator[Finding]:
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
    verdict: Verdict = "not applicable"
    if not any(run.mode == "parallel" for run in story.runs):
        measured, value = "no run was parallel", None
    elif serial < MEASURABLE_SECONDS:
        measured = f"{serial:.2f} s of test time are too little to tell"
        value = None
    else:
        value = deviation(parallel, serial)
        verdict = _below(value, bounds.variance)
        ratio = f"ratio {serial / parallel:.2f}" if parallel else "no time in parallel"
        measured = (
            f"{serial:.2f} s in one process, {parallel:.2f} s in parallel: {value:.1%}, {ratio}"
        )
    bound = f"< {bounds.variance:.0%}"
    return Gate(name="time variance", verdict=verdict, measured=measured, bound=bound, value=value)


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
    return any(test.leaks or test.verified < test.released for _, test in ran)


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
