"""The report on a terminal: verdict, the smallest story of each violation, then a table of everything tried.

Plain words carry every meaning; colour only repeats them. Without a terminal there is none.
"""

from collections.abc import Iterator, Sequence
from typing import Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from poolproof.chaos.keeping import Kept, kept
from poolproof.chaos.result import ENDINGS, CrashPoints, Entry, FaultRow, Result

MOST_STORIES: Final = 10
MOST_EVIDENCE: Final = 4
MOST_RANGES: Final = 8
PLAIN_WIDTH: Final = 140
KEPT: Final = {
    "valid": "yes",
    "invalid": "NO",
    "unknown": "unknown",
    "by contract": "no, as declared",
    "not applicable": "nothing to tell",
}
STYLES: Final = {
    "invalid": "bold red",
    "valid": "green",
    "unknown": "yellow",
    "by contract": "cyan",
    "not applicable": "dim",
    "not tried": "dim",
}


def show(result: Result, console: Console | None = None) -> None:
    """Print the report of one check."""
    console = console or plain_console()
    broken = [entry for entry in result.checks if entry.verdict == "invalid"]
    for entry in broken[:MOST_STORIES]:
        _show_violation(console, entry)
    _show_rest(console, broken[MOST_STORIES:], result.directory)
    _show_faults(console, result.faults)
    _show_kept(console, kept(result.checks, result.promises))
    _show_points(console, result.crash_points)
    for entry in result.checks:
        if entry.verdict == "by contract":
            console.print(Text(f"by contract: {entry.invariant}, {entry.fault}: {entry.reason}"))
    _show_verdict(console, result)


def plain_console() -> Console:
    """Return a console as wide as the terminal, or wide enough for the tables where there is none."""
    plain = Console(highlight=False, soft_wrap=True)
    return (
        plain if plain.is_terminal else Console(highlight=False, soft_wrap=True, width=PLAIN_WIDTH)
    )


def _show_violation(console: Console, entry: Entry) -> None:
    title = Text("\nBROKEN  ", style=STYLES["invalid"])
    title.append(f"{entry.invariant}", style="bold")
    title.append(f"  under {entry.fault}: {entry.reason}")
    console.print(title)
    for line in _violation_lines(entry):
        console.print(Text(f"  {line}"))


def _show_rest(console: Console, entries: Sequence[Entry], directory: str) -> None:
    if entries:
        console.print(Text(f"\nand {len(entries)} more violations, in {directory}/result.json:"))
    for entry in entries:
        console.print(Text(f"  {entry.invariant} under {entry.fault}; replay: {entry.replay}"))


def _violation_lines(entry: Entry) -> Iterator[str]:
    if entry.accepted:
        yield f"accepted: {entry.accepted}"
    yield f"seen in {entry.hits} of {entry.trials} trials" + (
        f"; the same trials also broke {', '.join(entry.also)}" if entry.also else ""
    )
    if entry.crash_points:
        more = (
            f" and {len(entry.crash_points) - MOST_RANGES} more"
            if len(entry.crash_points) > MOST_RANGES
            else ""
        )
        yield f"at {', '.join(entry.crash_points[:MOST_RANGES])}{more}"
    yield from (f"- {line}" for line in entry.evidence[:MOST_EVIDENCE])
    yield from (f"    {line}" for line in entry.story)
    if entry.replay:
        yield f"replay: {entry.replay}"


def _show_faults(console: Console, rows: tuple[FaultRow, ...]) -> None:
    table = Table(box=None, pad_edge=False, show_edge=False)
    for column in ("fault", "verdict", "trials", "what"):
        table.add_column(column, overflow="fold", justify="right" if column == "trials" else "left")
    for row in rows:
        what = f"{row.does}: {row.note}" if row.note else row.does
        table.add_row(
            Text(row.fault),
            Text(row.verdict, style=STYLES[row.verdict]),
            str(row.trials or ""),
            Text(what),
        )
    console.print()
    console.print(table)


def _show_kept(console: Console, lines: Sequence[Kept]) -> None:
    """Print what is claimed beside what is kept; what nobody claims and nothing broke is left out."""
    table = Table(box=None, pad_edge=False, show_edge=False)
    for column in ("promise", "claimed", "kept", "broken under"):
        table.add_column(column, overflow="fold")
    for line in lines:
        if line.claimed != "no":
            under = ", ".join(line.under[:MOST_RANGES])
            more = f" and {len(line.under) - MOST_RANGES} more" if line.under[MOST_RANGES:] else ""
            word = Text(KEPT[line.verdict], style=STYLES[line.verdict])
            table.add_row(line.invariant, line.claimed, word, under + more)
    console.print()
    console.print(table)


def _show_points(console: Console, points: CrashPoints) -> None:
    if not points.total:
        return
    counts = ", ".join(
        f"{getattr(points, ending)} {ending.replace('_', ' ')}" for ending in ENDINGS
    )
    console.print(
        Text(
            f"\ncrash points: {points.total} in {', '.join(points.own)}, {points.seconds:.1f} s: {counts}"
        )
    )


def _show_verdict(console: Console, result: Result) -> None:
    broken = sum(entry.verdict == "invalid" and not entry.accepted for entry in result.checks)
    accepted = sum(entry.accepted is not None for entry in result.checks)
    words = [f"{broken} broken promise{'s' if broken != 1 else ''}"]
    if accepted:
        words.append(f"{accepted} accepted")
    if unknown := [entry for entry in result.checks if entry.verdict == "unknown"]:
        words.append(f"{len(unknown)} unknown")
    text = Text("\n")
    text.append(result.verdict.upper(), style=STYLES[result.verdict])
    text.append(
        f"  {result.target}: {', '.join(words)}; {result.seconds:.0f} s; everything in {result.directory}"
    )
    console.print(text)
    for entry in unknown[:MOST_STORIES]:
        console.print(Text(f"  unknown: {entry.invariant} under {entry.fault}: {entry.reason}"))
