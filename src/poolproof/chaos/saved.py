"""What a check has left in its directory, read back: its result, its trials, the text of the pool's own code."""

import dataclasses
from functools import cached_property
from pathlib import Path
from typing import Final

import msgspec

from poolproof import history
from poolproof import plan as plans
from poolproof.chaos.result import RESULT_SCHEMA, Result
from poolproof.checkers import Trial
from poolproof.errors import UsageError

RUNS: Final = Path(".poolproof", "runs")
RESULT: Final = "result.json"
PLAN: Final = "plan.json"
"""The plan of a trial, in the trial's directory."""
SOURCES: Final = "sources"
"""Where the text of the pool's own code is kept, as it was when its lines were tried."""


class Run:
    """One saved run.

    Attributes:
        path: its directory.
        result: what was found.
    """

    def __init__(self, path: Path, result: Result) -> None:
        self.path = path
        self.result = result
        self._known: dict[str, Trial] = {}

    @cached_property
    def reference(self) -> Trial | None:
        """The trial in which nothing was broken, or None where none was saved."""
        row = next((row for row in self.result.faults if row.fault == "none"), None)
        return self._read(row.histories[0], None) if row and row.histories else None

    def trial(self, name: str) -> Trial:
        """Return the trial that was saved as `name`, with the reference that it is judged by.

        Raises:
            UsageError: it is gone, or its plan cannot be read.
        """
        if name not in self._known:
            self._known[name] = self._read(name, self.reference)
        return self._known[name]

    def _read(self, name: str, reference: Trial | None) -> Trial:
        directory = self.path / name
        plan = plans.load(directory / PLAN)
        target = msgspec.structs.replace(plan.target, promises=self.result.promises)
        try:
            events = tuple(history.read(directory / "history.jsonl"))
        except OSError as error:
            raise UsageError(
                f"expected the histories of the run in {self.path}, got {error}; check the target anew"
            ) from error
        plan = msgspec.structs.replace(plan, target=target)
        return Trial(plan, events, reference, name)

    def source(self, file: str) -> list[str] | None:
        """Return the lines of a file of the pool's own code as it was; None if it was not kept."""
        try:
            text = (self.path / SOURCES / file).read_text(errors="replace")
        except OSError:
            return None
        return text.splitlines()

    def output(self, name: str) -> str:
        """Return what the processes of a trial printed."""
        try:
            return (self.path / name / "output.log").read_text(errors="replace")
        except OSError:
            return ""


def open_run(name: Path | None) -> Run:
    """Return the run in a directory, of a `result.json`, of a name below `.poolproof/runs`; None: the newest there.

    Raises:
        UsageError: there is none, or another version has written it.
    """
    path = _newest() if name is None else _found(name)
    file = path / RESULT if path.is_dir() else path
    try:
        result = msgspec.json.decode(file.read_bytes(), type=Result)
    except OSError as error:
        raise UsageError(
            f"expected a run of `poolproof check`, got {error}; give its directory, or its name in {RUNS}"
        ) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"expected the result of a check in {file}, got: {error}") from error
    if result.schema != RESULT_SCHEMA:
        raise UsageError(
            f"expected result schema {RESULT_SCHEMA}, got {result.schema} in {file}; check the target anew"
        )
    return Run(file.parent.resolve(), result)


def _newest() -> Path:
    found = sorted(RUNS.glob(f"*/{RESULT}"), key=lambda file: file.stat().st_mtime)
    if not found:
        raise UsageError(
            f"expected a run in {RUNS}, got none; make one by `poolproof check TARGET`"
        )
    return found[-1].parent


def _found(name: Path) -> Path:
    named = RUNS / name
    return named if not name.exists() and named.exists() else name


def without_reference(trial: Trial) -> Trial:
    """Return the trial as it is judged where nothing was broken: by itself."""
    return dataclasses.replace(trial, reference=None)
