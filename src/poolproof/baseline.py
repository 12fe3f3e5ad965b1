"""Kept measurements: saved with where they were taken, compared with new ones, pruned."""

import dataclasses
import datetime as dt
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from poolproof import fingerprint
from poolproof.bench.result import SHARE, BenchResult, Measure
from poolproof.comparison import EFFECT, Comparison, compare_samples, compare_shares
from poolproof.errors import UsageError
from poolproof.latency import Histogram
from poolproof.load.recovery import LOW_SHARE, Curve
from poolproof.load.result import LoadResult

if TYPE_CHECKING:
    from poolproof.scenarios import Report

DIRECTORY: Final = Path(".poolproof", "baselines")
SCHEMA: Final = 1
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_MS: Final = 1e-3
_LEAST_MS: Final = 1.0
"""In place of what is less, and cannot be told from nothing: of what is compared, the logarithm is taken."""


class Baseline(msgspec.Struct, frozen=True, kw_only=True):
    """A measurement that is kept.

    Attributes:
        name: its name, and its file's.
        saved_at: when, in UTC, as ISO 8601.
        result: what was measured, with its fingerprint and the load of the machine.
    """

    name: str
    saved_at: str
    result: BenchResult
    schema: int = SCHEMA


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One measure, then and now.

    Attributes:
        measure: its name.
        comparison: the verdict.
        machine: how many times as long the calibration took now; 1 where there is none.
        note: why the verdict is not what the times alone say; empty where it is.
    """

    measure: str
    comparison: Comparison
    machine: float
    note: str = ""


def read_results(paths: Iterable[Path]) -> BenchResult:
    """Return what is in files by `bench --json`, `load --json` or `scenario --json`; several are put together.

    Raises:
        UsageError: there is no such file, it is none of these, or they are of different machines.
    """
    results = [_read(path) for path in paths]
    if not results:
        raise UsageError(
            "expected a file that `bench --json`, `load --json` or `scenario --json` wrote, got none"
        )
    first = results[0]
    for other in results[1:]:
        if different := fingerprint.differences(first.fingerprint, other.fingerprint):
            raise UsageError(f"expected files of one machine, got {'; '.join(different)}")
    return msgspec.structs.replace(first, measures=tuple(_together(results)))


def _read(path: Path) -> BenchResult:
    try:
        data: Any = msgspec.json.decode(path.read_bytes())
        if isinstance(data, dict) and "measures" in data:
            return msgspec.convert(data, BenchResult)
        told: list[Any] = msgspec.convert(data if isinstance(data, list) else [data], list[Any])
        if told and isinstance(told[0], dict) and "scenario" in told[0]:
            return _of_reports(told)
        return of_loads(msgspec.convert(told, list[LoadResult]))
    except OSError as error:
        raise UsageError(
            f"expected a file that `bench --json`, `load --json` or `scenario --json` wrote, got {error}"
        ) from error
    except (msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError) as error:
        raise UsageError(
            f"expected what `bench --json`, `load --json` or `scenario --json` wrote in {path}, got: {error}"
        ) from error


def of_loads(results: Sequence[LoadResult]) -> BenchResult:
    """Return loads as measures: a sample of each percentile a load, of the curve of recovery one a fault.

    Raises:
        UsageError: one of them is void: it proves nothing, so it is no baseline; or there is none.
    """
    if not results:
        raise UsageError(
            "expected what `bench --json`, `load --json` or `scenario --json` wrote, got no load"
        )
    for result in results:
        if result.verdict == "void":
            raise UsageError(
                f"expected loads that were offered, got a void one: {result.reasons[0]}"
            )
    samples = (sample for result in results for sample in _load_samples(result))
    name, facts = results[0].plan.target.name, results[0].fingerprint
    return _as_bench(name, samples, facts, (results[0].load_before, results[-1].load_after))


def _as_bench(
    name: str,
    samples: Iterable[tuple[str, str, float]],
    facts: dict[str, Any],
    load: Iterable[float],
) -> BenchResult:
    found: dict[tuple[str, str], list[float]] = {}
    for measure, unit, value in samples:
        found.setdefault((measure, unit), []).append(value)
    before, after = load
    return BenchResult(
        target=name,
        measures=tuple(
            Measure(name=name, unit=unit, better="less", samples=tuple(values))
            for (name, unit), values in found.items()
        ),
        latency=Histogram().summary(),
        failures={},
        fingerprint=facts,
        load_before=before,
        load_after=after,
    )


def _load_samples(result: LoadResult) -> Iterator[tuple[str, str, float]]:
    how = f"{result.loop}, {result.plan.shape}, {result.plan.rate:g}/s"
    for name in ("p50", "p99", "p999"):
        yield f"latency {name}, {how}", "s", getattr(result.latency, name) * _MS
    for curve in result.curves:
        yield from _curve_samples(curve, how)


def _curve_samples(curve: Curve, how: str) -> Iterator[tuple[str, str, float]]:
    """Yield what a curve is compared by; one that did not come back has no time of repair, but counts as such."""
    times = {
        "detected": (curve.detected_ms, _LEAST_MS),
        "repaired": (curve.repaired_ms, _LEAST_MS),
        "dip": (curve.dip_ms, curve.slice_ms),
    }
    for name, (value, least) in times.items():
        if value is not None:
            yield f"{curve.fault} {name}, {how}", "s", max(value, least) * _MS
    yield f"{curve.fault} depth, {how}", "%", 100 * max(curve.depth, 1 - LOW_SHARE)
    yield f"{curve.fault} not repaired, {how}", SHARE, float(curve.repaired_ms is None)


def _of_reports(told: list[Any]) -> BenchResult:
    from poolproof.scenarios import Report  # noqa: PLC0415 - 0.15 s, which other files need not cost

    return of_plays(msgspec.convert(told, list[Report]))


def of_plays(reports: "Sequence[Report]") -> BenchResult:
    """Return plays of a scenario as measures: of the curve of recovery a sample each.

    Raises:
        UsageError: one of them proves nothing, or has no curve.
    """
    for report in reports:
        if report.curve is None or report.verdict not in ("valid", "invalid"):
            raise UsageError(
                f"expected plays with a curve and a receipt for each deed, got seed {report.seed}: {report.verdict}"
            )
    samples = (
        sample
        for report in reports
        if report.curve is not None
        for sample in _curve_samples(report.curve, _how_played(report))
    )
    load = (float(report.fingerprint.get("load", 0.0)) for report in (reports[0], reports[-1]))
    return _as_bench(reports[0].scenario, samples, reports[0].fingerprint, load)


def _how_played(report: "Report") -> str:
    """Return what makes curves unlike, as a part of their names: only what has one name is compared."""
    besides = f", {report.rate:g}/s besides" if report.rate else ""
    return f"on {report.where}{besides}{f', pace {report.pace:g}' if report.pace != 1 else ''}"


def _together(results: Sequence[BenchResult]) -> Iterator[Measure]:
    found: dict[str, list[Measure]] = {}
    for result in results:
        for measure in result.measures:
            found.setdefault(measure.name, []).append(measure)
    for parts in found.values():
        yield msgspec.structs.replace(
            parts[0],
            samples=tuple(s for part in parts for s in part.samples),
            calibration=tuple(c for part in parts for c in part.calibration),
        )


def save(name: str, result: BenchResult, directory: Path = DIRECTORY) -> Path:
    """Keep a measurement under a name; one of that name is replaced. Return its file.

    Raises:
        UsageError: the name cannot be a file's.
    """
    path = _path(name, directory)
    now = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
    kept = Baseline(name=name, saved_at=now, result=result)
    directory.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(kept), indent=1) + b"\n")
    return path


def load(name: str, directory: Path = DIRECTORY) -> Baseline:
    """Return the baseline of that name.

    Raises:
        UsageError: there is none that this version reads; says which there are.
    """
    path = _path(name, directory)
    if not path.exists():
        there = ", ".join(one.name for one in kept(directory)) or "none"
        raise UsageError(f"expected a baseline in {directory}, got {name!r}; there are: {there}")
    try:
        found = msgspec.json.decode(path.read_bytes(), type=Baseline)
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise UsageError(f"expected a baseline in {path}, got: {error}; save it anew") from error
    if found.schema != SCHEMA:
        raise UsageError(f"expected schema {SCHEMA} in {path}, got {found.schema}; save it anew")
    return found


def _path(name: str, directory: Path) -> Path:
    if not _NAME.fullmatch(name):
        raise UsageError(f"expected a name of letters, digits, '.', '_' and '-', got {name!r}")
    return directory / f"{name}.json"


def kept(directory: Path = DIRECTORY) -> list[Baseline]:
    """Return all baselines that can be read, the oldest first."""
    found: list[Baseline] = []
    for path in sorted(directory.glob("*.json")):
        try:
            found.append(msgspec.json.decode(path.read_bytes(), type=Baseline))
        except (msgspec.DecodeError, msgspec.ValidationError):
            continue
    return sorted(found, key=lambda one: one.saved_at)


def prune(keep: int, directory: Path = DIRECTORY) -> list[str]:
    """Remove all but the newest `keep`; return the names of those that went."""
    gone = [one.name for one in kept(directory)][: -keep or None]
    for name in gone:
        _path(name, directory).unlink(missing_ok=True)
    return gone


def compare(
    old: Baseline, new: BenchResult, *, calibrated: bool = False, effect: float = EFFECT
) -> list[Change]:
    """Return what became of each measure that both have.

    Args:
        old: what was kept.
        new: what was measured now.
        calibrated: whether to compare multiples of the calibration, as must be on another machine.
        effect: the least relative change that counts.

    Raises:
        UsageError: they are of different machines, and `calibrated` was not asked for; or no measure is common.
    """
    different = fingerprint.differences(old.result.fingerprint, new.fingerprint)
    if different and not calibrated:
        raise UsageError(
            f"expected a baseline of a machine like this one, got {'; '.join(different)};"
            " --calibrated compares multiples of the calibration instead"
        )
    before = {measure.name: measure for measure in old.result.measures}
    pairs = [
        (before[one.name], one)
        for one in new.measures
        if one.name in before and before[one.name].unit == one.unit
    ]
    if calibrated:
        pairs = [pair for pair in pairs if all(len(m.calibration) == len(m.samples) for m in pair)]
    if not pairs:
        raise UsageError(f"expected a measure that {old.name} has, too, got none")
    judge = _by_calibration if calibrated else _by_time
    return [(_by_share if now.unit == SHARE else judge)(then, now, effect) for then, now in pairs]


def _by_share(then: Measure, now: Measure, effect: float) -> Change:
    happened, before = (list(map(bool, one.samples)) for one in (now, then))
    note = f"{sum(happened)} of {len(happened)}, where it was {sum(before)} of {len(before)}"
    found = compare_shares(before, happened, effect=effect)
    return Change(measure=now.name, comparison=found, machine=1.0, note=note)


def _by_calibration(then: Measure, now: Measure, effect: float) -> Change:
    found = compare_samples(then.ratios(), now.ratios(), effect=effect)
    return Change(measure=now.name, comparison=found, machine=_machine(then, now))


def _by_time(then: Measure, now: Measure, effect: float) -> Change:
    """Compare times, and call no change what the calibration beside them has seen as well, or does not confirm."""
    found = compare_samples(then.costs(), now.costs(), effect=effect)
    if not (then.calibration and now.calibration) or found.verdict in ("same", "inconclusive"):
        return Change(measure=now.name, comparison=found, machine=_machine(then, now))
    beside = _by_calibration(then, now, effect)
    if beside.comparison.verdict == found.verdict:
        return Change(measure=now.name, comparison=found, machine=beside.machine)
    note = (
        f"times alone say {found.verdict}; the calibration took {beside.machine:.2f} times as long"
    )
    doubted = dataclasses.replace(found, verdict="inconclusive")
    return Change(measure=now.name, comparison=doubted, machine=beside.machine, note=note)


def _machine(then: Measure, now: Measure) -> float:
    if not (then.calibration and now.calibration):
        return 1.0
    return compare_samples(then.calibration, now.calibration).ratio


def worst(changes: Sequence[Change]) -> str:
    """Return the verdict on all: `slower` if one is, `inconclusive` if nothing is certain, else the best that is."""
    verdicts = {change.comparison.verdict for change in changes}
    for verdict in ("slower", "faster", "same"):
        if verdict in verdicts:
            return verdict
    return "inconclusive"
