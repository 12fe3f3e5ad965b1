"""Plays of a scenario on a terminal: criteria, receipts, the curve of recovery; and several plays in one table."""

import statistics
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from poolproof.load.recovery import Curve
from poolproof.ranks import percentile
from poolproof.report.load import told
from poolproof.report.terminal import plain_console
from poolproof.scenarios.playing import Report

WIDEST: Final = 60
_MARKS: Final = {"valid": ("ok", "green"), "invalid": ("BROKEN", "bold red")}
_VERDICTS: Final = {"valid": "bold green", "invalid": "bold red"}
FIGURES: Final = ("detected", "repaired", "dip")
"""Of a curve, those that are times."""


def show(report: Report, console: Console | None = None) -> None:
    """Print what came of one play."""
    console = console or plain_console()
    for one in report.judgements:
        mark, style = _MARKS.get(one.verdict, (one.verdict, "yellow"))
        text = f"{one.invariant}: expected {one.wanted}, got {one.got}"
        console.print(Text(f"  {mark:<15}", style=style).append(text, style="default"))
    for deed, receipts in report.receipts.items():
        console.print(
            Text(f"  {'receipt':<15}{deed}: {receipts[-1] if receipts else 'none'}"),
        )
    if report.curve is not None:
        for name, line in zip(
            ("curve", "goodput", ""), _curve(report.curve, report.goodput), strict=True
        ):
            console.print(Text(f"  {name:<15}{line}"))
    if report.trace:
        console.print(Text(f"  {'trace':<15}{report.trace}"))
    what = f"{report.scenario} on {report.where}, seed {report.seed}"
    title = Text(report.verdict.upper(), style=_VERDICTS.get(report.verdict, "bold yellow"))
    console.print(
        title.append(f"  {what}: {report.jobs} jobs, {report.seconds:g} s", style="default")
    )


def _curve(curve: Curve, goodput: Sequence[int]) -> Iterator[str]:
    yield told(curve, "the last of it")
    merged = -(-len(goodput) // WIDEST) or 1
    wide_ms = merged * curve.slice_ms
    slices = [sum(goodput[n : n + merged]) for n in range(0, len(goodput), merged)]
    before = [n for at, n in enumerate(slices) if (at + 1) * wide_ms <= curve.at_ms]
    usual = statistics.median(before or slices or [0])
    yield (
        f"{''.join(_tenths(n, usual) for n in slices)}"
        f"  in tenths of the {usual:g} right answers that are usual in {_seconds(wide_ms)}"
    )
    over = curve.at_ms if curve.heal_ms is None else curve.heal_ms
    first, last = (min(int(ms / wide_ms), WIDEST) for ms in (curve.at_ms, over))
    yield f"{' ' * first}{'^' * (last - first + 1)}  here it was harmed"


def _tenths(answers: int, usual: float) -> str:
    return str(min(9, int(10 * answers / usual))) if usual else "-"


def _seconds(ms: float) -> str:
    return f"{ms:.3g} ms" if ms < 1000 else f"{ms / 1000:.3g} s"  # noqa: PLR2004 - a second


def show_all(reports: Sequence[Report], console: Console | None = None) -> None:
    """Print how the curves of several plays are spread."""
    console = console or plain_console()
    curves = [report.curve for report in reports if report.curve is not None]
    table = Table(box=None, padding=(0, 2), show_edge=False)
    for name in (f"{len(curves)} curves", "least", "median", "p90", "most", "never"):
        table.add_column(name, justify="left" if "curves" in name else "right")
    for figure in FIGURES:
        found = [getattr(curve, f"{figure}_ms") for curve in curves]
        times: list[float] = sorted(value for value in found if value is not None)
        table.add_row(figure, *_spread(times, _seconds), str(found.count(None)))
    depths = sorted(100 * curve.depth for curve in curves)
    table.add_row("depth", *_spread(depths, "{:.0f} %".format), "0")
    console.print(table)


def _spread(ordered: Sequence[float], shown: Callable[[float], str]) -> Iterator[str]:
    for percent in (0, 50, 90, 100):
        yield shown(percentile(ordered, percent)) if ordered else "-"


def line(report: Report, done: int, of: int, seconds: float) -> str:
    """Return one of several plays in a line, with how long the rest will take."""
    broken = f": {'; '.join(report.broken)}" if report.broken else ""
    left = f"; about {seconds / done * (of - done):.0f} s left" if done < of else ""
    return f"  seed {report.seed}: {report.verdict}{broken}   ({done} of {of}{left})"
