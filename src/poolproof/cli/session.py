"""What every command that starts processes shares: a name, a lease, a loop that ends cleanly, progress on screen."""

import asyncio
import contextlib
import os
import secrets
import sys
import time
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

from poolproof.errors import UsageError
from poolproof.isolation import leases

Result = TypeVar("Result")


@contextlib.contextmanager
def leased() -> Iterator[leases.Lease]:
    """Clear what dead runs left, and claim a name and a private directory for this one."""
    require_linux()
    for line in leases.reap():
        print(f"poolproof: cleared {line}", file=sys.stderr)
    lease = leases.take(f"{time.strftime('%m%d-%H%M%S')}-{secrets.token_hex(3)}")
    try:
        yield lease
    finally:
        leases.release(lease)


def require_linux() -> None:
    """Raise UsageError where there is no /proc as Linux has it."""
    if not sys.platform.startswith("linux"):
        raise UsageError(f"expected Linux, whose /proc shows what a pool's processes do, got {sys.platform}")


def run(main: Coroutine[Any, Any, Result]) -> Result:
    """Run a coroutine to its end; an interruption cancels it first, so that it can clear up."""
    return asyncio.run(main)


def writable(path: Path) -> Path:
    """Make the directory and return it; raise UsageError if nothing can be written there."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        probe = path / f".probe-{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise UsageError(f"expected a directory that can be written for --out, got {path}: {error}") from error
    return path.resolve()


class Lines:
    """Progress for what is no terminal: a line when a phase begins, and nothing in between."""

    def phase(self, name: str, total: int) -> None:
        """Say that a phase begins."""
        if total:
            print(f"  {name}: {total}", file=sys.stderr, flush=True)

    def step(self) -> None:
        """Say nothing: a step is no line."""

    def close(self) -> None:
        """Nothing to close."""


class Bars:
    """Progress for a terminal: a bar for the phase, with an estimate of what is left."""

    def __init__(self) -> None:
        from rich.console import Console  # noqa: PLC0415 - only a terminal pays for it
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn  # noqa: PLC0415
        from rich.progress import TimeElapsedColumn, TimeRemainingColumn  # noqa: PLC0415

        columns = (TextColumn("{task.description:>14}"), BarColumn(), MofNCompleteColumn())
        times = (TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn())
        self._progress = Progress(*columns, *times, console=Console(stderr=True), transient=True)
        self._progress.start()
        self._task: Any = None

    def phase(self, name: str, total: int) -> None:
        """Begin a bar."""
        if self._task is not None:
            self._progress.remove_task(self._task)
        self._task = self._progress.add_task(name, total=total)

    def step(self) -> None:
        """Advance the bar."""
        self._progress.advance(self._task)

    def close(self) -> None:
        """Remove the bar."""
        self._progress.stop()


@contextlib.contextmanager
def progress() -> Iterator[Lines | Bars]:
    """Yield the progress that suits standard error."""
    shown = Bars() if sys.stderr.isatty() else Lines()
    try:
        yield shown
    finally:
        shown.close()
