"""What a pool broke once, kept as a test: its saved plan, played again by plain pytest (`poolproof promote`).

Nothing here is imported by a suite that has no such test.
"""

import asyncio
import importlib.util
import re
import sys
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from poolproof import plan as plans
from poolproof.chaos.replay import Replayed, replay
from poolproof.errors import UsageError
from poolproof.isolation import leases
from poolproof.isolation.linux import require_linux
from poolproof.plan import Plan

_PLANS: Final = Path(".poolproof", "plans")
"""Where the plan of a test that failed is saved, for `poolproof replay`."""


class RegressionError(AssertionError):
    """A promoted plan did not pass.

    Attributes:
        poolproof_verdict: `invalid: ...`, or `unknown: ...` where nothing was proved.
        receipts: what proved the fault.
        replay: the command that plays it again.
    """

    def __init__(self, verdict: str, found: Replayed, reasons: Sequence[str], again: str) -> None:
        self.poolproof_verdict = verdict
        self.receipts = found.receipts
        self.replay = again
        proofs = [f"receipt: {text}" for text in found.receipts] or ["receipt: none"]
        story = [f"    {line}" for line in found.story]
        lines = [verdict, *(f"  {text}" for text in reasons), *proofs, *story, f"replay: {again}"]
        super().__init__("\n".join(lines))


class BrokenAgainError(RegressionError):
    """A promise is broken again."""


class UnprovenError(RegressionError):
    """Not one play proved anything: no receipt, or the fault cannot be applied here."""


def _say(line: str) -> None:
    sys.stderr.write(f"poolproof: {line}\n")


class _Silent:
    def phase(self, name: str, total: int) -> None:
        pass

    def step(self, name: str) -> None:
        pass


def assert_kept(
    *, plan: Mapping[str, Any], invariants: Collection[str], times: int, root: str | Path = "."
) -> None:
    """Play the plan in a process tree of its own, and require that it breaks none of these promises.

    Args:
        plan: as `poolproof promote` writes it: a plan without what belongs to one machine.
        invariants: the promises, as slugs.
        times: how often it is played; one play that proves something is enough to pass, one that breaks something
            to fail.
        root: the directory that the target is imported from, and that paths in the plan start at.

    Raises:
        BrokenAgainError: a promise is broken.
        UnprovenError: no play proved anything.
        UsageError: the plan cannot be read, or what it names is not there any more.
        TargetError: the pool cannot be started.
    """
    __tracebackhide__ = True  # pytest: what matters is what broke
    require_linux("a promoted test")
    whole = _materialised(plan, Path(root).resolve())
    with leases.claimed(_say) as lease:
        played = replay(whole, times, Path(lease.directory), lease.run, _Silent())
        found = asyncio.run(played)
    _require_kept(whole, found, tuple(invariants))


def _require_kept(plan: Plan, found: Replayed, invariants: Sequence[str]) -> None:
    __tracebackhide__ = True
    broken = [invariant for invariant in invariants if found.hits.get(invariant)]
    if broken:
        names = ", ".join(broken)
        verdict = f"invalid: {names}, in {found.broken} of {found.times} plays"
        reasons = [f"{name}: {found.reasons[name]}" for name in broken]
        raise BrokenAgainError(verdict, found, reasons, f"poolproof replay {_saved(plan, names)}")
    if found.unknown == found.times:
        verdict = f"unknown: nothing proved in {found.times} plays"
        again = f"poolproof replay {_saved(plan, 'unknown')}"
        raise UnprovenError(verdict, found, [found.why_unknown], again)


def _saved(plan: Plan, names: str) -> Path:
    fault = plan.faults[0].kind if plan.faults else "crash-point" if plan.point else "none"
    words = re.sub(
        r"[^a-z0-9]+", "-", f"{plan.target.name.rpartition('/')[2]} {fault} {names}".lower()
    )
    path = _PLANS / f"{words.strip('-')[-80:]}.json"
    plans.save(plan, path)
    return path


def _materialised(plan: Mapping[str, Any], root: Path) -> Plan:
    """Return the plan as this machine plays it: by this interpreter, from `root`, the crash point where it is by now.

    Raises:
        UsageError: it is no plan, or the line of its crash point is not there any more.
    """
    target = {"cwd": str(root), "python": sys.executable, **plan.get("target", {})}
    file, colon, factory = str(target.get("name", "")).rpartition(":")
    if file.endswith(".py"):
        target["name"] = f"{root / file}{colon}{factory}"
    data: dict[str, Any] = {**plan, "target": target}
    if point := plan.get("point"):
        data["point"] = {
            **point,
            **_place(str(point["file"]), int(point["line"]), point.get("code"), root),
        }
    try:
        return msgspec.convert(data, Plan)
    except msgspec.ValidationError as error:
        raise UsageError(
            f"expected a plan as `poolproof promote` writes it, got: {error}"
        ) from error


def _place(file: str, line: int, code: str | None, root: Path) -> dict[str, Any]:
    """Return where the line is by now: that with the same text which is nearest to where it was."""
    path = _module_file(file, root)
    if code is None:
        return {"file": str(path), "line": line}
    same = [n for n, text in enumerate(path.read_text().splitlines(), 1) if text.strip() == code]
    if not same:
        raise UsageError(
            f"expected the line {code!r} in {path}, got none like it: the code has changed;"
            " check the pool anew, and promote what is found, or delete the test"
        )
    return {"file": str(path), "line": min(same, key=lambda number: abs(number - line))}


def _module_file(file: str, root: Path) -> Path:
    if (here := root / file).is_file():
        return here
    package = file.removesuffix(".py").split("/")[0]
    spec = importlib.util.find_spec(package)
    places = list(spec.submodule_search_locations or ()) if spec else []
    candidates = [Path(place).parent / file for place in places]
    candidates += [Path(spec.origin)] if spec and spec.origin else []
    found = next((path for path in candidates if path.is_file()), None)
    if found is None:
        raise UsageError(f"expected {file} below {root}, or importable here, got neither")
    return found
