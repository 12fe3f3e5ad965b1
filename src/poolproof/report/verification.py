"""What was verified, on a terminal: one table of what must hold, then the tests that it does not hold for."""

from collections.abc import Sequence
from typing import Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from poolproof.isolation.runs.steps import MODES
from poolproof.isolation.verify import Finding, Gate, Row, Verification
from poolproof.report.terminal import STYLES, plain_console

MOST_OF_A_KIND: Final = 10


def show(found: Verification, console: Console | None = None) -> None:
    """Print the table, the findings of each kind, and the verdict."""
    console = console or plain_console()
    console.print(_runs(found.runs))
    console.print()
    console.print(_gates(found.gates))
    for kind in dict.fromkeys(finding.kind for finding in found.findings):
        _show_kind(console, kind, [f for f in found.findings if f.kind == kind])
    _show_verdict(console, found)


def _table(*columns: str, right: Sequence[str] = ()) -> Table:
    table = Table(box=None, pad_edge=False, show_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold", justify="right" if column in right else "left")
    return table


def _runs(rows: Sequence[Row]) -> Table:
    numbers = ("runs", "workers", "tests", "bad", "skipped", "seconds")
    table = _table("mode", *numbers, "how", right=numbers)
    for mode, how in MODES.items():
        mine = [row for row in rows if row.mode == mode]
        if mine:
            table.add_row(
                mode,
                str(len(mine)),
                str(mine[0].workers or 1),
                _span([row.tests for row in mine]),
                _span([row.bad for row in mine]),
                _span([row.skipped for row in mine]),
                f"{sum(row.seconds for row in mine) / len(mine):.1f}",
                how,
            )
    return table


def _span(numbers: Sequence[int]) -> str:
    low, high = min(numbers), max(numbers)
    return f"{low}" if low == high else f"{low}-{high}"


def _gates(gates: Sequence[Gate]) -> Table:
    table = _table("what must hold", "verdict", "bound", "measured")
    for gate in gates:
        verdict = Text(gate.verdict, style=STYLES[gate.verdict])
        table.add_row(gate.name, verdict, gate.bound, Text(gate.measured))
    return table


def _show_kind(console: Console, kind: str, findings: Sequence[Finding]) -> None:
    console.print(Text(f"\n{kind}: {len(findings)}", style="bold"))
    for finding in findings[:MOST_OF_A_KIND]:
        console.print(Text(f"  {finding.test or '(no test)'}: {finding.evidence}"))
        if finding.advice:
            console.print(Text(f"    {finding.advice}", style="dim"))
    if len(findings) > MOST_OF_A_KIND:
        console.print(Text(f"  and {len(findings) - MOST_OF_A_KIND} more, in --json"))


def _show_verdict(console: Console, found: Verification) -> None:
    text = Text("\n")
    text.append(found.verdict.upper(), style=STYLES[found.verdict])
    seconds = sum(row.seconds for row in found.runs)
    text.append(f"  {len(found.runs)} runs in {seconds:.0f} s")
    if found.waited_seconds:
        text.append(f"; tests waited {found.waited_seconds:.1f} s for each other's locks")
    if found.interrupted:
        text.append("; interrupted: this is what was known by then")
    console.print(text)
