"""Runs of suites as data, in as few words as a test needs."""

from collections.abc import Mapping
from typing import Any

from poolproof.isolation.runs.records import Case, Leak, Record, Warned
from poolproof.isolation.verify import Mode, Run, Step


def run(mode: Mode = "serial", /, *cases: Case, **given: Any) -> Run:
    """Return a run of these cases.

    Each keyword is a test with its outcome, but for `lost`, `warnings`, `seed` and `code`, which tell of the run.
    """
    lost, seed, code = given.pop("lost", ()), given.pop("seed", None), given.pop("code", 0)
    warnings: tuple[Warned, ...] = given.pop("warnings", ())
    found = {name: case(name, outcome, at=at) for at, (name, outcome) in enumerate(given.items())}
    found.update((each.test, each) for each in cases)
    workers = 2 if mode == "parallel" else 0
    record = Record(
        tests=found,
        collected=(*found, *lost),
        workers=workers,
        warnings=warnings,
        exit=code,
        seconds=1.0,
    )
    return Run(step=Step(mode=mode, seed=seed, workers=workers), record=record)


def case(
    name: str,
    outcome: str = "passed",
    *,
    at: float = 0.0,
    worker: str = "main",
    seconds: Mapping[str, float] | float = 0.001,
    message: str = "",
    markers: tuple[str, ...] = (),
    leaks: tuple[Leak, ...] | None = (),
    waited: float = 0.0,
    released: int = 0,
    verified: int = 0,
    reruns: int = 0,
) -> Case:
    """Return a test in a run; a guard has looked at it, unless `leaks` is None."""
    phases = seconds if isinstance(seconds, Mapping) else {"call": seconds}
    return Case(
        test=name,
        outcome=outcome,
        at=at,
        worker=worker,
        seconds=phases,
        message=message,
        markers=markers,
        leaks=leaks,
        waited=waited,
        released=released,
        verified=verified,
        reruns=reruns,
    )
