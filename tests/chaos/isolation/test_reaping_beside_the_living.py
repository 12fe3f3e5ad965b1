"""Owners killed at any moment, and a reaper that never rests: the dead leave nothing, the living lose nothing."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from poolproof.isolation import leases

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(120)]

OWNERS = 3
KILLS = 15

# Takes sandboxes again and again, and looks whether all of it is there until it gives it back.
OWNER = """
import os, signal, sys
from pathlib import Path
from poolproof.isolation.names import Namespace
from poolproof.isolation.places import process_lease
from poolproof.isolation.sandbox import Sandbox

elsewhere = Path(sys.argv[1])

def one(lease, number):
    box = Sandbox(Namespace(lease.run, f"test_{number}"), lease)
    mine = box.own(elsewhere / box.unique("mine"))
    mine.touch()
    shared = Path("/dev/shm", box.name("memory"))
    with open(elsewhere.with_name("segments"), "a") as file:
        print(shared, file=file)
    shared.touch()
    places = [box.dir("data"), mine, shared, lease.home / "ports" / str(box.port().getsockname()[1])]
    for _ in range(20):
        lost = [str(place) for place in [*places, lease.file] if not place.exists()]
        if lost:
            print("LOST", *lost, flush=True)
            os._exit(1)
    assert box.cleanup().complete

for number in range(10_000):
    with process_lease() as lease:
        one(lease, number)
        one(lease, number)
    print("went round", flush=True)
"""
REAPER = """
from poolproof.isolation import leases
{broken}
while True:
    leases.reap()
"""


class Place:
    """A directory of leases, one for what is claimed elsewhere, and the processes between them."""

    def __init__(self, path: Path) -> None:
        self.home, self.elsewhere = path / "run", path / "elsewhere"
        self.home.mkdir()
        self.elsewhere.mkdir()
        self.processes: list[subprocess.Popen[str]] = []

    def start(self, program: str) -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            [sys.executable, "-c", program, str(self.elsewhere)],
            env={**os.environ, "XDG_RUNTIME_DIR": str(self.home)},
            stdout=subprocess.PIPE,
            text=True,
        )
        self.processes.append(process)
        return process

    def close(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait()
            assert process.stdout
            process.stdout.close()


def kill_and_replace(
    place: Place, owners: "list[subprocess.Popen[str]]", rng: random.Random
) -> None:
    """Let one owner work for a while, then kill it wherever it is, and start another."""
    victim = owners.pop(rng.randrange(len(owners)))
    assert victim.stdout
    assert victim.stdout.readline() == "went round\n"
    until = time.monotonic() + rng.random() / 100
    while time.monotonic() < until:
        pass
    victim.send_signal(signal.SIGKILL)
    assert "LOST" not in victim.communicate()[0]
    owners.append(place.start(OWNER))


def played(path: Path, broken: str, seed: int) -> None:
    """Kill `KILLS` owners beside a reaper; raise AssertionError if somebody who lives has lost something."""
    place = Place(path)
    rng = random.Random(seed)
    try:
        reaper = place.start(REAPER.format(broken=broken))
        owners = [place.start(OWNER) for _ in range(OWNERS)]
        for _ in range(KILLS):
            kill_and_replace(place, owners, rng)
        assert reaper.poll() is None
    finally:
        place.close()


def test_the_dead_leave_nothing_and_the_living_lose_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    played(tmp_path, broken="", seed=7)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    leases.reap()

    left = [path for path in leases.home().rglob("*") if path.name not in {"ports", "locks"}]
    assert left == []
    assert list((tmp_path / "elsewhere").iterdir()) == []
    segments = (tmp_path / "segments").read_text().splitlines()
    assert [name for name in segments if Path(name).exists()] == []


def test_a_reaper_that_takes_the_living_for_dead_is_caught(tmp_path: Path) -> None:
    broken = "leases.held = lambda lease: False\nleases.end = lambda lease: []"

    with pytest.raises(AssertionError):
        played(tmp_path, broken, seed=7)
    # Who was to clear them has lost the leases that name them.
    for segment in (tmp_path / "segments").read_text().splitlines():
        Path(segment).unlink(missing_ok=True)
