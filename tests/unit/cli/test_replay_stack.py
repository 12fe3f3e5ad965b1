"""`poolproof replay` of a plan of one of our stacks: its exit code, what it says, and what it saves."""

import dataclasses
import json
import signal
from pathlib import Path
from typing import Any

import pytest

from poolproof import cli
from poolproof.pool.pool import Pool
from poolproof.pool.slot import Slot
from poolproof.stateful.plans import AnchoredFault, SimulatedJob, SimulatedPlan, load, save
from poolproof.transport.base import End

pytestmark = pytest.mark.unit

KILL = AnchoredFault("kill", 0, "start", 2)
JOBS = tuple(SimulatedJob(client=number % 2) for number in range(6))
SOUND = SimulatedPlan(jobs=JOBS, faults=(KILL,), job_seconds=1.0)


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(signal, "signal", lambda *_: None)


@pytest.fixture
def _runs_the_jobs_of_the_dead_again(monkeypatch: pytest.MonkeyPatch) -> None:
    settle = Pool.on_death

    def on_death(self: Pool, slot: Slot, end: End) -> None:
        settle(self, slot, dataclasses.replace(end, begun=()))

    monkeypatch.setattr(Pool, "on_death", on_death)


def replay(plan: SimulatedPlan, *options: str) -> tuple[int, dict[str, Any]]:
    save(plan, Path("plan.json"))
    code = cli.main(["replay", "plan.json", "--json", "told.json", *options])
    return code, json.loads(Path("told.json").read_text())


def test_a_sound_run_is_0_and_always_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    code, told = replay(SOUND, "--times", "3")

    assert (code, told["broken"], told["unknown"], len(told["traces"])) == (0, 0, 0, 1)
    assert "stack on mock: 0 of 3 broke a promise, in virtual time" in capsys.readouterr().out


def test_a_plan_of_which_not_all_was_done_is_3(capsys: pytest.CaptureFixture[str]) -> None:
    code, told = replay(SimulatedPlan(jobs=JOBS, faults=(AnchoredFault("kill", 0, "start", 99),)))

    assert (code, told["broken"], told["unknown"]) == (3, 0, 1)
    assert "unknown: expected all of the plan to be done" in capsys.readouterr().out


@pytest.mark.usefixtures("_runs_the_jobs_of_the_dead_again")
def test_a_broken_promise_is_1_and_its_plan_can_be_shrunk(
    capsys: pytest.CaptureFixture[str],
) -> None:
    code, told = replay(SOUND, "--shrink", "least.json")

    least = load(Path("least.json"))
    assert (code, told["broken"]) == (1, 1)
    assert (len(least.jobs), len(least.faults)) == (1, 1)
    assert told["shrunk"]["story"][1:] == [
        "remove any one and it passes",
        "fails again 10 of 10 times",
    ]
    assert "duplicate-run: job " in capsys.readouterr().out


def test_a_plan_of_check_is_not_shrunk_by_this(capsys: pytest.CaptureFixture[str]) -> None:
    Path("other.json").write_text('{"target": {}}')

    assert cli.main(["replay", "other.json", "--shrink", "least.json"]) == 2
    assert "expected --shrink with a plan of one of our stacks" in capsys.readouterr().err
