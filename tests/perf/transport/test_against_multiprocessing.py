"""The transport alone against `multiprocessing.Pool`, and its replacements against `ProcessPoolExecutor`'s.

Each round measures all of them one after another; what counts is the median of the rounds' ratios.
"""

# ruff: noqa: T201 -- the figures are what these tests are for

import asyncio
import os
import statistics

import pytest

from tests.perf.transport.echo import (
    apply_async,
    executor_replacements,
    imap_unordered,
    replacements,
    transport,
)

pytestmark = [
    pytest.mark.perf,
    pytest.mark.slow,
    pytest.mark.timeout(600),
    # multiprocessing.Pool forks beside its own threads.
    pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning"),
]

ROUNDS = 5
SMALL = b"x" * 100
LARGE = b"x" * 102_400


@pytest.mark.parametrize(
    ("payload", "in_flight", "window", "jobs", "least"),
    [
        (SMALL, 64, 64, 40_000, 10.0),
        (SMALL, 256, 256, 80_000, 10.0),
        # Of large payloads a pool gives each worker one at a time: its window is bounded by bytes.
        (LARGE, 8, 2, 3_000, 1.5),
    ],
)
def test_jobs_a_second(
    payload: bytes, in_flight: int, window: int, jobs: int, least: float
) -> None:
    ratios = []
    for _ in range(ROUNDS):
        ours = transport(payload, window, jobs)
        few = jobs if payload is LARGE else jobs // 10
        peers = [peer(payload, in_flight, few) for peer in (apply_async, imap_unordered)]
        ratios.append(ours / max(peers))
        print(
            f"\n{in_flight} in flight: {ours:,.0f}/s, peers {peers[0]:,.0f} {peers[1]:,.0f}", end=""
        )
    ratio = statistics.median(ratios)
    print(f"; ratio {ratio:.1f} (at least {least:g}), load {os.getloadavg()[0]:.1f}")

    assert ratio >= least


def test_one_job_at_a_time() -> None:
    ratios = []
    for _ in range(ROUNDS):
        ours = transport(SMALL, 1, 2_000)
        peer = max(apply_async(SMALL, 1, 1_000), imap_unordered(SMALL, 1, 1_000))
        ratios.append(peer / ours)
        print(f"\n1 in flight: {1e6 / ours:.0f} us, best peer {1e6 / peer:.0f} us", end="")
    ratio = statistics.median(ratios)
    print(f"; ratio {ratio:.2f} (at most 0.8), load {os.getloadavg()[0]:.1f}")

    assert ratio <= 0.8


@pytest.mark.parametrize(("spares", "most_ms"), [(0, 5.0), (1, 3.0)])
def test_death_to_replacement(spares: int, most_ms: float) -> None:
    ours, peers = [], []
    for _ in range(ROUNDS):
        ours += asyncio.run(replacements(spares, 12))
        peers += executor_replacements(12)
    mine, peer = (statistics.median(some) * 1e3 for some in (ours, peers))
    best = sorted(ours)[len(ours) // 10] * 1e3
    print(
        f"\n{spares} spares: {mine:.2f} ms (at most {most_ms:g}), first decile {best:.2f}", end=""
    )
    print(f"; ProcessPoolExecutor by hand {peer:.2f} ms, load {os.getloadavg()[0]:.1f}")

    assert mine < peer
    assert mine <= most_ms
