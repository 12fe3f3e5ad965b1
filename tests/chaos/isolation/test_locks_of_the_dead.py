"""Holders of a lock that are killed at any moment: nobody ever meets anybody, and the others go on."""

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(120)]

TAKERS = 4
KILLS = 15

# Says who is inside, looks who else is, and accuses only who lives: one that is being killed lets go a moment before.
TAKER = """
import os, random, sys, time
from pathlib import Path
from poolproof.isolation import locks
from poolproof.watch import procfs
{broken}
place, rng = Path(sys.argv[1]), random.Random(int(sys.argv[2]))
me = procfs.identity(os.getpid())

def meets(mode):
    for path in (place / "inside").iterdir():
        pid, born, other = path.name.split("-")
        who = procfs.Identity(int(pid), int(born))
        if who == me or "write" not in (mode, other):
            continue
        deadline = time.monotonic() + 1
        while procfs.alive(who):
            if time.monotonic() > deadline:
                return path.name
        path.unlink(missing_ok=True)

for _ in range(1_000_000):
    mode = rng.choice(locks.MODES)
    ticket = locks.acquire(place / "lock", mode, "a taker", 30)
    inside = place / "inside" / f"{{me.pid}}-{{me.born}}-{{mode}}"
    inside.touch()
    for _ in range(5):
        if other := meets(mode):
            print("MET", other, flush=True)
            os._exit(1)
    inside.unlink()
    ticket.release()
    print("went round", flush=True)
"""


def start(place: Path, broken: str, seed: int) -> "subprocess.Popen[str]":
    program = TAKER.format(broken=broken)
    return subprocess.Popen(
        [sys.executable, "-c", program, str(place), str(seed)], stdout=subprocess.PIPE, text=True
    )


def kill_one(takers: "list[subprocess.Popen[str]]", rng: random.Random) -> None:
    """Let one go round, and kill it wherever it is a moment later."""
    index = rng.randrange(len(takers))
    victim = takers[index]
    assert victim.stdout
    assert victim.stdout.readline() == "went round\n"
    until = time.monotonic() + rng.random() / 100
    while time.monotonic() < until:
        pass
    victim.send_signal(signal.SIGKILL)
    said = victim.communicate()[0]
    del takers[index]
    assert "MET" not in said


def played(place: Path, broken: str, seed: int) -> None:
    """Kill `KILLS` takers; raise AssertionError if anybody met anybody, or went no further."""
    (place / "inside").mkdir()
    rng = random.Random(seed)
    takers = [start(place, broken, number) for number in range(TAKERS)]
    try:
        for number in range(KILLS):
            kill_one(takers, rng)
            takers.append(start(place, broken, TAKERS + number))
        for taker in takers:
            assert taker.stdout
            assert taker.stdout.readline() == "went round\n"
    finally:
        for taker in takers:
            taker.kill()
            taker.wait()
            assert taker.stdout
            taker.stdout.close()


def test_nobody_meets_anybody_and_the_others_go_on(tmp_path: Path) -> None:
    played(tmp_path, broken="", seed=3)

    assert (tmp_path / "lock").is_dir()


def test_a_lock_whose_readers_do_not_count_is_caught(tmp_path: Path) -> None:
    with pytest.raises(AssertionError):
        played(tmp_path, "locks._excludes = lambda one, other: one == other == 'write'", seed=3)
