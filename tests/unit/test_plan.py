"""Plans as data: saved and read again whole, and refused with one clear sentence when they are none."""

import json
from pathlib import Path
from typing import Any

import pytest

from poolproof import plan as plans
from poolproof.errors import PoolproofError, TargetError, UsageError
from poolproof.plan import SCHEMA, FaultSpec, Plan, Point, Target

pytestmark = pytest.mark.unit

TARGET = Target(
    name="pools.py:make",
    cwd="/srv/pools",
    python="/usr/bin/python3",
    adapter="executor",
    own=("pools",),
    workers=3,
    deadline=2.5,
    promises={"retries": 2, "contract": {"leak": "we leak"}},
)
PLAN = Plan(
    target=TARGET,
    faults=(FaultSpec(kind="kill-idle", victim="idle:1", options={"ms": 5}),),
    point=Point(file="pools.py", line=7, effect="hang"),
    warmup=1,
    jobs=2,
    bystanders=3,
    fresh=5,
    seed=8,
    null=True,
    lives=2,
)
STRANGE_EFFECT = (
    b'{"target": {"name": "x", "cwd": "/", "python": "p"},'
    b' "point": {"file": "f", "line": 1, "effect": "explode"}}'
)


@pytest.mark.parametrize("plan", [PLAN, Plan(target=TARGET)])
def test_a_saved_plan_is_read_again_whole(plan: Plan, tmp_path: Path) -> None:
    saved = tmp_path / "plan.json"
    plans.save(plan, saved)

    assert plans.load(saved) == plan


def test_a_saved_plan_is_readable_and_says_everything(tmp_path: Path) -> None:
    saved = tmp_path / "plan.json"
    plans.save(Plan(target=TARGET), saved)
    told: dict[str, Any] = json.loads(saved.read_text())

    assert saved.read_text().count("\n") > 10
    assert told["schema"] == SCHEMA
    assert {"warmup", "jobs", "bystanders", "fresh", "seed", "lives", "null"} <= told.keys()


def test_a_plan_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as raised:
        plans.load(tmp_path / "none.json")

    assert str(raised.value) == (
        f"expected a plan file, got [Errno 2] No such file or directory: '{tmp_path}/none.json';"
        " a plan is written by `poolproof check`"
    )


@pytest.mark.parametrize(
    ("text", "because"),
    [
        (b"", "truncated"),
        (b"{", "truncated"),
        (b"\xff\xfe{}", "malformed"),
        (b'{"target": {"name": "\xff"}}', "utf-8"),
        (b"[]", "Expected `object`, got `array`"),
        (b"{}", "missing required field `target`"),
        (b'{"target": {"name": "x"}}', "missing required field `cwd`"),
        (STRANGE_EFFECT, "Invalid enum value 'explode'"),
    ],
)
def test_what_is_no_plan_is_refused_and_the_file_named(
    text: bytes, because: str, tmp_path: Path
) -> None:
    saved = tmp_path / "plan.json"
    saved.write_bytes(text)
    with pytest.raises(UsageError) as raised:
        plans.load(saved)

    assert str(raised.value).startswith(f"expected a plan of poolproof in {saved}, got: ")
    assert because in str(raised.value)


def test_a_plan_of_another_schema_is_refused(tmp_path: Path) -> None:
    saved = tmp_path / "plan.json"
    plans.save(Plan(target=TARGET, schema=SCHEMA + 1), saved)

    with pytest.raises(
        UsageError, match=f"^expected plan schema {SCHEMA}, got {SCHEMA + 1} in .*check the target"
    ):
        plans.load(saved)


def test_each_error_means_its_exit_code() -> None:
    assert [kind.exit_code for kind in (PoolproofError, UsageError, TargetError)] == [4, 2, 2]
