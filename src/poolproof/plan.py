"""A plan: everything that one trial needs, as data. Saved, replayed and shrunk; it outlives seeds and versions."""

from pathlib import Path
from typing import Any, Literal

import msgspec

from poolproof.errors import UsageError

SCHEMA = 1


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """What is checked, and how it is started.

    Attributes:
        name: as on the command line: `package.Name`, `package.module:factory`, `path/to/file.py:factory`.
        cwd: absolute directory that is importable in the host and in its workers.
        python: absolute path of the interpreter that runs the target.
        adapter: name of the adapter, or None to recognise the pool by its shape.
        own: top-level module names that count as the pool's own code; empty means inferred.
        workers: how many workers the factory is asked for.
        deadline: seconds that one job, and the factory, may take.
        promises: what the pool promises beyond "no silence", by name.
    """

    name: str
    cwd: str
    python: str
    adapter: str | None = None
    own: tuple[str, ...] = ()
    workers: int = 2
    deadline: float = 10.0
    promises: dict[str, Any] = {}


class FaultSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One fault to apply: the registered `kind`, whom it hits, and its numbers."""

    kind: str
    victim: str = ""
    options: dict[str, Any] = {}


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """A crash point: the first time that a worker is about to run this line, the effect happens there."""

    file: str
    line: int
    effect: Literal["kill", "raise", "hang"] = "kill"


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """One trial: start the pool, warm it up, break it under load, heal it, ask it again, stop it.

    Attributes:
        warmup: jobs that must all succeed before anything is broken.
        jobs: faulted jobs: those that carry, or are hit by, the fault.
        bystanders: jobs in flight beside them.
        fresh: jobs submitted after the heal.
        lives: how often the pool is started and stopped before what is left of its last life is judged.
        null: replace every inject by a no-op; such a trial can never be better than unknown.
    """

    target: Target
    faults: tuple[FaultSpec, ...] = ()
    point: Point | None = None
    warmup: int = 4
    jobs: int = 1
    bystanders: int = 2
    fresh: int = 4
    seed: int = 0
    null: bool = False
    lives: int = 1
    schema: int = SCHEMA


def load(path: Path) -> Plan:
    """Return the plan saved at `path`; raise UsageError if there is none that this version reads."""
    try:
        plan = msgspec.json.decode(path.read_bytes(), type=Plan)
    except OSError as error:
        raise UsageError(
            f"expected a plan file, got {error}; a plan is written by `poolproof check`"
        ) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"expected a plan of poolproof in {path}, got: {error}") from error
    if plan.schema != SCHEMA:
        raise UsageError(
            f"expected plan schema {SCHEMA}, got {plan.schema} in {path}; check the target anew"
        )
    return plan


def save(plan: Plan, path: Path) -> None:
    """Write the plan to `path`, and its directory if need be, as readable JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(plan), indent=2) + b"\n")
