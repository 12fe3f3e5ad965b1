"""Kill random workers of the full layer under load, thousands of times, and account for every job.

Usage: python -m scripts.kill_workers [KILLS [SEED]]
"""

import asyncio
import gc
import os
import resource
import signal
import sys
import time
from collections import Counter
from copy import copy
from pathlib import Path
from random import Random

from poolproof.errors import PoolError
from poolproof.stack import Stack, build_test_env, start_stack
from poolproof.stack.proof import descendants
from poolproof.watch import procfs

CALLERS = 32
SAMPLES = 10


async def caller(stack: Stack, number: int, outcomes: Counter[str], stop: asyncio.Event) -> None:
    """Submit one job after the other, and count how each ends; a wrong answer ends the run."""
    turn = 0
    while not stop.is_set():
        turn += 1
        try:
            answer = await stack.submit([number, turn])
        except PoolError as error:
            happened = "may have happened" if error.may_have_happened else "did not happen"
            outcomes[f"{type(error).__name__}, {happened}"] += 1
        else:
            assert answer == [number, turn], f"expected {[number, turn]}, got {answer}"
            outcomes["answered"] += 1


async def killer(stack: Stack, kills: int, rng: Random) -> list[int]:
    """Kill one random worker after the other, each while the pool serves; return samples of our memory."""
    memory: list[int] = []
    killed: set[tuple[int, int]] = set()
    for kill in range(kills):
        while not struck(stack, rng, killed):  # noqa: ASYNC110 - the pool has no event for it
            await asyncio.sleep(0.001)
        await asyncio.sleep(rng.random() * 0.004)
        if kill % max(1, kills // SAMPLES) == 0:
            gc.collect()
            memory.append(procfs.rss_bytes(os.getpid()) or 0)
    return memory


def struck(stack: Stack, rng: Random, killed: set[tuple[int, int]]) -> bool:
    """Kill a random worker that was not killed before; False if there is none."""
    living = [slot for slot in stack.pool.slots() if (slot.number, slot.worker.epoch) not in killed]
    if not living:
        return False
    slot = rng.choice(living)
    killed.add((slot.number, slot.worker.epoch))
    assert slot.link.pid is not None
    os.kill(slot.link.pid, signal.SIGKILL)
    return True


def descriptors() -> int:
    """Return how many descriptors this process has open."""
    return len(list(Path("/proc/self/fd").iterdir()))


async def campaign(kills: int, seed: int) -> None:
    """Run it, and print the figures; an unmet claim is an AssertionError."""
    before, open_before = descendants(), descriptors()
    outcomes: Counter[str] = Counter()
    stop = asyncio.Event()
    env = build_test_env(copy, layer="full", test="kills", pool={"size": 8, "overflow": 0})
    began = time.monotonic()
    async with await start_stack(env) as stack:
        callers = [
            asyncio.create_task(caller(stack, number, outcomes, stop)) for number in range(CALLERS)
        ]
        memory = await killer(stack, kills, Random(seed))  # noqa: S311 - chance, not secrecy
        stop.set()
        # Every caller ends: no job is left without an outcome.
        await asyncio.wait_for(asyncio.gather(*callers), 60)
        restarts = stack.pool.restarts
    took = time.monotonic() - began
    print(f"seed {seed}: {kills} kills in {took:.0f} s, {restarts} restarts; jobs by outcome:")
    for outcome, count in outcomes.most_common():
        print(f"  {count:9}  {outcome}")
    print("own memory, MiB:", *(f"{sample / 2**20:.1f}" for sample in memory))
    print("largest:", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024, "MiB")
    left = descendants() - before
    assert not left, f"expected no process left, got {sorted(left)}"
    assert descriptors() <= open_before + 2, (
        f"expected {open_before}, got {descriptors()} descriptors"
    )
    half = len(memory) // 2
    grown = memory[-1] - memory[half]
    assert grown < 8 * 2**20, f"expected flat memory, got {grown / 2**20:.1f} MiB more"
    print(f"left: no process, {descriptors()} descriptors (before {open_before}); memory flat")


if __name__ == "__main__":
    asked, chosen, *_ = (*map(int, sys.argv[1:]), *(10_000, 1)[len(sys.argv) - 1 :])
    asyncio.run(campaign(asked, chosen))
