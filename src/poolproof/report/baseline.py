"""What was kept, compared with, and searched, on a terminal."""

from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from poolproof import fingerprint
from poolproof.baseline import Baseline, Change, worst
from poolproof.bench.result import BenchResult
from poolproof.change_points import LEAST, ChangePoints
from poolproof.report.terminal import plain_console

STYLES = {"slower": "bold red", "faster": "green", "same": "", "inconclusive": "yellow"}


def show(
    old: Baseline, new: BenchResult, changes: Sequence[Change], console: Console | None = None
) -> None:
    """Print what became of each measure, and in what else the two differ."""
    console = console or plain_console()
    table = Table(box=None, padding=(0, 2), show_edge=False)
    for name in ("measure", "verdict", "ratio", "interval", "samples", "machine"):
        table.add_column(name, justify="left" if name in ("measure", "verdict") else "right")
    for change in changes:
        found = change.comparison
        table.add_row(
            change.measure,
            Text(found.verdict, style=STYLES[found.verdict]),
            f"{found.ratio:.3f}",
            f"{found.low:.3f} to {found.high:.3f}",
            str(found.samples),
            f"{change.machine:.3f}",
        )
    console.print(table)
    for change in changes:
        if change.note:
            console.print(Text(f"  {change.measure}: {change.note}"))
    for differs in fingerprint.differences(
        old.result.fingerprint, new.fingerprint, fingerprint.TOLD
    ):
        console.print(Text(f"  then and now: {differs}"))
    title = Text(f"\n{worst(changes).upper()}", style=STYLES[worst(changes)])
    unsure = sum(change.comparison.verdict == "inconclusive" for change in changes)
    rest = f"; {unsure} of {len(changes)} measures are inconclusive" if unsure else ""
    console.print(title.append(f"  against {old.name}, of {old.saved_at}{rest}", style="default"))


def show_kept(kept: Sequence[Baseline], console: Console | None = None) -> None:
    """Print which baselines there are."""
    console = console or plain_console()
    table = Table(box=None, padding=(0, 2), show_edge=False)
    for name in ("baseline", "saved", "target", "measures", "Python", "machine", "load"):
        table.add_column(name)
    for one in kept:
        facts = one.result.fingerprint
        table.add_row(
            one.name,
            one.saved_at,
            one.result.target,
            str(len(one.result.measures)),
            str(facts.get("python", "-")),
            f"{facts['cpu']}, {facts['cores']} cores" if "cpu" in facts else "any: virtual time",
            f"{one.result.load_before:.1f}",
        )
    console.print(table)


def change_points(found: ChangePoints) -> Iterator[str]:
    """Yield where measures changed, a line each."""
    yield f"{found.baselines} baselines, {found.measures} measures that {LEAST} of them or more have"
    if found.elsewhere:
        yield (
            f"left out: {found.elsewhere} of another kind of machine; --calibrated looks at multiples"
            " of the calibration instead"
        )
    for one in found.found:
        word = "slower" if one.ratio > 1 else "faster"
        yield f"  {word}, {one.ratio:.3f} times, since {one.since} of {one.saved_at}  {one.measure}"
    if found.measures and not found.found:
        yield "no change point"
