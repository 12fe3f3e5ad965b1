"""A benchmark on a terminal: a table of measures, each with its middle and its spread."""

import statistics
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from poolproof.bench.result import BenchResult, Measure
from poolproof.bench.versus import Versus
from poolproof.comparison import Comparison
from poolproof.report import pictures
from poolproof.report.terminal import plain_console


def show(result: BenchResult, console: Console | None = None) -> None:
    """Print what a benchmark found."""
    console = console or plain_console()
    table = Table(box=None, padding=(0, 2), show_edge=False)
    for name in ("measure", "median", "least", "most", "samples"):
        table.add_column(name, justify="left" if name == "measure" else "right")
    for measure in result.measures:
        values = sorted(measure.samples)
        told = (shown(v, measure.unit) for v in (statistics.median(values), values[0], values[-1]))
        table.add_row(measure.name, *told, str(len(values)))
    console.print(table)
    for name, why in result.failures.items():
        console.print(Text(f"  {name}: {why}"))
    latency = result.latency
    console.print(
        Text(
            f"  latency at 1 in flight, all rounds: p50 {latency.p50:.3f}, p90 {latency.p90:.3f}, p99"
            f" {latency.p99:.3f}, p99.9 {latency.p999:.3f}, max {latency.longest:.3f} ms, of {latency.count:,}"
            " (closed loops: what a saturated pool does to its callers, `poolproof load` shows)"
        )
    )
    print_facts(result, console)


def print_facts(result: BenchResult, console: Console) -> None:
    """Print where it was measured."""
    facts = result.fingerprint
    console.print(
        Text(
            f"  {facts['cpu']}, {facts['cores']} cores, Python {facts['python']};"
            f" load of the machine {result.load_before:.1f} before, {result.load_after:.1f} after"
        )
    )


def shown(value: float, unit: str) -> str:
    """Return a value with its unit, in the size that suits it."""
    if unit == "/s":
        return f"{value:,.0f}/s"
    if unit == "s":
        return f"{value * 1e6:,.0f} us" if value < 1e-3 else f"{value * 1e3:,.2f} ms"  # noqa: PLR2004
    return f"{value:,.1f} {unit}"


def told(comparison: Comparison) -> str:
    """Return a comparison in one line."""
    return (
        f"{comparison.verdict}: {comparison.ratio:.3f} times as long"
        f" ({comparison.low:.3f} to {comparison.high:.3f}; {comparison.samples} samples)"
    )


def show_versus(found: Versus, console: Console | None = None) -> None:
    """Print which of two targets is faster."""
    console = console or plain_console()
    console.print(Text(f"  {found.new} against {found.old}, {found.operation}, by turns"))
    console.print(Text(f"{told(found.comparison)}", style="bold"))


def plot(result: BenchResult, path: Path) -> None:
    """Draw throughput by workers, by payload and by operations in flight, beside each other."""
    panels = {
        "operations in flight": points(result, "throughput, ", " in flight"),
        "workers, 64 in flight": points(result, "throughput, 64 in flight, ", " workers"),
        "bytes of payload, 8 in flight": points(result, "throughput, 8 in flight, ", " B"),
    }
    drawn = {name: found for name, found in panels.items() if found}
    pictures.scaling(drawn, path, up="operations / s")


def points(result: BenchResult, before: str, after: str) -> list[tuple[float, float]]:
    """Return (parameter, median) of the measures whose name has a number between these words."""
    found = ((_number(one, before, after), one) for one in result.measures)
    return sorted((n, statistics.median(one.samples)) for n, one in found if n is not None)


def _number(measure: Measure, before: str, after: str) -> float | None:
    if not (measure.name.startswith(before) and measure.name.endswith(after)):
        return None
    inside = measure.name[len(before) : len(measure.name) - len(after)]
    return float(inside) if inside.isdigit() else None
