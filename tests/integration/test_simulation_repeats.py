"""One plan is one run: in every process, under every hash seed, and as a history on every Python."""

import itertools
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import pytest

import poolproof

pytestmark = pytest.mark.integration

PROGRAM: Final = Path(__file__).with_name("simulated_program.py")
SOURCE: Final = str(Path(poolproof.__file__).parents[1])
AT_ONCE: Final = 4
# A hundred in scripts/campaign_simulation.sh.
REPEATS: Final = int(os.environ.get("POOLPROOF_REPEATS", "8"))
# What the standard library's part of the program has done on each of 3.11.7, 3.12.1 and 3.13.0. Only a
# change of the program, of the network or of a stream of randomness may change it.
HISTORY: Final = "b52522ae59d083aee0d092a5628e34e0"
OTHERS: Final = [
    f"python{version}"
    for version in ("3.11", "3.12", "3.13")
    if version != f"{sys.version_info.major}.{sys.version_info.minor}"
]


def runs(python: str) -> bool:
    """Return whether there is such an interpreter, and not just a stand-in for one that is not set up."""
    found = shutil.which(python)
    return (
        bool(found)
        and not subprocess.run([python, "-c", ""], check=False, capture_output=True).returncode
    )


def play(
    number: int, what: str, policy: str, python: str = sys.executable
) -> subprocess.Popen[str]:
    """Play the plan in a fresh process with a hash seed of its own, and another layout of memory."""
    environment = {
        **{name: value for name, value in os.environ.items() if "COVERAGE" not in name},
        "PYTHONHASHSEED": str(number * 7919 % 4_294_967_295 + 1),
        "PYTHONPATH": SOURCE,
        "BALLAST": "x" * (number * 37 % 4096),
    }
    schedule = f'{{"policy": "{policy}", "seed": 7}}'
    sites = (
        ["-S"] if what == "actors" else []
    )  # it needs nobody's packages, and starts in half the time
    return subprocess.Popen(
        [python, *sites, str(PROGRAM), what, schedule],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def answers(processes: Iterable[subprocess.Popen[str]]) -> list[tuple[str, str]]:
    """Return the hashes (trace, history) that the processes print, with few of them at once."""
    found: list[tuple[str, str]] = []
    waiting = iter(processes)
    while batch := list(itertools.islice(waiting, AT_ONCE)):
        for process in batch:
            with process:
                printed, _ = process.communicate(timeout=60)
            assert process.returncode == 0
            trace, history = printed.split()
            found.append((trace, history))
    return found


@pytest.mark.timeout(180)
def test_one_plan_is_one_trace_in_every_process() -> None:
    found = answers(play(number, "actors", "random") for number in range(REPEATS))

    assert len(found) == REPEATS > 1
    assert len(set(found)) == 1


@pytest.mark.timeout(120)
@pytest.mark.parametrize("policy", ["fifo", "random"])
def test_the_pool_itself_repeats_too(policy: str) -> None:
    found = answers(play(number, "pool", policy) for number in range(REPEATS // 2))

    assert len(found) > 1
    assert len(set(found)) == 1


def test_another_policy_is_another_run() -> None:
    found = answers(play(0, "actors", policy) for policy in ("fifo", "random", "pct"))

    assert len({trace for trace, _ in found}) == 3


def test_a_plan_without_deviations_is_one_history_on_every_python() -> None:
    """The constant ties all Pythons together; those that are found here are asked as well."""
    pythons = [sys.executable, *filter(runs, OTHERS)]
    found = answers(play(number, "actors", "fifo", python) for number, python in enumerate(pythons))

    assert {history for _, history in found} == {HISTORY}


def test_a_run_that_depends_on_addresses_would_be_seen(tmp_path: Path) -> None:
    """The ablated program: it lets a set of plain objects decide."""
    program = PROGRAM.read_text(encoding="utf-8")
    broken = tmp_path / "broken.py"
    broken.write_text(
        program.replace(
            '    note("futures"',
            "    for chosen in {object(): index for index in range(50)}.keys() ^ {object()}:\n"
            '        note("chosen", hash(chosen))\n'
            '    note("futures"',
        ),
        encoding="utf-8",
    )
    processes = [
        subprocess.Popen(
            [sys.executable, str(broken), "actors", "{}"],
            env={**os.environ, "PYTHONPATH": SOURCE, "BALLAST": "x" * number * 999},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        for number in range(4)
    ]

    assert len({history for _, history in answers(processes)}) > 1
