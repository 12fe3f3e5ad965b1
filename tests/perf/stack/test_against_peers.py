"""Whole stacks against their peers, in turns; what counts is the median of the rounds' ratios.

The peers: `uv sync --group peers`. The load is printed with each figure, since only an idle machine can
meet a target. Where a target has not been met, its test holds what has been: below that it fails, and
between that and the target it is an expected failure, not a pass; docs/stack.md has the table, and why.
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


def compared(
    name: str, once: Callable[[], tuple[float, float]], target: float, held: float | None = None
) -> None:
    """Measure both in turns; the median of the ratios fails below what is held, and is no pass below the target."""
    pairs = [once() for _ in range(ROUNDS)]
    ratio = statistics.median(ours / peer for ours, peer in pairs)
    ours, peer = (statistics.median(side) for side in zip(*pairs, strict=True))
    print(
        f"\n{name}: {ours:,.0f}/s, best peer {peer:,.0f}/s, ratio {ratio:.2f} (target {target:g}, "
        f"held {target if held is None else held:g}), load {os.getloadavg()[0]:.1f}"
    )

    assert ratio >= (target if held is None else held)
    if ratio < target:
        pytest.xfail(f"target not met: {ratio:.2f} of {target:g}")


@pytest.mark.parametrize(
    ("workers", "in_flight", "target", "held"),
    [(2, 64, 10.0, 4.0), (2, 256, 10.0, 4.0), (8, 64, 4.0, None), (8, 256, 8.0, None)],
)
def test_full_layer_jobs_a_second(
    workers: int, in_flight: int, target: float, held: float | None, tmp_path: Path
) -> None:
    """With history and monitor on. Seen: 5.3 to 7.6 with 2 workers, 3.2 and 5.5 with 8 (load 0.6 to 1.6).

    The transport alone keeps the target at 256 (test_against_multiprocessing); what is between is
    processor time of the pool's process, 7 to 12 us a job at 64 in flight (load 19).
    """
    round_ = iter(range(1_000))

    def once() -> tuple[float, float]:
        history = tmp_path / f"history-{next(round_)}"
        ours = stack(
            "full", SMALL, in_flight, 40_000, workers=workers, history=history, monitored=True
        )
        return ours, max(peer(SMALL, in_flight, 4_000) for peer in PEERS.values())

    compared(f"full, {workers} workers, {in_flight} in flight", once, target, held)


def test_full_layer_one_at_a_time() -> None:
    """Seen: 1.35 (load 1.7), and 0.79 to 0.94 on a crowded machine (load 8): three wake-ups a job, of which
    asyncio's loop is one that a peer's blocking read does without."""

    def once() -> tuple[float, float]:
        ours = stack("full", SMALL, 1, 2_000)
        return ours, max(peer(SMALL, 1, 1_000) for peer in PEERS.values())

    compared("full, one in flight", once, 1.25)


def test_full_layer_large_payloads() -> None:
    """Seen: 4.0 (load 1.9)."""

    def once() -> tuple[float, float]:
        ours = stack("full", LARGE, 8, 2_000)
        return ours, max(peer(LARGE, 8, 1_000) for peer in PEERS.values())

    compared("full, 100 KiB, 8 in flight", once, 1.5)


def test_map_in_bulk() -> None:
    """Seen: 1.69 (load 0.6), in lists that begin as long as the last ones ended; 0.99 when each call began with one
    request, and 0.02 one by one.
    """
    compared("full, map", lambda: mapped(80_000), 1.5)


@pytest.mark.parametrize(
    ("layer", "target", "held"), [("mock", 3.0, 2.5), ("bridge_mock", 2.0, 2.0)]
)
def test_layers_in_this_process(layer: str, target: float, held: float) -> None:
    """Seen: mock 2.92, bridge_mock 2.27 (load 1.9); 1.9 to 2.4 and 1.9 at load 8.

    A job costs 4.5 to 6.5 us (load 19); of that an actor on asyncio alone takes 1.6 to 2.5 us.
    """
    pytest.importorskip("pykka")

    def once() -> tuple[float, float]:
        return stack(layer, b"x", 64, 40_000, workers=1), pykka_asks(64, 20_000)  # type: ignore[arg-type]

    compared(f"{layer}, 64 in flight", once, target, held)


@pytest.mark.parametrize(("spares", "target_ms", "held_ms"), [(0, 5.0, 5.0), (1, 3.0, 3.5)])
def test_death_to_replacement(spares: int, target_ms: float, held_ms: float) -> None:
    """Through the whole pool. Seen: 3.4 and 4.4 ms without a spare, 3.3 with one, where the peer took 4.5 to 6.1;
    5.0 and 4.3 ms on a slower day of the machine, when the peer took 13.3.

    Until the end of the dead worker's connection is seen, 2 ms are over: the kernel takes its memory
    down first. With a spare, through the transport alone, it is 2.2 to 3.1 ms.
    """
    ours, peer = [], []
    for _ in range(ROUNDS):
        ours += replacements(5, spares=spares)
        peer += executor_replacements(5)
    mine, theirs = statistics.median(ours) * 1000, statistics.median(peer) * 1000
    print(
        f"\ndeath to replacement, {spares} spares: {mine:.2f} ms (target {target_ms:g}, held {held_ms:g}), "
        f"executor rebuilt by hand {theirs:.2f} ms, load {os.getloadavg()[0]:.1f}"
    )

    assert mine <= theirs
    assert mine <= held_ms
    if mine > target_ms:
        pytest.xfail(f"target not met: {mine:.2f} ms, not {target_ms:g}")


def test_the_monitor_costs_little() -> None:
    """In processor time, which a busy machine disturbs less. Seen: 0.966, 0.979, 1.037 (load 8).

    Undecided: one sample's noise is as large as the bound, so the median of the rounds is held to it.
    """
    ratios = [monitor_costs("full", 64, 20_000, 3) for _ in range(ROUNDS)]
    ratio = statistics.median(ratios)
    print(f"\nwith a monitor / without: {ratio:.4f} (at most 1.03)")

    assert ratio <= 1.03
