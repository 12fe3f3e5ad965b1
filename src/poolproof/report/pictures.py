"""Pictures of what was measured, by matplotlib where it is installed (`poolproof[perf]`)."""

import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from poolproof.load.result import LoadResult

if TYPE_CHECKING:
    from poolproof.scenarios import Report

INK: Final = "#1f2933"
BLUE: Final = "#1f5fa8"
ORANGE: Final = "#c2570c"
GREY: Final = "#7b8794"
_WIDE: Final = (9.0, 8.2)
_FLAT: Final = (7.0, 4.0)


def available() -> bool:
    """Tell whether pictures can be made."""
    return importlib.util.find_spec("matplotlib") is not None


def _axes(
    rows: int, size: tuple[float, float], *, columns: int = 1, **more: Any
) -> tuple[Any, list[Any]]:
    import matplotlib as mpl  # noqa: PLC0415 - half a second, for who wants a picture

    mpl.use("agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415

    figure, axes = plt.subplots(
        rows, columns, figsize=size, squeeze=False, layout="constrained", **more
    )
    found: list[Any] = list(axes.flat)
    for axis in found:
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(visible=True, color="#e4e7eb", linewidth=0.8)
        axis.set_axisbelow(True)
        axis.tick_params(colors=INK)
    return figure, found


def _save(figure: Any, path: Path) -> None:
    from matplotlib import pyplot as plt  # noqa: PLC0415

    figure.savefig(path, dpi=110, metadata={"Software": None})
    plt.close(figure)


def load(result: LoadResult, path: Path) -> None:
    """Draw a load over time: due and answered, latency, what waited, what workers used; with bands for faults."""
    figure, (rate, latency, waiting, used) = _axes(4, _WIDE, sharex=True)
    rows = [row for row in result.series if row["second"] < result.plan.seconds]
    _steps(rate, rows, "due", GREY)
    _steps(rate, rows, "answered", BLUE, "ended")
    rate.set(ylabel="operations / s", ylim=(0, None))
    for key, label, color, style in (
        ("p50_ms", "p50", BLUE, "-"),
        ("p99_ms", "p99", ORANGE, "--"),
        ("max_ms", "max", GREY, ":"),
    ):
        told = [(row["second"], row[key]) for row in rows if key in row]
        latency.plot(*zip(*told, strict=True), color=color, linestyle=style, label=label)
    latency.set(ylabel="latency, ms", yscale="log")
    _steps(waiting, rows, "waiting", INK)
    waiting.set(ylabel="operations waiting", ylim=(0, None))
    _draw_workers(waiting.twinx(), rows)
    _draw_used(used, used.twinx(), rows)
    used.set_xlabel("seconds")
    for axis in (rate, latency, waiting, used):
        for curve in result.curves:
            end = curve.at_ms if curve.heal_ms is None else curve.heal_ms
            axis.axvspan(curve.at_ms / 1e3, end / 1e3, color=ORANGE, alpha=0.25, linewidth=1.0)
    for axis in (rate, latency):
        axis.legend(loc="lower right", bbox_to_anchor=(1.0, 0.98), frameon=False, ncols=3)
    figure.suptitle(f"{result.plan.target.name}: {result.verdict}", color=INK)
    _save(figure, path)


def recovery(report: "Report", path: Path) -> None:
    """Draw the goodput of a play of a scenario, with a band for as long as it was harmed."""
    figure, (axis,) = _axes(1, _FLAT)
    curve = report.curve
    if curve is not None:
        wide = curve.slice_ms / 1e3
        rates = [answers / wide for answers in report.goodput]
        axis.stairs(rates, [n * wide for n in range(len(rates) + 1)], color=BLUE, linewidth=1.5)
        end = curve.at_ms if curve.heal_ms is None else curve.heal_ms
        axis.axvspan(curve.at_ms / 1e3, end / 1e3, color=ORANGE, alpha=0.25, linewidth=1.0)
    axis.set(xlabel="seconds", ylabel="right answers / s", ylim=(0, None))
    figure.suptitle(
        f"{report.scenario} on {report.where}, seed {report.seed}: {report.verdict}", color=INK
    )
    _save(figure, path)


def _steps(
    axis: Any, rows: Sequence[Mapping[str, float]], key: str, color: str, label: str = ""
) -> None:
    seconds = [row["second"] for row in rows]
    axis.step(seconds, [row[key] for row in rows], where="post", color=color, label=label or key)


def _draw_workers(axis: Any, rows: Sequence[Mapping[str, float]]) -> None:
    live = [(row["second"], row["live"]) for row in rows if "live" in row]
    if live:
        axis.step(*zip(*live, strict=True), where="post", color=BLUE, linestyle="--")
        axis.set_ylim(0, max(n for _, n in live) + 1)
    axis.set_ylabel("live workers", color=BLUE)


def _draw_used(cpu: Any, memory: Any, rows: Sequence[Mapping[str, Any]]) -> None:
    """Draw each worker's share of a core, and the most memory that one has."""
    each: dict[int, list[tuple[float, float]]] = {}
    for row in rows:
        for use in row.get("workers", ()):
            each.setdefault(use["pid"], []).append((row["second"], use["cpu_percent"]))
    for shares in each.values():
        cpu.plot(*zip(*shares, strict=True), color=INK, linewidth=0.8)
    most = [
        (row["second"], max(u["rss_mb"] for u in row["workers"]))
        for row in rows
        if "workers" in row
    ]
    if most:
        memory.plot(*zip(*most, strict=True), color=BLUE, linestyle="--")
        memory.set_ylim(0, 1.2 * max(mb for _, mb in most))
    cpu.set(ylabel="workers: % of a core", ylim=(0, None))
    memory.set_ylabel("most MB", color=BLUE)


def scaling(panels: Mapping[str, Sequence[tuple[float, float]]], path: Path, *, up: str) -> None:
    """Draw one panel for each parameter, named below it, all on one scale."""
    figure, axes = _axes(1, (3.2 * len(panels), 3.4), columns=len(panels), sharey=True)
    for axis, (across, points) in zip(axes, panels.items(), strict=True):
        axis.plot(*zip(*points, strict=True), "o-", color=BLUE)
        axis.set_xscale("log", base=2)
        axis.set_ylim(bottom=0, top=1.1 * max(y for shown in panels.values() for _, y in shown))
        axis.set_xticks([x for x, _ in points], [f"{x:g}" for x, _ in points])
        axis.minorticks_off()
        axis.set_xlabel(across)
    axes[0].set_ylabel(up)
    _save(figure, path)


def intervals(rows: Sequence[tuple[str, float, float, float]], path: Path, *, across: str) -> None:
    """Draw a point with its interval for each name; one is no change."""
    figure, (axis,) = _axes(1, (_FLAT[0], 1.2 + 0.4 * len(rows)))
    for place, (_, low, middle, high) in enumerate(reversed(rows)):
        axis.plot([low, high], [place, place], color=BLUE, linewidth=2)
        axis.plot([middle], [place], "o", color=INK)
    axis.axvline(1.0, color=GREY, linestyle="--")
    axis.set_yticks(range(len(rows)), [row[0] for row in reversed(rows)])
    axis.set_xlabel(across)
    _save(figure, path)
