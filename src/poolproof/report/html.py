"""A run as one page of HTML that needs nothing else: no network, no file beside it, at most `MOST_BYTES`."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec

from poolproof.chaos.result import ENDINGS, Entry, Result
from poolproof.chaos.saved import Run
from poolproof.report import overview
from poolproof.report.timeline import Timeline, timeline

MOST_BYTES: Final = 2_000_000
ROOMS: Final = ((0.75, 20_000), (0.5, 20_000), (0.25, 2_000), (0.0, 200))
"""What is tried in turn until the page is small enough: the part for drawings, and how many lines of source."""
MOST_VIOLATIONS: Final = 40
NAME: Final = "report.html"

_TEMPLATES: Final = Path(__file__).parent / "templates"


def write(run: Run, path: Path | None = None) -> Path:
    """Write the page of a run, beside its result unless `path` says otherwise, and return where it is."""
    path = path or run.path / NAME
    path.write_text(page(run), encoding="utf-8")
    return path


def page(run: Run, most_bytes: int = MOST_BYTES) -> str:
    """Return the page; what finds no room is left out, and the page says what."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined  # noqa: PLC0415 - 60 ms, for a page only

    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    template: Any = environment.get_template("page.html")
    text = ""
    for share, most_lines in ROOMS:
        drawings = Drawings(run, int(most_bytes * share))
        text = template.render(**_context(run, drawings, most_lines))
        if len(text.encode()) <= most_bytes:
            break
    return text


class Drawings:
    """The drawings that find room on the page, the ones that tell most first.

    Attributes:
        kept: by the trial's name, as JSON that may stand in a page.
        left_out: the names of those that found no room.
        notes: what those that did leave out of themselves.
    """

    def __init__(self, run: Run, most_bytes: int) -> None:
        self.kept: dict[str, str] = {}
        self.left_out: list[str] = []
        self.notes: list[str] = []
        room = most_bytes
        for name in wanted(run.result):
            trial = overview.trial_of(run, name)
            if trial is None:
                continue
            drawing = timeline(trial)
            text = script_json(drawing)
            if len(text.encode()) > room:
                self.left_out.append(name)
                continue
            room -= len(text.encode())
            self.kept[name] = text
            self._note(drawing)

    def _note(self, drawing: Timeline) -> None:
        if drawing.note:
            self.notes.append(f"{drawing.name}: {drawing.note}")

    def json(self) -> str:
        """Return all of them as one object."""
        return f"{{{','.join(f'{script_json(name)}:{text}' for name, text in self.kept.items())}}}"


def wanted(result: Result) -> list[str]:
    """Return which trials are to be drawn, in order: the smallest of each violation, as found, unharmed, all else."""
    broken = violations(result)
    names = [entry.trial for entry in broken] + [entry.original for entry in broken]
    unharmed = [name for row in result.faults[:1] for name in row.histories[:1]]
    rest = [name for row in result.faults for name in row.histories[:1]]
    return [name for name in dict.fromkeys([*names, *unharmed, *rest]) if name]


def violations(result: Result) -> list[Entry]:
    """Return what has a story to tell: broken promises, also those by contract, and what was seen only once."""
    return [entry for entry in result.checks if entry.story][:MOST_VIOLATIONS]


def script_json(value: Any) -> str:
    """Return JSON that may stand inside a script element."""
    text = msgspec.json.encode(value).decode()
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _context(run: Run, drawings: Drawings, most_lines: int) -> dict[str, Any]:
    from markupsafe import Markup  # noqa: PLC0415 - with jinja2

    result = run.result
    files = {
        name: Markup((_TEMPLATES / name).read_text())  # noqa: S704 - our own
        for name in ("style.css", "timeline.js", "page.js")
    }
    broken = violations(result)
    whole = overview.crash_map(run)
    shown = overview.within(whole, most_lines)
    return {
        "result": result,
        "files": files,
        "drawings": Markup(drawings.json()),  # noqa: S704 - escaped by script_json
        "signs": overview.SIGNS,
        "letters": overview.LETTERS,
        "meanings": overview.MEANINGS,
        "endings": ENDINGS,
        "matrix": overview.matrix(result),
        "violations": [_violation(run, entry, drawings) for entry in broken],
        "more_violations": sum(bool(entry.story) for entry in result.checks) - len(broken),
        "choices": _choices(result, drawings),
        "map": shown,
        "receipts": overview.receipts(run),
        "environment": overview.environment(result),
        "plan": overview.plan_json(run, next(iter(wanted(result)), None)),
        "truncated": [*_truncated(drawings), *_not_shown(len(whole) - len(shown))],
        "summary": summary(result),
    }


def summary(result: Result) -> list[tuple[str, int]]:
    """Return the numbers that stand at the top of the page."""
    told = [entry for entry in result.checks if entry.invariant != "any"]
    return [
        ("broken", sum(e.verdict == "invalid" and not e.accepted for e in told)),
        ("accepted", sum(e.accepted is not None for e in told)),
        ("by contract", sum(e.verdict == "by contract" for e in told)),
        ("unknown", sum(e.verdict == "unknown" for e in result.checks)),
        ("kept", sum(e.verdict == "valid" for e in told)),
        ("crash points", result.crash_points.total),
    ]


def _violation(run: Run, entry: Entry, drawings: Drawings) -> dict[str, Any]:
    smallest, found = entry.trial or "", entry.original or ""
    unharmed = next((name for row in run.result.faults[:1] for name in row.histories[:1]), "")
    views: list[tuple[str, list[tuple[str, str]]]] = [("smallest", [(smallest, "smallest")])]
    if found != smallest:
        views.append(("as found", [(found, "as found")]))
        views.append(("both", [(smallest, "smallest"), (found, "as found")]))
    views.append(("unharmed", [(unharmed, "unharmed: the same pool with nothing broken")]))
    kept = [
        (label, script_json([(name, f"{title} ({name})") for name, title in trials]))
        for label, trials in views
        if all(name in drawings.kept for name, _ in trials)
    ]
    return {
        "entry": entry,
        "anchor": overview.anchor(entry),
        "views": kept,
        "sizes": overview.sizes(run, entry),
        "output": overview.output(run, entry),
    }


def _choices(result: Result, drawings: Drawings) -> list[tuple[str, str]]:
    return [
        (row.histories[0], f"{row.fault}: {row.verdict}")
        for row in result.faults
        if row.histories and row.histories[0] in drawings.kept
    ]


def _truncated(drawings: Drawings) -> Iterator[str]:
    if drawings.left_out:
        yield f"{len(drawings.left_out)} timelines found no room: {', '.join(drawings.left_out)}"
    yield from drawings.notes


def _not_shown(files: int) -> Iterator[str]:
    if files:
        yield f"the source of {files} files with crash points found no room"
