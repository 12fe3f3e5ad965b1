"""Whole stacks against their peers, in turns; what counts is the median of the rounds' ratios.

The peers: `uv sync --group peers`. The targets hold on an idle machine; the load is printed with each figure.
"""

# ruff: noqa: T201 -- the figures are what these tests are for

import os
import statistics
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.perf.stack.measured import (
    PEERS,
    mapped,
    monitor_costs,
    pykka_asks,
    replacements,
    stack,
)
from tests.perf.transport.echo import executor_replacements

pytestmark = [
    pytest.mark.perf,
    pytest.mark.slow,
    pytest.mark.timeout(600),
    # multiprocessing.Pool forks beside its own threads.
    pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning"),
]

ROUNDS = int(os.environ.get("POOLPROOF_PERF_ROUNDS", "5"))
SMALL = b"x" * 100
LARGE = b"x" * 102_400


def compared(name: str, once: Callable[[], tuple[float, float]], least: float) -> None:
    """Measure both in turns, and hold the median of the ratios to its bound."""
    pairs = [once() for _ in range(ROUNDS)]
    ratio = statistics.median(ours / peer for ours, peer in pairs)
    ours, peer = (statistics.median(side) for side in zip(*pairs, strict=True))
    print(
        f"\n{name}: {ours:,.0f}/s, best peer {peer:,.0f}/s, ratio {ratio:.2f} (at least {least:g}), "
        f"load {os.getloadavg()[0]:.1f}"
    )

    assert ratio >= least


@pytest.mark.parametrize(
    ("workers", "in_flight", "least"), [(2, 64, 10.0), (2, 256, 10.0), (8, 64, 4.0), (8, 256, 8.0)]
)
def test_full_layer_jobs_a_second(
    workers: int, in_flight: int, least: float, tmp_path: Path
) -> None:
    """With history and monitor on."""
    round_ = iter(range(1_000))

    def once() -> tuple[float, float]:
        history = tmp_path / f"history-{next(round_)}"
        ours = stack(
            "full", SMALL, in_flight, 40_000, workers=workers, history=history, monitored=True
        )
        return ours, max(peer(SMALL, in_flight, 4_000) for peer in PEERS.values())

    compared(f"full, {workers} workers, {in_flight} in flight", once, least)


def test_full_layer_one_at_a_time() -> None:
    def once() -> tuple[float, float]:
        ours = stack("full", SMALL, 1, 2_000)
        return ours, max(peer(SMALL, 1, 1_000) for peer in PEERS.values())

    compared("full, one in flight", once, 1.25)


def test_full_layer_large_payloads() -> None:
    def once() -> tuple[float, float]:
        ours = stack("full", LARGE, 8, 2_000)
        return ours, max(peer(LARGE, 8, 1_000) for peer in PEERS.values())

    compared("full, 100 KiB, 8 in flight", once, 1.5)


def test_map_in_bulk() -> None:
    compared("full, map", lambda: mapped(80_000), 1.5)


@pytest.mark.parametrize(("layer", "least"), [("mock", 3.0), ("bridge_mock", 2.0)])
def test_layers_in_this_process(layer: str, least: float) -> None:
    pytest.importorskip("pykka")

    def once() -> tuple[float, float]:
        return stack(layer, b"x", 64, 40_000, workers=1), pykka_asks(64, 20_000)  # type: ignore[arg-type]

    compared(f"{layer}, 64 in flight", once, least)


def test_death_to_replacement() -> None:
    """Through the whole pool, without a spare."""
    ours, peer = [], []
    for _ in range(ROUNDS):
        ours += replacements(5)
        peer += executor_replacements(5)
    mine, theirs = statistics.median(ours) * 1000, statistics.median(peer) * 1000
    print(f"\ndeath to replacement: {mine:.2f} ms, executor rebuilt by hand {theirs:.2f} ms")

    assert mine <= theirs
    assert mine <= 5.0


def test_the_monitor_costs_little() -> None:
    """In processor time, which a busy machine disturbs less."""
    ratios = [monitor_costs("full", 64, 20_000, 3) for _ in range(ROUNDS)]
    ratio = statistics.median(ratios)
    print(f"\nwith a monitor / without: {ratio:.4f} (at most 1.03)")

    assert ratio <= 1.03
