"""A load on a terminal: as it goes, and what came of it; what differs between an open and a closed loop, and why."""

from collections.abc import Iterator
from types import TracebackType
from typing import Any, Final, Self

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from poolproof.latency import Latencies
from poolproof.load.recovery import Curve
from poolproof.load.result import LoadPlan, LoadResult, Snapshot
from poolproof.report.terminal import plain_console

STYLES: Final = {"good": "bold green", "breached": "bold red", "void": "bold yellow"}
PLAIN_EVERY: Final = 20
"""Without a terminal, one of so many snapshots is a line: one in ten seconds."""
MOST_ERRORS: Final = 5


class View:
    """Shows a running load: in place on a terminal, else by a line now and then. A context manager."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True, highlight=False)
        self._live = (
            Live(console=self._console, transient=True) if self._console.is_terminal else None
        )
        self._shown = 0

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def show(self, now: Snapshot) -> None:
        """Show one snapshot."""
        if self._live is not None:
            self._live.update(_panel(now))
        elif self._shown % PLAIN_EVERY == PLAIN_EVERY - 1:
            line = "  " + ", ".join(f"{name} {value}" for name, value in _facts(now))
            self._console.print(Text(line), soft_wrap=True)
        self._shown += 1


def _facts(now: Snapshot) -> Iterator[tuple[str, str]]:
    yield "time", f"{now.seconds:.1f} s"
    yield "due", f"{now.due:,}"
    yield "answered", f"{now.answered:,} ({now.rate:,.0f}/s)"
    yield "failed", f"{now.failed:,}"
    yield "waiting", f"{now.waiting:,}"
    yield "p50", _ms(now.p50_ms)
    yield "p99", _ms(now.p99_ms)
    yield "max", _ms(now.max_ms)
    yield "workers", f"{now.live} live, {now.rss_mb:.0f} MB, {now.cpu_percent:.0f} % CPU at most"
    if now.struck:
        yield "fault", now.struck


def _panel(now: Snapshot) -> Table:
    table = Table.grid(padding=(0, 2))
    for name, value in _facts(now):
        table.add_row(Text(name, style="dim"), Text(value))
    return table


def _ms(value: float) -> str:
    return f"{value:,.2f} ms" if value < 1000 else f"{value / 1000:,.2f} s"  # noqa: PLR2004 - a second


def show(
    result: LoadResult, beside: LoadResult | None = None, console: Console | None = None
) -> None:
    """Print what came of a load, and if there is one of the closed loop beside it."""
    console = console or plain_console()
    console.print(_latencies(result, beside))
    for line in lines(result):
        console.print(Text(f"  {line}"))
    if beside is not None:
        console.print(Text("\n".join(f"  {line}" for line in difference(result, beside))))
    for judged in result.judged:
        word, style = ("kept  ", "green") if judged.kept else ("BROKEN", "bold red")
        console.print(Text(f"  {word}  ", style=style).append(str(judged), style="default"))
    for reason in result.reasons:
        console.print(Text("  VOID    ", style=STYLES["void"]).append(reason, style="default"))
    title = Text(f"\n{result.verdict.upper()}", style=STYLES[result.verdict])
    console.print(title.append(f"  {asked(result.plan)}", style="default"))


def asked(plan: LoadPlan) -> str:
    """Return what was asked of a pool, in one line."""
    mix = ", ".join(
        f"{one.name}{f':{one.argument:g}' if one.argument else ''} x{one.weight:g}"
        for one in plan.mix
    )
    how = (
        f"closed loop of {plan.clients} client{'s' * (plan.clients > 1)}"
        if plan.clients
        else f"open load, {plan.shape}, up to {plan.rate:g}/s, {plan.spacing}"
    )
    sessions = f", {plan.sessions} sessions" if plan.sessions else ""
    return f"{plan.target.name}: {how}, for {plan.seconds:g} s, {mix or 'its own jobs'}{sessions}"


def _latencies(result: LoadResult, beside: LoadResult | None) -> Table:
    table = Table(box=None, padding=(0, 2), show_edge=False)
    table.add_column("milliseconds")
    for name in ("mean", "p50", "p90", "p95", "p99", "p99.9", "p99.99", "max", "answers"):
        table.add_column(name, justify="right")
    first = (
        "from when it was due" if result.loop == "open" else "CLOSED LOOP, from when it was sent"
    )
    table.add_row(first, *_numbers(result.latency))
    if result.loop == "open":
        table.add_row("from when it was sent", *_numbers(result.service))
    if beside is not None:
        table.add_row("closed loop beside it", *_numbers(beside.latency))
    return table


def _numbers(found: Latencies) -> list[str]:
    values = (found.mean, found.p50, found.p90, found.p95, found.p99, found.p999, found.p9999)
    return [*(f"{value:,.2f}" for value in (*values, found.longest)), f"{found.count:,}"]


def lines(result: LoadResult) -> Iterator[str]:
    """Yield what is to be said of a load besides its latencies."""
    share = 100 * (result.failed + result.unanswered) / max(result.sent, 1)
    yield (
        f"{result.answered:,} of {result.planned:,} answered rightly, {result.failed:,} failed,"
        f" {result.unanswered:,} without an end ({share:.3g} % errors); {result.throughput:,.0f}/s"
    )
    for name, count in list(result.errors.items())[:MOST_ERRORS]:
        yield f"  {count:,} x {name}"
    if result.loop == "open":
        yield (
            f"the generator: {result.overhead_us:.1f} us an operation of its own; arrivals were sent"
            f" {result.lag_p99_ms:.2f} ms late at p99, {result.late:,} of them more than 10 ms and not by the pool"
        )
    if result.workers:
        yield (
            f"workers: {max(w.rss_mb for w in result.workers):.0f} MB resident at most,"
            f" {max(w.cpu_percent for w in result.workers):.0f} % of a core at most; {len(result.workers)} seen"
        )
    yield from map(told, result.curves)
    if result.aborted:
        yield f"ended after {result.seconds:.1f} s, because a bound was broken for certain"
    yield f"load of the machine: {result.load_before:.1f} before, {result.load_after:.1f} after"


def told(curve: Curve, over: str = "the heal") -> str:
    """Return what a fault did, in one line; `over` is what its end is called."""
    since = over if curve.heal_ms is not None else "the fault"
    back = (
        f"not back to normal within the run, counted from {since}"
        if curve.repaired_ms is None
        else f"back to normal {_ms(curve.repaired_ms)} after {since}"
        if curve.repaired_ms
        else f"normal from {since} on"
    )
    sign = (
        "nothing told of it"
        if curve.detected_ms is None
        else f"told after {_ms(curve.detected_ms)}"
    )
    dip = (
        f"{100 * curve.depth:.0f} % of the answers gone at worst, low for {_ms(curve.dip_ms)}"
        if curve.dip_ms
        else "no more answers gone than by chance"
    )
    return (
        f"{curve.fault} at {_ms(curve.at_ms)}: {sign}, {back};"
        f" {dip} (in slices of {_ms(curve.slice_ms)})"
    )


def difference(opened: LoadResult, closed: LoadResult) -> Iterator[str]:
    """Yield why a closed loop, under the same faults, shows other latencies than the open one."""
    bound = max(opened.latency.p50 * 10, 10.0)
    slow_open = sum(row.get("p50_ms", 0.0) > bound for row in opened.series)
    yield (
        f"p99 of the open load is {_ms(opened.latency.p99)}, that of {closed.plan.clients}"
        f" closed client(s) {_ms(closed.latency.p99)} (max {_ms(closed.latency.longest)})."
    )
    yield (
        "They differ because a closed client asks nothing while it waits: what would have been asked"
        " during a stall is never sent, so it is never measured (coordinated omission)."
    )
    during = _stalled(opened)
    if during:
        yield (
            f"While the pool stood, {during[0]:,} operations of the open load were due, and each waited for it;"
            f" of the closed loop at most {closed.plan.clients} waited, among {closed.answered:,} answers."
        )
    elif slow_open:
        yield f"In {slow_open} seconds of the open load, half of what was due took more than {_ms(bound)}."


def _stalled(result: LoadResult) -> list[Any]:
    spans = [(c.at_ms, c.heal_ms) for c in result.curves if c.heal_ms is not None]
    if not spans:
        return []
    due = sum(
        row["due"]
        * max(0.0, min(heal, 1000 * row["second"] + 1000) - max(at, 1000 * row["second"]))
        / 1000
        for row in result.series
        for at, heal in spans
    )
    return [round(due)]
