"""What stands on the page beside the drawings: the matrix of verdicts, the map of crash points, receipts, plans."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from poolproof.chaos.result import Ending, Entry, PointEntry, Result
from poolproof.chaos.saved import Run
from poolproof.checkers import Trial, combine
from poolproof.errors import UsageError

SIGNS: Final = {
    "valid": "✓",
    "invalid": "✗",
    "unknown": "?",
    "by contract": "§",
    "not applicable": "-",
    "not tried": "○",
    "also": "↳",
}
"""One sign for each verdict, so that nothing is said by colour alone."""

LETTERS: Final[dict[Ending, str]] = {
    "survived": "S",
    "reported": "R",
    "lost": "L",
    "stopped": "X",
    "slow": "W",
    "duplicated": "D",
    "unreached": "U",
    "not_tried": "N",
}
MEANINGS: Final[dict[Ending, str]] = {
    "survived": "survived: every job got its answer",
    "reported": "reported: an error was told, and nobody waits",
    "lost": "lost: a caller waits for ever",
    "stopped": "stopped: the whole pool serves nobody any more",
    "slow": "slow: it recovered late",
    "duplicated": "duplicated: a finished job ran again",
    "unreached": "unreached: no worker came to the line again",
    "not_tried": "not tried: time was over",
}
GRAVEST: Final[tuple[Ending, ...]] = (
    "stopped",
    "lost",
    "duplicated",
    "slow",
    "reported",
    "survived",
    "unreached",
    "not_tried",
)
AROUND: Final = 2
"""How many lines of source are shown around those that were tried."""
MOST_OUTPUT: Final = 20
SIZES: Final = ("warmup", "jobs", "bystanders", "fresh", "lives")


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell of the matrix; `anchor` leads to the violation that it stands for."""

    verdict: str
    sign: str
    reason: str
    anchor: str = ""


@dataclass(frozen=True, slots=True)
class Matrix:
    """Kinds of fault by invariants.

    Attributes:
        columns: the invariants that applied anywhere.
        rows: the kind of fault, what it does, its verdict, and a cell for each column.
        elsewhere: invariants that applied nowhere, with the reason.
        untried: kinds of fault that could not be tried, with the reason.
    """

    columns: list[str]
    rows: list[tuple[str, str, Cell, list[Cell]]]
    elsewhere: list[tuple[str, str]]
    untried: list[tuple[str, str, str]]


def anchor(entry: Entry) -> str:
    """Return the id of a violation on the page."""
    return re.sub(
        r"[^a-z0-9]+", "-", f"{entry.invariant} {entry.fault} {entry.effect}".lower()
    ).strip("-")


def matrix(result: Result) -> Matrix:
    """Return the verdicts as a table, worst of each cell, what follows from another violation marked as such."""
    by_cell: dict[tuple[str, str], list[Entry]] = {}
    also: dict[tuple[str, str], Entry] = {}
    for entry in result.checks:
        by_cell.setdefault((entry.fault, entry.invariant), []).append(entry)
        also |= {(entry.fault, other): entry for other in entry.also}
    names = dict.fromkeys(entry.invariant for entry in result.checks if entry.invariant != "any")
    applied = {entry.invariant for entry in result.checks if entry.verdict != "not applicable"} | {
        other for _, other in also
    }
    columns = [name for name in names if name in applied]
    does = {row.fault: row.does for row in result.faults}
    tried = {
        row.fault for row in result.faults if row.verdict not in ("not applicable", "not tried")
    }
    kinds = [row.fault for row in result.faults if row.fault in tried]
    kinds += [fault for fault in dict.fromkeys(e.fault for e in result.checks) if fault not in does]
    rows = [
        (
            kind,
            does.get(kind, "death at each line of the pool's own code"),
            _whole(kind, result),
            cells,
        )
        for kind in kinds
        if (
            cells := [
                _cell(by_cell.get((kind, name), ()), also.get((kind, name))) for name in columns
            ]
        )
    ]
    elsewhere = [
        (name, next(e.reason for e in result.checks if e.invariant == name))
        for name in names
        if name not in applied
    ]
    untried: list[tuple[str, str, str]] = [
        (r.fault, f"{r.does}: {r.note}", r.verdict) for r in result.faults if r.fault not in tried
    ]
    return Matrix(columns, rows, elsewhere, untried)


def _whole(kind: str, result: Result) -> Cell:
    verdict = combine(entry.verdict for entry in result.checks if entry.fault == kind)
    return Cell(verdict, SIGNS[verdict], verdict)


def _cell(entries: Sequence[Entry], cause: Entry | None) -> Cell:
    verdict = combine(entry.verdict for entry in entries) if entries else "not applicable"
    if cause is not None and verdict != "invalid":
        reason = f"also broken in the trials that broke {cause.invariant}"
        return Cell("also", SIGNS["also"], reason, anchor(cause))
    worst = next((entry for entry in entries if entry.verdict == verdict), None)
    if worst is None:
        return Cell(verdict, SIGNS[verdict], "nothing was said of it here")
    aim = anchor(worst) if worst.story else ""
    reason = (
        f"{verdict}, accepted: {worst.accepted}" if worst.accepted else f"{verdict}: {worst.reason}"
    )
    return Cell(verdict, SIGNS[verdict], reason, aim)


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the pool's own code: its text, and how each death on it ended."""

    number: int
    text: str
    points: list[PointEntry] = field(default_factory=list[PointEntry])

    @property
    def ending(self) -> Ending | None:
        """The gravest ending, or None where nobody died."""
        endings = {point.ending for point in self.points}
        return next((ending for ending in GRAVEST if ending in endings), None)

    @property
    def letters(self) -> str:
        """A letter for each death on it, in the order kill, raise, hang."""
        return "".join(LETTERS[point.ending] for point in self.points)

    @property
    def told(self) -> str:
        """What dying here did, in words."""
        return "; ".join(_told(point) for point in self.points)


def _told(point: PointEntry) -> str:
    more = [*point.effects, point.reason] if point.reason else [*point.effects]
    late = [f"after {point.seconds:.1f} s"] if point.seconds is not None else []
    return f"{point.effect}: {', '.join([MEANINGS[point.ending], *more, *late])}"


@dataclass(frozen=True, slots=True)
class File:
    """One file of the map: passages of its source, each with the function that it is in."""

    name: str
    passages: list[tuple[str, list[Line]]]
    counts: list[tuple[Ending, int]]
    kept: bool


def crash_map(run: Run) -> list[File]:
    """Return the pool's own source where its workers were made to die; the file with most harm first."""
    by_file: dict[str, list[PointEntry]] = {}
    for point in run.result.crash_points.points:
        by_file.setdefault(point.file, []).append(point)
    files = [_file(run, name, points) for name, points in by_file.items()]
    return sorted(
        files, key=lambda file: -sum(n for ending, n in file.counts if ending in GRAVEST[:4])
    )


def within(files: Sequence[File], most_lines: int) -> list[File]:
    """Return the first files, as long as their lines are no more than so many."""
    kept: list[File] = []
    for file in files:
        most_lines -= sum(len(lines) for _, lines in file.passages)
        if most_lines < 0:
            break
        kept.append(file)
    return kept


def _file(run: Run, name: str, points: list[PointEntry]) -> File:
    source = run.source(name)
    by_line: dict[int, list[PointEntry]] = {}
    for point in points:
        by_line.setdefault(point.line, []).append(point)
    numbers = sorted(by_line)
    shown = sorted({n for number in numbers for n in range(number - AROUND, number + AROUND + 1)})
    passages: list[tuple[str, list[Line]]] = []
    for number in shown:
        if not 1 <= number <= (len(source) if source else numbers[-1]) or (
            not source and number not in by_line
        ):
            continue
        text = source[number - 1] if source else ""
        line = Line(number, text, by_line.get(number, []))
        if not passages or number != passages[-1][1][-1].number + 1:
            passages.append(("", []))
        passages[-1][1].append(line)
    counts: list[tuple[Ending, int]] = [
        (e, n) for e in GRAVEST if (n := sum(point.ending == e for point in points))
    ]
    return File(
        name, [(_functions(lines), lines) for _, lines in passages], counts, source is not None
    )


def _functions(lines: Iterable[Line]) -> str:
    return ", ".join(dict.fromkeys(point.function for line in lines for point in line.points))


@dataclass(frozen=True, slots=True)
class Receipt:
    """The evidence of one fault in one trial; `after_ms` from the injection, None where nobody saw it."""

    fault: str
    trial: str
    evidence: str
    after_ms: float | None
    healed: str


def receipts(run: Run) -> list[Receipt]:
    """Return what proves each kind of fault, from the first trial that it was judged by."""
    found: list[Receipt] = []
    for row in run.result.faults:
        for name in row.histories[:1]:
            if (trial := trial_of(run, name)) is not None and trial.plan.faults:
                found += _receipts(trial)
    return found


def _receipts(trial: Trial) -> Iterator[Receipt]:
    for fault in trial.faults:
        receipt = fault.receipts[0] if fault.receipts else None
        after = (receipt.t - fault.injected_at) / 1e6 if receipt and fault.injected_at else None
        evidence = str(receipt.data.get("evidence")) if receipt else "no receipt: nothing is proved"
        healed = str(fault.healed[0].data.get("evidence")) if fault.healed else "not verified"
        yield Receipt(fault.kind, trial.directory, evidence, after, healed)


def trial_of(run: Run, name: str | None) -> Trial | None:
    """Return a saved trial, or None where it is gone: a page can do without."""
    try:
        return run.trial(name) if name else None
    except UsageError:
        return None


def sizes(run: Run, entry: Entry) -> list[tuple[str, int, int]]:
    """Return what the smaller plan has less of: name, as found, and in the smallest."""
    small, found = trial_of(run, entry.trial), trial_of(run, entry.original)
    if small is None or found is None:
        return []
    return [
        (name, getattr(found.plan, name), getattr(small.plan, name))
        for name in SIZES
        if getattr(found.plan, name) != getattr(small.plan, name)
    ]


def output(run: Run, entry: Entry) -> str:
    """Return the end of what the processes of the violation's trial printed."""
    lines = run.output(entry.trial).splitlines() if entry.trial else []
    cut = [f"... {len(lines) - MOST_OUTPUT} lines before"] if len(lines) > MOST_OUTPUT else []
    return "\n".join([*cut, *lines[-MOST_OUTPUT:]])


def plan_json(run: Run, name: str | None) -> str:
    """Return a saved plan as JSON for people."""
    trial = trial_of(run, name)
    return msgspec.json.format(msgspec.json.encode(trial.plan), indent=2).decode() if trial else ""


def environment(result: Result) -> list[tuple[str, Any]]:
    """Return where and how the run was made, for a table."""
    promises = (
        msgspec.json.encode(result.promises).decode()
        if result.promises
        else "none beyond no silence"
    )
    return [
        *result.environment.items(),
        ("seed", result.seed),
        ("seconds", result.seconds),
        ("promises", promises),
    ]
