"""What two runs differ in, on a terminal: what got worse first, then what got better, a line each."""

from typing import Final

from rich.console import Console
from rich.text import Text

from poolproof.chaos.difference import Change, Difference
from poolproof.report.terminal import plain_console

MOST_OF_A_KIND: Final = 30
_STYLES: Final = {"worse": "bold red", "better": "green", "changed": "yellow"}
_KINDS: Final = ("verdict", "violations", "faults", "points")
_TITLES: Final = {
    "verdict": "the whole",
    "violations": "broken promises",
    "faults": "faults",
    "points": "crash points",
}


def show(found: Difference, nothing: str, console: Console | None = None) -> None:
    """Print the differences; where there are none, the words `nothing`."""
    console = console or plain_console()
    for note in found.notes:
        console.print(Text(f"note: {note}"))
    for kind in _KINDS:
        changes: tuple[Change, ...] = getattr(found, kind)
        if changes:
            _show_kind(console, _TITLES[kind], changes)
    if not found.changes:
        console.print(Text(nothing))


def _show_kind(console: Console, title: str, changes: tuple[Change, ...]) -> None:
    console.print(Text(f"{title}: {len(changes)}", style="bold"))
    order = list(_STYLES)
    for change in sorted(changes, key=lambda change: order.index(change.way))[:MOST_OF_A_KIND]:
        line = Text(f"  {change.way:<8}", style=_STYLES[change.way])
        line.append(f"{change.about}: {change.before} -> {change.after}", style="default")
        console.print(line)
    if len(changes) > MOST_OF_A_KIND:
        console.print(Text(f"  and {len(changes) - MOST_OF_A_KIND} more, in --json"))
