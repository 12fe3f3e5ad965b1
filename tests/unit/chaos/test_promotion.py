"""A promoted test holds the pool to what it broke, and a later promotion never holds it to less."""

import ast
from pathlib import Path
from typing import Any

import msgspec
import pytest

from poolproof.chaos.promotion import Case, cases, stricter, written
from poolproof.chaos.saved import open_run
from poolproof.errors import UsageError
from tests.unit.report.runs import FAULT, keep, lost, save

pytestmark = pytest.mark.unit

PLAN: dict[str, Any] = {"target": {"name": "pkg:make"}, "faults": [{"kind": FAULT}], "jobs": 3}


def case(**fields: Any) -> Case:
    return Case(
        **{
            "name": "test_kill_busy_unresolved_job",
            "says": "Under kill-busy: the caller waits for ever.",
            "invariants": ("unresolved-job",),
            "times": 3,
            "plan": PLAN,
            **fields,
        }
    )


def file(*found: Case, source: str | None = None) -> str:
    return written(source, found, target="pkg:make", root="Path(__file__).parents[1]")


def call(source: str, name: str = "test_kill_busy_unresolved_job") -> dict[str, Any]:
    (function,) = (n for n in ast.parse(source).body if getattr(n, "name", "") == name)
    assert isinstance(function, ast.FunctionDef)
    (expression,) = (n.value for n in function.body[1:] if isinstance(n, ast.Expr))
    assert isinstance(expression, ast.Call)
    return {k.arg or "": k.value for k in expression.keywords}


def argument(source: str, name: str) -> Any:
    return ast.literal_eval(call(source)[name])


def test_a_broken_promise_becomes_a_case(tmp_path: Path) -> None:
    (found,) = cases(save(tmp_path, lost(), lost()), times=5)

    assert found.name == "test_kill_busy_unresolved_job"
    assert found.times == 5
    assert found.invariants[0] == "unresolved-job"
    assert found.plan == {"target": {"name": "pkg:make"}, "faults": [{"kind": FAULT}]}


def test_whoever_is_stuck_is_held_to_all_that_stuck_pools_break(tmp_path: Path) -> None:
    (found,) = cases(save(tmp_path, lost(), lost()))

    assert {"unresolved-job", "no-recovery", "starvation"} <= set(found.invariants)


def test_a_crash_point_is_kept_by_the_text_of_its_line(tmp_path: Path) -> None:
    run = save(tmp_path, lost(), lost())
    sure = [
        msgspec.structs.replace(e, verdict="invalid") if e.fault.startswith("crash") else e
        for e in run.result.checks
    ]
    keep(tmp_path, msgspec.structs.replace(run.result, checks=tuple(sure)))
    (found,) = cases(open_run(tmp_path), only=["crash-point:kill"])

    assert found.plan["point"] == {
        "file": "own/pool.py",
        "line": 2,
        "code": "answer = job()",
        "effect": "kill",
    }


def test_what_is_not_broken_is_not_promoted(tmp_path: Path) -> None:
    run = save(tmp_path, lost(), lost())

    with pytest.raises(
        UsageError, match=r"got none of leak; broken there: unresolved-job under kill-busy"
    ):
        cases(run, only=["leak"])


def test_two_effects_of_one_kind_are_two_tests(tmp_path: Path) -> None:
    run = save(tmp_path, lost(), lost())
    (row,) = (e for e in run.result.checks if e.verdict == "invalid")
    other = msgspec.structs.replace(row, effect="another effect")
    keep(tmp_path, msgspec.structs.replace(run.result, checks=(row, other)))

    assert [one.name for one in cases(open_run(tmp_path))] == [
        "test_kill_busy_unresolved_job",
        "test_kill_busy_unresolved_job_2",
    ]


def test_the_file_is_python_and_says_what_the_case_says() -> None:
    source = file(case())

    compile(source, "test", "exec")
    assert "Under kill-busy: the caller waits for ever." in source
    assert argument(source, "plan") == PLAN
    assert argument(source, "invariants") == ["unresolved-job"]
    assert max(map(len, source.splitlines())) <= 100


def test_the_same_again_changes_nothing() -> None:
    once = file(case())

    assert file(case(), source=once) == once


def test_an_update_never_loosens() -> None:
    strict = case(
        times=9,
        invariants=("unresolved-job", "leak"),
        plan={
            **PLAN,
            "jobs": 5,
            "target": {
                "name": "pkg:make",
                "deadline": 2.0,
                "promises": {"recovery": 1.0, "at-most-once": True},
            },
        },
    )
    loose = case(
        plan={
            **PLAN,
            "target": {
                "name": "pkg:make",
                "promises": {"recovery": 8.0, "contract": {"leak": "we leak"}},
            },
        }
    )
    source = file(loose, source=file(strict))

    assert argument(source, "times") == 9
    assert argument(source, "invariants") == ["unresolved-job", "leak"]
    assert argument(source, "plan")["jobs"] == 5
    assert argument(source, "plan")["target"] == {
        "name": "pkg:make",
        "deadline": 2.0,
        "promises": {"recovery": 1.0, "at-most-once": True},
    }


def test_an_update_may_be_stricter() -> None:
    more = case(times=7, invariants=("leak",), plan={**PLAN, "jobs": 8})
    source = file(more, source=file(case()))

    assert argument(source, "times") == 7
    assert argument(source, "invariants") == ["unresolved-job", "leak"]
    assert argument(source, "plan")["jobs"] == 8


def test_a_deadline_as_always_is_not_loosened_either() -> None:
    loose = {"target": {"name": "pkg:make", "deadline": 60.0}}

    assert "deadline" in stricter(loose, loose)["target"]
    assert stricter({"target": {"name": "pkg:make"}}, loose)["target"].get("deadline", 10.0) == 10.0


def test_what_somebody_else_wrote_stays() -> None:
    own = file(case()).replace("ROOT = ", "MINE = 1\nROOT = ") + "\n\ndef test_mine():\n    pass\n"
    own = own.replace("root=ROOT", "root=str(ROOT)")
    source = file(case(times=8), case(name="test_other"), source=own)

    assert "MINE = 1" in source
    assert "def test_mine():" in source
    assert "def test_other()" in source
    assert ast.unparse(call(source)["root"]) == "str(ROOT)"


@pytest.mark.parametrize(
    ("source", "complaint"),
    [
        ("def test_kill_busy_unresolved_job(): pass", "another test of that name"),
        (
            "def test_kill_busy_unresolved_job():\n    assert_kept(plan=make(), times=1, invariants=[])",
            "expected plain data",
        ),
        ("def (", "expected a Python file"),
    ],
)
def test_what_cannot_be_brought_up_to_date_is_refused(source: str, complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        file(case(), source=source)
