"""Tests that must run alone, on several workers: counts how many times they were, and what the waiting cost.

    python scripts/alone.py [--repeats N] [--workers N] [--dist NAME ...] [--json FILE]

Five tests are marked `serial`; each of them, and each of the tests beside them, looks again and again at who else is
inside. The same suite without the markers is run once, too: if nobody meets anybody there, the rest has proved nothing.
Exit code: 0 all executions right; 1 some were not, or the suite without markers was right as well.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

DISTS: Final = ("load", "loadscope", "loadfile", "loadgroup", "worksteal")
ALONE_TESTS: Final = 5
TESTS_BESIDE: Final = 20

SUITE: Final = """
import hashlib, os
from pathlib import Path
import pytest

INSIDE = Path(os.environ["INSIDE"])
alone = pytest.mark.serial if os.environ["LOCKED"] == "1" else pytest.mark.unit

def look_around(kind):
    me = INSIDE / f"{kind}-{os.getpid()}"
    me.touch()
    try:
        for _ in range(20):
            hashlib.pbkdf2_hmac("sha256", b"work", b"salt", 1000)
            others = {path.name for path in INSIDE.iterdir()} - {me.name}
            wrong = others if kind == "alone" else {name for name in others if name.startswith("alone")}
            assert not wrong
    finally:
        me.unlink()
"""
FILE: Final = """
from suite import alone, look_around
import pytest

@pytest.mark.parametrize("number", range(REPEATS))
@alone
def test_alone(number):
    look_around("alone")

@pytest.mark.parametrize("number", range(BESIDE))
def test_beside(number):
    look_around("beside")
"""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """One run of the suite: executions of the tests that must be alone, of all tests, and the cost in seconds."""

    dist: str
    locked: bool
    alone: int
    alone_right: int
    tests: int
    right: int
    waited: float
    seconds: float


def run(place: Path, dist: str, *, locked: bool, repeats: int, workers: int) -> Outcome:
    """Run the suite once in `place`, a directory that is empty."""
    lay_out(place, repeats)
    settings = {"INSIDE": place / "inside", "LOCKED": int(locked)}
    settings |= {"PYTHONPATH": place, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": 1, "XDG_RUNTIME_DIR": place}
    plugins = ["-p", "xdist", "-p", "poolproof.pytest_plugin", "-p", "no:cacheprovider"]
    options = [f"-n{workers}", f"--dist={dist}", "--junitxml=out.xml", "--poolproof=off", "-q"]
    began = time.monotonic()
    subprocess.run(  # noqa: S603 - our own command
        [sys.executable, "-m", "pytest", *plugins, *options, "."],
        cwd=place,
        env={**os.environ, **{name: str(value) for name, value in settings.items()}},
        check=False,
        capture_output=True,
        timeout=600,
    )
    return read(place / "out.xml", dist, locked=locked, seconds=time.monotonic() - began)


def lay_out(place: Path, repeats: int) -> None:
    """Write the suite: one file for each of the tests that must be alone, with others beside it."""
    (place / "inside").mkdir(parents=True)
    (place / "suite.py").write_text(SUITE)
    for number in range(ALONE_TESTS):
        text = FILE.replace("REPEATS", str(repeats)).replace(
            "BESIDE", str(TESTS_BESIDE // ALONE_TESTS * repeats)
        )
        (place / f"test_{number}.py").write_text(text)


def read(results: Path, dist: str, *, locked: bool, seconds: float) -> Outcome:
    """Return what pytest's results say."""
    tree = ET.parse(results)  # noqa: S314 - written by pytest a moment ago
    cases = list(tree.iter("testcase"))
    right = [case for case in cases if case.find("failure") is None and case.find("error") is None]
    told = [p for p in tree.iter("property") if p.get("name") == "poolproof_waited"]
    return Outcome(
        dist=dist,
        locked=locked,
        alone=sum(is_alone(case) for case in cases),
        alone_right=sum(is_alone(case) for case in right),
        tests=len(cases),
        right=len(right),
        waited=sum(float(p.get("value", "0")) for p in told),
        seconds=seconds,
    )


def is_alone(case: "ET.Element") -> bool:
    """Tell whether this is an execution of a test that must run alone."""
    return case.get("name", "").startswith("test_alone")


def line(outcome: Outcome) -> str:
    """Return the outcome as a row of the table."""
    how = "with locks" if outcome.locked else "without"
    return (
        f"{outcome.dist:<10} {how:<11} {outcome.alone_right:>4} of {outcome.alone:<4} alone right,"
        f" {outcome.right:>5} of {outcome.tests:<5} in all;"
        f" waited {outcome.waited:7.2f} s, took {outcome.seconds:6.2f} s"
    )


def main() -> int:
    """Run the suite with each `--dist`, and once without the markers."""
    parser = argparse.ArgumentParser(description="tests that must run alone, on several workers")
    parser.add_argument(
        "--repeats", type=int, default=12, help="of each of the five tests, for each --dist"
    )
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--dist", nargs="+", choices=DISTS, default=DISTS)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    found: list[Outcome] = []
    with tempfile.TemporaryDirectory() as folder:
        plan = [(dist, True) for dist in options.dist] + [(options.dist[0], False)]
        for number, (dist, locked) in enumerate(plan):
            place = Path(folder, str(number))
            found.append(
                run(place, dist, locked=locked, repeats=options.repeats, workers=options.workers)
            )
            print(line(found[-1]), flush=True)
    if options.json:
        options.json.write_text(json.dumps([asdict(outcome) for outcome in found], indent=2) + "\n")
    return verdict(found)


def verdict(found: list[Outcome]) -> int:
    """Say how many executions were right; return the exit code."""
    locked = [outcome for outcome in found if outcome.locked]
    alone, right = sum(o.alone for o in locked), sum(o.alone_right for o in locked)
    others = sum(o.tests - o.right for o in locked)
    met = sum(o.tests - o.right for o in found if not o.locked)
    print(
        f"{right} of {alone} executions alone; {others} other executions disturbed; without locks, {met} met somebody"
    )
    return 0 if alone and right == alone and not others and met else 1


if __name__ == "__main__":
    sys.exit(main())
