"""What a promoted test does with its plan, and when it passes: not broken, and proved at least once."""

import concurrent.futures.thread
import sys
from pathlib import Path
from typing import Any

import pytest

from poolproof import regression
from poolproof.chaos.replay import Replayed
from poolproof.errors import UsageError
from poolproof.plan import Plan, Target
from poolproof.regression import BrokenAgainError, UnprovenError, assert_kept

pytestmark = pytest.mark.unit


def plan(**fields: Any) -> dict[str, Any]:
    return {"target": {"name": "pools.py:make"}, "faults": [{"kind": "kill-busy"}], **fields}


def played(**fields: Any) -> Replayed:
    return Replayed(times=3, **{"receipts": ("gone from /proc",), "story": ("0.1  a",), **fields})


def judge(found: Replayed, *invariants: str) -> None:
    regression._require_kept(
        Plan(target=Target(name="/x/pools.py:make", cwd="/x", python="/python")), found, invariants
    )


def test_the_plan_is_made_for_this_machine(tmp_path: Path) -> None:
    whole = regression._materialised(plan(warmup=1), tmp_path)

    assert whole.target.name == f"{tmp_path}/pools.py:make"
    assert (whole.target.cwd, whole.target.python) == (str(tmp_path), sys.executable)
    assert (whole.faults[0].kind, whole.warmup) == ("kill-busy", 1)


def test_a_crash_point_is_found_where_its_line_is_by_now(tmp_path: Path) -> None:
    (tmp_path / "pool.py").write_text(
        "# new\n\nx = 1\n    take(job)\ny = 2\n" + "\n" * 50 + "take(job)\n"
    )
    point = {"file": "pool.py", "line": 2, "code": "take(job)", "effect": "kill"}
    whole = regression._materialised(plan(point=point), tmp_path)

    assert whole.point is not None
    assert (whole.point.file, whole.point.line) == (f"{tmp_path}/pool.py", 4)


def test_a_crash_point_in_an_installed_package_is_found(tmp_path: Path) -> None:
    point = {"file": "concurrent/futures/thread.py", "line": 1, "effect": "kill"}
    whole = regression._materialised(plan(point=point), tmp_path)

    assert whole.point is not None
    assert whole.point.file == concurrent.futures.thread.__file__


@pytest.mark.parametrize(
    ("point", "complaint"),
    [
        ({"file": "pool.py", "line": 1, "code": "gone()"}, "the code has changed"),
        ({"file": "no_such_package_here/pool.py", "line": 1}, "got neither"),
    ],
)
def test_a_crash_point_that_is_gone_is_refused(
    tmp_path: Path, point: dict[str, Any], complaint: str
) -> None:
    (tmp_path / "pool.py").write_text("x = 1\n")

    with pytest.raises(UsageError, match=complaint):
        regression._materialised(plan(point=point), tmp_path)


def test_what_is_no_plan_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="expected a plan as `poolproof promote` writes it"):
        assert_kept(plan={"faults": 3}, invariants=["leak"], times=1, root=tmp_path)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_broken_promise_is_told_with_receipt_story_and_replay(folder: Path) -> None:
    found = played(broken=2, hits={"leak": 2}, reasons={"leak": "one file is left"})

    with pytest.raises(BrokenAgainError) as caught:
        judge(found, "unresolved-job", "leak")

    lines = str(caught.value).splitlines()
    assert lines[:3] == [
        "invalid: leak, in 2 of 3 plays",
        "  leak: one file is left",
        "receipt: gone from /proc",
    ]
    assert lines[-1] == f"replay: {caught.value.replay}"
    assert (folder / caught.value.replay.split()[-1]).is_file()


def test_a_promise_that_was_not_asked_about_is_not_judged(folder: Path) -> None:
    judge(played(broken=3, hits={"leak": 3}, reasons={"leak": "one file is left"}), "order")

    assert list(folder.iterdir()) == []


@pytest.mark.usefixtures("folder")
def test_nothing_proved_is_no_pass() -> None:
    with pytest.raises(UnprovenError, match=r"unknown: nothing proved in 3 plays\n  no receipt"):
        judge(played(unknown=3, why_unknown="no receipt", receipts=()), "leak")


def test_one_play_that_proves_something_is_enough(folder: Path) -> None:
    judge(played(unknown=2, why_unknown="no receipt"), "leak")

    assert list(folder.iterdir()) == []
