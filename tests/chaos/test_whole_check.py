"""A whole check in this process: what it finds, saves and replays, and what it says of the time that it had."""

import asyncio
import datetime as dt
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from poolproof import plan as plans
from poolproof.chaos.accept import EXAMPLE, load
from poolproof.chaos.check import Options, check
from poolproof.chaos.replay import Replayed, replay
from poolproof.chaos.result import ENDINGS, Entry, Result
from poolproof.errors import TargetError
from poolproof.plan import Target
from tests.chaos.zoo.ablations import ABLATIONS

pytestmark = pytest.mark.chaos

MULTIPROCESSING = "multiprocessing.Pool"
THREADS = "concurrent.futures.ThreadPoolExecutor"


class Steps:
    """Notes how far a check, or a replay, has come."""

    def __init__(self) -> None:
        self.totals: Counter[str] = Counter()
        self.steps: Counter[str] = Counter()

    def phase(self, name: str, total: int) -> None:
        self.totals[name] += total

    def step(self, name: str) -> None:
        self.steps[name] += 1


def checked(
    directory: Path, name: str, *faults: str, own: tuple[str, ...] = (), **more: Any
) -> tuple[Result, Steps]:
    for part in ("private", "out", "out/plans"):
        (directory / part).mkdir()
    target = Target(name=name, cwd=str(directory), python=sys.executable, own=own)
    usual = {"crash_points": "off", "seconds": 60.0}
    options = Options(
        target=target,
        faults=faults,
        directory=directory / "out",
        private=directory / "private",
        run="test-check",
        **{**usual, **more},
    )
    steps = Steps()
    return asyncio.run(check(options, steps)), steps


def invalid(result: Result) -> list[Entry]:
    return [entry for entry in result.checks if entry.verdict == "invalid"]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> tuple[Result, Steps]:
    """A check of a pool that loses jobs, with a small sweep of crash points."""
    directory = tmp_path_factory.mktemp("broken")
    accept = directory / "accept.toml"
    accept.write_text(EXAMPLE)
    return checked(
        directory,
        MULTIPROCESSING,
        "kill-busy",
        "error-in-job",
        "cancel-storm",
        own=("multiprocessing.queues",),
        crash_points="kill",
        accept=load(accept, dt.date(2026, 1, 1)),
    )


class TestBroken:
    def test_a_lost_job_is_found_and_confirmed(self, found: tuple[Result, Steps]) -> None:
        (entry,) = (one for one in invalid(found[0]) if one.fault == "kill-busy")

        assert entry.invariant == "unresolved-job"
        assert entry.hits > 1
        assert entry.story

    def test_what_is_accepted_says_so(self, found: tuple[Result, Steps]) -> None:
        (entry,) = (one for one in invalid(found[0]) if one.fault == "kill-busy")

        assert entry.accepted == "python/cpython#66587, no fix in sight"

    def test_each_fault_has_its_row(self, found: tuple[Result, Steps]) -> None:
        rows = {row.fault: row.verdict for row in found[0].faults}

        assert rows == {
            "none": "valid",
            "kill-busy": "invalid",
            "error-in-job": "valid",
            "cancel-storm": "not applicable",
        }

    def test_the_classes_of_crash_points_sum_to_their_total(
        self, found: tuple[Result, Steps]
    ) -> None:
        points = found[0].crash_points

        assert points.total == len(points.points) > 5
        assert sum(getattr(points, ending) for ending in ENDINGS) == points.total
        assert points.stopped
        assert points.not_tried == 0
        assert {point.file for point in points.points} == {"queues.py"}

    def test_a_violation_of_crash_points_tells_where(self, found: tuple[Result, Steps]) -> None:
        entries = [one for one in invalid(found[0]) if one.fault == "crash-point:kill"]

        assert entries
        assert all(one.crash_points for one in entries)

    def test_every_step_that_was_announced_was_taken(self, found: tuple[Result, Steps]) -> None:
        result, steps = found

        assert steps.steps == steps.totals
        assert {"reference", "faults", "crash points"} < set(steps.totals)
        assert result.verdict == "invalid"

    def test_each_violation_replays_from_its_plan_alone(
        self, found: tuple[Result, Steps], tmp_path: Path
    ) -> None:
        entry = max(invalid(found[0]), key=lambda one: one.fault == "crash-point:kill")
        assert entry.plan
        steps = Steps()
        saved = plans.load(Path(entry.plan))
        again: Replayed = asyncio.run(replay(saved, 3, tmp_path, "test-replay", steps))

        assert again.broken + again.unknown == 3
        assert again.broken >= 2
        assert again.story
        assert steps.steps.total() == 4


def test_a_sound_pool_is_valid(tmp_path: Path) -> None:
    result, _ = checked(tmp_path, THREADS, "error-in-job", "callback-raises", "shutdown-busy")

    assert result.verdict == "valid"
    assert [row.verdict for row in result.faults] == ["valid"] * 4
    assert result.crash_points.total == 0


def test_a_pool_without_processes_has_no_crash_points(tmp_path: Path) -> None:
    result, _ = checked(tmp_path, THREADS, crash_points="kill")
    (row,) = (row for row in result.faults if row.fault == "crash-points")

    assert row.verdict == "not applicable"
    assert row.note.startswith("its jobs run in the owner's own process")
    assert result.verdict == "valid"


def test_code_that_no_worker_runs_has_no_crash_points(tmp_path: Path) -> None:
    result, _ = checked(tmp_path, MULTIPROCESSING, own=("wave",), crash_points="kill")
    (row,) = (row for row in result.faults if row.fault == "crash-points")

    assert row.note == "its workers run no Python code of its own; --own names some"


def test_without_injection_everything_is_unknown(tmp_path: Path) -> None:
    result, _ = checked(tmp_path, THREADS, "error-in-job", null=True)
    rows = {row.fault: row.verdict for row in result.faults}

    assert result.verdict == "unknown"
    assert rows["error-in-job"] == "unknown"


def test_what_does_not_fit_into_the_time_is_not_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("poolproof.chaos.check.CONFIRM_SHARE", 1.0)
    result, _ = checked(tmp_path, THREADS, "error-in-job")
    rows = {row.fault: row.verdict for row in result.faults}

    assert rows["error-in-job"] == "not tried"
    assert result.verdict == "unknown"


def test_a_pool_that_leaks_unharmed_is_told_so_and_tried_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("poolproof.chaos.scenario.SETTLE_SECONDS", 0.1)
    (tmp_path / "leaky.py").write_text(
        "import os\n"
        "from concurrent.futures import ThreadPoolExecutor\n"
        "def make(workers):\n"
        "    os.open('/dev/null', os.O_RDONLY)\n"
        "    return ThreadPoolExecutor(workers)\n"
    )
    result, _ = checked(tmp_path, "leaky:make", "error-in-job")
    rows = {row.fault: row.verdict for row in result.faults}

    assert {one.invariant for one in invalid(result)} == {"leak"}
    assert rows == {"none": "invalid", "error-in-job": "valid"}


def test_a_pool_that_is_broken_unharmed_is_not_harmed(tmp_path: Path) -> None:
    (tmp_path / "wrong.py").write_text(
        "from concurrent.futures import ThreadPoolExecutor\n"
        "class Pool(ThreadPoolExecutor):\n"
        "    seen = 0\n"
        "    def submit(self, function, *args):\n"
        "        Pool.seen += 1\n"
        "        if Pool.seen == 3: return super().submit(print)\n"
        "        return super().submit(function, *args)\n"
    )
    result, _ = checked(tmp_path, "wrong:Pool", "error-in-job")
    rows = {row.fault: row for row in result.faults}

    assert "wrong-result" in {one.invariant for one in invalid(result)}
    assert rows["error-in-job"].verdict == "not tried"
    assert rows["error-in-job"].note.startswith("the unharmed pool already breaks a promise")


@pytest.mark.parametrize(
    ("factory", "because"),
    [
        ("raise OSError('no room')", "no room"),
        ("import os; os._exit(3)", "got the end of the process that called it"),
        ("return 42", "int"),
    ],
)
def test_a_pool_that_does_not_start_is_an_error_of_the_target(
    factory: str, because: str, tmp_path: Path
) -> None:
    (tmp_path / "stranger.py").write_text(f"def make(workers):\n    {factory}\n")

    with pytest.raises(TargetError, match=because):
        checked(tmp_path, "stranger:make")


def test_a_pool_that_answers_nothing_right_is_an_error_of_the_target(tmp_path: Path) -> None:
    (tmp_path / "stranger.py").write_text(
        "class Pool:\n"
        "    def __init__(self, workers): pass\n"
        "    def start(self): pass\n"
        "    def stop(self): pass\n"
        "    def submit(self, function, *args): return 1\n"
        "    def wait(self, handle): raise LookupError('only my own jobs')\n"
    )

    with pytest.raises(TargetError, match=r"got LookupError: only my own jobs; .* needs `jobs`"):
        checked(tmp_path, "stranger:Pool")


def test_what_one_trial_did_to_a_lock_from_the_import_is_not_held_against_the_next(
    tmp_path: Path,
) -> None:
    """The lock lies in memory that all forks of the zygote share: who dies with it stops its own pool, and no other."""
    (ablation,) = (one for one in ABLATIONS if one.name == "holds-a-shared-lock-when-killed")
    (tmp_path / "locking.py").write_text(ablation.source())
    result, _ = checked(tmp_path, "locking.py:make_pool", crash_points="kill")
    points = result.crash_points

    stopped = {point.function for point in points.points if point.ending == "stopped"}

    assert result.verdict == "invalid"
    assert "answer" in stopped
    held = {"answer", "frame", "become_worker", "SemLock.__exit__"}
    assert stopped <= held, "only these run while the lock is held"
    assert points.survived + points.reported + points.stopped == points.total
