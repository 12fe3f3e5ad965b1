"""From a broken promise to a regression test: the source of a test file, written or brought up to date.

An update never loosens: of two bounds the stricter stays, of two lists of promises all, of two numbers of plays or
jobs the higher. What is not a call of `assert_kept` with plain data is somebody's own, and stays as it is.
"""

import ast
import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, cast

import msgspec

from poolproof.chaos.result import Entry, PointEntry
from poolproof.chaos.saved import Run
from poolproof.chaos.stuck import CAUSES
from poolproof.errors import UsageError
from poolproof.plan import Plan, Target

TIMES: Final = 3
_CALL: Final = "assert_kept"
_FOR_ONE_MACHINE: Final = ("cwd", "python")
_SIZES: Final = ("warmup", "jobs", "bystanders", "fresh", "lives")
_LOWER_IS_STRICTER: Final = (
    *("retries", "recovery", "deadline", "capacity", "queue", "shedding", "work-conserving"),
)
_WIDTH: Final = 88
_INSTALLED: Final = "site-packages/"
_NOTHING: Final[tuple[object, ...]] = ("", None, {}, [], ())


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One test: its name, what it says, and the arguments of its call."""

    name: str
    says: str
    invariants: tuple[str, ...]
    times: int
    plan: dict[str, Any]


def cases(run: Run, only: Sequence[str] = (), times: int = TIMES) -> list[Case]:
    """Return a case for each broken promise that is not accepted.

    Args:
        run: the saved run.
        only: invariants and kinds of fault; empty means all.
        times: how often each plan is to be played.

    Raises:
        UsageError: nothing that was asked for is broken in this run, or its plan is gone.
    """
    broken = [
        entry
        for entry in run.result.checks
        if entry.verdict == "invalid" and not entry.accepted and entry.trial
    ]
    chosen = [e for e in broken if not only or {e.invariant, e.fault} & set(only)]
    if not chosen:
        had = ", ".join(f"{entry.invariant} under {entry.fault}" for entry in broken) or "none"
        raise UsageError(
            f"expected a broken promise to promote in {run.path}, got none"
            f"{f' of {chr(44).join(only)}' if only else ''}; broken there: {had}"
        )
    found = [_case(run, entry, times) for entry in chosen]
    seen: Counter[str] = Counter()
    return [_numbered(case, seen) for case in found]


def _numbered(case: Case, seen: Counter[str]) -> Case:
    """Return the case with a name of its own: two effects of one fault on one promise are two tests."""
    seen[case.name] += 1
    number = seen[case.name]
    return case if number == 1 else replace(case, name=f"{case.name}_{number}")


def _case(run: Run, entry: Entry, times: int) -> Case:
    plan = run.trial(str(entry.trial)).plan
    stuck = CAUSES if entry.invariant in CAUSES else ()
    victim = plan.faults[0].victim if plan.faults else ""
    words = re.sub(r"[^a-z0-9]+", "_", f"{entry.fault} {entry.invariant} {victim}".lower())
    where = f" at {entry.crash_points[0]}" if entry.crash_points else ""
    return Case(
        name=f"test_{words.strip('_')}",
        says=f"Under {entry.fault}{where}: {entry.effect or entry.reason}.",
        invariants=tuple(dict.fromkeys((entry.invariant, *entry.also, *stuck))),
        times=times,
        plan=portable(plan, run, entry),
    )


def portable(plan: Plan, run: Run, entry: Entry) -> dict[str, Any]:
    """Return the plan without what belongs to one machine, and without what is as always."""
    data = _told(plan, Plan(target=plan.target))
    target = _told(plan.target, Target(name="", cwd="", python=""))
    for name in _FOR_ONE_MACHINE:
        target.pop(name, None)
    target["name"] = _from(Path(plan.target.cwd), target["name"])
    data = {"target": target, **{name: data[name] for name in data if name != "target"}}
    if plan.point is not None:
        point = next((p for p in run.result.crash_points.points if p.trial == entry.original), None)
        data["point"] = _point(plan, run, point)
    return data


def _point(plan: Plan, run: Run, point: PointEntry | None) -> dict[str, Any]:
    assert plan.point is not None
    file = _from(Path(plan.target.cwd), plan.point.file)
    foreign = file == plan.point.file or _INSTALLED in file
    short = point.file if point is not None and foreign else file
    lines = run.source(point.file) if point is not None else None
    code = {"code": lines[plan.point.line - 1].strip()} if lines else {}
    return {"file": short, "line": plan.point.line, **code, "effect": plan.point.effect}


def _told(value: msgspec.Struct, plain: msgspec.Struct) -> dict[str, Any]:
    """Return the fields that are not as always, as data; the name of a target always."""
    data, usual = msgspec.to_builtins(value), msgspec.to_builtins(plain)
    return {name: _slim(data[name]) for name in data if data[name] != usual[name]}


def _slim(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_slim(one) for one in cast("Sequence[Any]", value)]
    if isinstance(value, dict):
        pairs = cast("dict[str, Any]", value).items()
        return {name: _slim(one) for name, one in pairs if one not in _NOTHING}
    return value


def _from(root: Path, name: str) -> str:
    """Return a path, or a target in a file, from `root` on, where it is below that."""
    return str(Path(name).relative_to(root)) if Path(name).is_relative_to(root) else name


# The file.


def written(source: str | None, found: Sequence[Case], *, target: str, root: str) -> str:
    """Return the source of the test file with these cases in it; None: there is no file yet.

    Args:
        source: what stands there.
        found: the cases of a run.
        target: the name of the pool, for the first line of a new file.
        root: an expression for the directory that the target is imported from, for a new file.

    Raises:
        UsageError: what stands there is no Python, or a test of the same name that cannot be brought up to date.
    """
    text = source if source is not None else _HEAD.format(target=target, root=root)
    for case in found:
        text = _with(text, case)
    return text


_HEAD: Final = '''"""What {target} broke once, and is to keep from now on.

Written by `poolproof promote`, which brings it up to date and never loosens it; the rest is yours.
"""

from pathlib import Path

from poolproof.regression import assert_kept

ROOT = {root}
'''


def _with(text: str, case: Case) -> str:
    call = _call_in(text, case.name)
    if call is None:
        return f"{text.rstrip()}\n\n\n{_function(case)}"
    old = _arguments(call, case.name)
    merged = Case(
        name=case.name,
        says=case.says,
        invariants=tuple(dict.fromkeys((*old["invariants"], *case.invariants))),
        times=max(old["times"], case.times),
        plan=stricter(old["plan"], case.plan),
    )
    lines = text.splitlines(keepends=True)
    assert call.end_lineno is not None
    before, after = "".join(lines[: call.lineno - 1]), "".join(lines[call.end_lineno :])
    return f"{before}{_call(merged, _root_of(call))}\n{after}"


def _call_in(text: str, name: str) -> ast.Call | None:
    """Return the call of `assert_kept` in the test of this name; None if there is no such test."""
    try:
        tree = ast.parse(text)
    except SyntaxError as error:
        raise UsageError(f"expected a Python file to bring up to date, got: {error}") from error
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name == name:
            for statement in node.body:
                if isinstance(statement, ast.Expr) and _calls(statement.value):
                    assert isinstance(statement.value, ast.Call)
                    return statement.value
            raise UsageError(
                f"expected {name} to call {_CALL}, got another test of that name; rename it"
            )
    return None


def _calls(node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] == _CALL


def _arguments(call: ast.Call, name: str) -> dict[str, Any]:
    try:
        given = {k.arg: ast.literal_eval(k.value) for k in call.keywords if k.arg != "root"}
        return {
            "invariants": given["invariants"],
            "times": int(given["times"]),
            "plan": dict(given["plan"]),
        }
    except (KeyError, ValueError, TypeError) as error:
        raise UsageError(
            f"expected plain data in the call of {_CALL} in {name}, got {error!r}; bring it up to date by hand"
        ) from error


def _root_of(call: ast.Call) -> str:
    return next((ast.unparse(k.value) for k in call.keywords if k.arg == "root"), '"."')


def stricter(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """Return the new plan, held to whatever the old one was stricter in."""
    merged = {**new, "target": _stricter_target(old.get("target", {}), new.get("target", {}))}
    usual = msgspec.to_builtins(Plan(target=Target(name="", cwd="", python="")))
    for size in _SIZES:
        most = max(old.get(size, usual[size]), new.get(size, usual[size]))
        if most != usual[size]:
            merged[size] = most
        else:
            merged.pop(size, None)
    return merged


def _stricter_target(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    usual = msgspec.to_builtins(Target(name="", cwd="", python=""))
    merged = {**new}
    deadline = min(old.get("deadline", usual["deadline"]), new.get("deadline", usual["deadline"]))
    merged.pop("deadline", None)
    if deadline != usual["deadline"]:
        merged["deadline"] = deadline
    if promises := _stricter_promises(old.get("promises", {}), new.get("promises", {})):
        merged["promises"] = promises
    else:
        merged.pop("promises", None)
    return merged


def _stricter_promises(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """Return all that is promised in either; a declared weakness (`contract`) only if it is in both."""
    merged = {**old, **{name: value for name, value in new.items() if value}}
    for name in _LOWER_IS_STRICTER:
        if name in old and name in new:
            merged[name] = min(old[name], new[name])
    weak = {k: v for k, v in new.get("contract", {}).items() if k in old.get("contract", {})}
    merged.pop("contract", None)
    return {**merged, "contract": weak} if weak else merged


def _function(case: Case) -> str:
    return f'def {case.name}() -> None:\n    """{case.says}"""\n{_call(case, "ROOT")}\n'


def _call(case: Case, root: str) -> str:
    return (
        f"    {_CALL}(\n        invariants={_source(case.invariants, 8)},\n        times={case.times},\n"
        f"        root={root},\n        plan={_source(case.plan, 8)},\n    )"
    )


def _source(value: Any, indent: int) -> str:
    """Return plain data as source, in the style of the usual formatters."""
    if isinstance(value, dict):
        pairs = cast("dict[str, Any]", value).items()
        parts = [f'"{name}": {_source(one, indent + 4)}' for name, one in pairs]
        return _bracketed("{", parts, "}", indent)
    if isinstance(value, list | tuple):
        parts = [_source(one, indent + 4) for one in cast("Sequence[Any]", value)]
        return _bracketed("[", parts, "]", indent)
    return json.dumps(value) if isinstance(value, str) else repr(value)


def _bracketed(left: str, parts: Sequence[str], right: str, indent: int) -> str:
    line = f"{left}{', '.join(parts)}{right}"
    if len(line) + indent <= _WIDTH and "\n" not in line:
        return line
    space = " " * (indent + 4)
    inner = "".join(f"{space}{part},\n" for part in parts)
    return f"{left}\n{inner}{' ' * indent}{right}"
