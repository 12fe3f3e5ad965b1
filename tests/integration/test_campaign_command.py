"""`poolproof campaign` as its users run it: what it finds and prints, goes on with, and leaves behind."""

import json
import signal
from pathlib import Path
from typing import Any, Final

import pytest

from poolproof.campaign.kept import CASES
from tests.chaos.zoo.ablations import ABLATIONS
from tests.integration.commands import Command, Ended, until

pytestmark = pytest.mark.integration

FORGETS: Final = next(one for one in ABLATIONS if one.name == "forgets-the-job-of-a-dead-worker")
KILLS: Final = ("--faults", "kill-busy", "--crash-points", "off")


@pytest.fixture
def pool(tmp_path: Path) -> str:
    """A pool that forgets the job of a worker that has died."""
    file = tmp_path / "broken.py"
    file.write_text(FORGETS.source())
    return f"{file}:{FORGETS.factory}"


def command(folder: Path, *arguments: str) -> Command:
    (folder / "leases").mkdir(exist_ok=True)
    return Command("campaign", *arguments, cwd=folder, XDG_RUNTIME_DIR=str(folder / "leases"))


def ended(folder: Path, *arguments: str) -> Ended:
    return command(folder, *arguments).end()


def found(folder: Path) -> dict[str, Any]:
    told: dict[str, Any] = json.loads((folder / "kept" / "result.json").read_text())
    return told


def held(folder: Path) -> list[str]:
    return [path.name for path in folder.glob("leases/*/*")]


@pytest.mark.parametrize(
    "number",
    [
        signal.SIGKILL,
        pytest.param(signal.SIGINT, marks=pytest.mark.slow),
        pytest.param(signal.SIGTERM, marks=pytest.mark.slow),
    ],
)
def test_however_it_is_ended_it_leaves_nothing_and_goes_on_there(
    number: signal.Signals, pool: str, tmp_path: Path
) -> None:
    asked = (pool, *KILLS, "--seeds", "6", "--jobs", "2", "--out", "kept")
    first = command(tmp_path, *asked)
    until((tmp_path / "kept" / CASES).exists)
    first.signal(number)
    code = first.end().code
    until(lambda: not first.processes())
    until(lambda: not held(tmp_path))
    played = (tmp_path / "kept" / CASES).read_text().count("\n")

    assert code == {signal.SIGINT: 130, signal.SIGTERM: 143}.get(number, -number)
    assert played < 6
    second = ended(tmp_path, *asked)
    assert second.code == 1
    assert found(tmp_path)["played"] == 6
    lines = (tmp_path / "kept" / CASES).read_text().splitlines()
    seeds = [json.loads(line)["seed"] for line in lines]
    assert sorted(seeds) == list(range(6)), "no seed is played twice"
    (failure,) = found(tmp_path)["failures"]
    assert (failure["invariant"], failure["fault"], failure["hits"]) == (
        "unresolved-job",
        "kill-busy",
        6,
    )
    assert (failure["jobs"], failure["bystanders"], failure["again"]) == (1, 0, failure["times"])
    assert (second.left, held(tmp_path)) == ([], [])


@pytest.mark.slow
def test_the_plan_that_is_left_of_a_failure_fails_again(pool: str, tmp_path: Path) -> None:
    assert ended(tmp_path, pool, *KILLS, "--seeds", "1", "--out", "kept").code == 1

    again = Command("replay", found(tmp_path)["failures"][0]["plan"], cwd=tmp_path).end()

    assert again.code == 1
    assert "unresolved-job: 1 of 1" in again.out


def test_a_cluster_may_play_it_and_a_sound_pool_is_not_accused(tmp_path: Path) -> None:
    (tmp_path / "cluster.py").write_text(
        "from concurrent.futures import ProcessPoolExecutor\n"
        "from multiprocessing import get_context\n"
        "def make():\n"
        "    return ProcessPoolExecutor(2, mp_context=get_context('spawn'))\n"
    )
    asked = ("--faults", "error-in-job,kill-busy", "--seeds", "4")
    done = Command(
        *("campaign", "concurrent.futures.ThreadPoolExecutor", *asked),
        *("--executor", "cluster:make", "--out", "kept"),
        cwd=tmp_path,
        PYTHONPATH=str(tmp_path),
    ).end()

    assert done.code == 0, done.out + done.err
    told = found(tmp_path)
    assert (told["verdict"], told["failures"], told["played"]) == ("valid", [], 4)
    assert told["pairs"]
    assert told["inapplicable"]["kill-busy"].startswith("its jobs run in the owner's own process")
    assert done.left == []


def test_a_target_that_is_none_is_said_in_one_line(tmp_path: Path) -> None:
    done = ended(tmp_path, "json:nothing", "--out", "kept")

    assert (done.code, done.left) == (2, [])
    assert "expected" in done.complaint
    assert len(done.complaint.splitlines()) == 1
