"""What commands share: a run to be named, a lease, a loop that ends cleanly, progress on screen."""

import argparse
import asyncio
import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Coroutine, Generator
from pathlib import Path
from typing import Any, TypeVar

from poolproof.cli import Terminated
from poolproof.errors import UsageError
from poolproof.isolation import leases

Result = TypeVar("Result")


@contextlib.contextmanager
def leased() -> Generator[leases.Lease]:
    """Clear what dead runs left, and claim a name and a private directory for this one."""
    require_linux()
    with leases.claimed(lambda line: print(f"poolproof: {line}", file=sys.stderr)) as lease:
        yield lease


def require_linux() -> None:
    """Raise UsageError where there is no /proc as Linux has it."""
    if not sys.platform.startswith("linux"):
        raise UsageError(
            f"expected Linux, whose /proc shows what a pool's processes do, got {sys.platform}"
        )


def add_run(parser: argparse.ArgumentParser) -> None:
    """Let a command be told which of the runs that were kept it is about."""
    parser.add_argument(
        "saved",
        nargs="?",
        type=Path,
        metavar="RUN",
        help="its directory, or its name (default: the newest)",
    )


@contextlib.contextmanager
def terminated_between() -> Generator[Callable[[], None]]:
    """Hear SIGTERM only where what is yielded is called, which then raises Terminated.

    In the middle of a loop that is not `run`'s own it would be taken for an error of whatever runs there.
    """
    came = threading.Event()

    def note(*_: object) -> None:
        came.set()

    before = signal.signal(signal.SIGTERM, note)

    def leave_if_told() -> None:
        if came.is_set():
            raise Terminated

    try:
        yield leave_if_told
    finally:
        signal.signal(signal.SIGTERM, before)


def run(main: Coroutine[Any, Any, Result]) -> Result:
    """Run a coroutine to its end; SIGINT and SIGTERM cancel it first, so that it can clear up.

    Raises:
        KeyboardInterrupt: SIGINT came.
        Terminated: SIGTERM came; raised only here, because an exception out of a signal handler would pass through
            whatever callback the loop is in, and there be logged and forgotten.
    """
    before = signal.getsignal(signal.SIGTERM)
    came = False

    async def stoppable() -> Result:
        task = asyncio.current_task()
        assert task is not None

        def stop() -> None:
            nonlocal came
            if not came:
                came = True
                task.cancel()

        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop)
        return await main

    try:
        return asyncio.run(stoppable())
    except asyncio.CancelledError:
        if not came:
            raise
        raise Terminated from None
    finally:
        signal.signal(signal.SIGTERM, before)


def add_results(parser: argparse.ArgumentParser, *, kept: str) -> None:
    """Add where a command writes what it has found, and where it keeps its runs, as `kept` says."""
    add = parser.add_argument
    add("--json", type=Path, metavar="FILE", help="write everything that was found to FILE")
    add("--out", type=Path, metavar="DIR", help=kept)


def writable(path: Path) -> Path:
    """Make the directory and return it; raise UsageError if nothing can be written there."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        probe = path / f".probe-{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise UsageError(
            f"expected a directory that can be written for --out, got {path}: {error}"
        ) from error
    return path.resolve()


def writable_file(path: Path | None, option: str = "--json") -> None:
    """Raise UsageError if a report could not be written there in the end; what is there stays as it is."""
    if path is None:
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        existed = path.exists()
        path.open("ab").close()
        if not existed:
            path.unlink()
    except OSError as error:
        raise UsageError(
            f"expected a file that can be written for {option}, got {path}: {error}"
        ) from error


def drawable_file(path: Path | None, option: str = "--plot") -> None:
    """Raise UsageError if a picture could not be drawn there in the end."""
    from poolproof.report import pictures  # noqa: PLC0415 - other commands need not pay for it

    writable_file(path, option)
    if path is not None and not pictures.available():
        raise UsageError(f"expected matplotlib for {option}, got none; install poolproof[perf]")


class Lines:
    """Progress for what is no terminal: a line when a phase begins, and nothing in between."""

    def phase(self, name: str, total: int) -> None:
        """Say that a phase begins."""
        if total:
            print(f"  {name}: {total}", file=sys.stderr, flush=True)

    def step(self, name: str) -> None:
        """Say nothing: a step is no line."""

    def over(self, name: str) -> None:
        """Say nothing: the next phase says it."""

    def close(self) -> None:
        """Nothing to close."""


class Bars:
    """Progress for a terminal: a bar for each phase, with an estimate of what is left."""

    def __init__(self) -> None:
        from rich import progress  # noqa: PLC0415 - only a terminal pays for it
        from rich.console import Console  # noqa: PLC0415

        self._progress = progress.Progress(
            progress.TextColumn("{task.description:>14}"),
            progress.BarColumn(),
            progress.MofNCompleteColumn(),
            progress.TimeElapsedColumn(),
            progress.TextColumn("left"),
            progress.TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        self._progress.start()
        self._tasks: dict[str, progress.TaskID] = {}
        self._totals: dict[str, int] = {}

    def phase(self, name: str, total: int) -> None:
        """Show the phase's bar; asked for again, it gets longer."""
        self._totals[name] = self._totals.get(name, 0) + total
        if name in self._tasks:
            self._progress.update(self._tasks[name], total=self._totals[name])
        else:
            self._tasks[name] = self._progress.add_task(name, total=total)

    def step(self, name: str) -> None:
        """Advance the phase's bar."""
        self._progress.advance(self._tasks[name])

    def over(self, name: str) -> None:
        """Remove the phase's bar, where there are to be many."""
        self._progress.remove_task(self._tasks.pop(name))
        self._totals.pop(name)

    def close(self) -> None:
        """Remove the bars."""
        self._progress.stop()


@contextlib.contextmanager
def progress() -> Generator[Lines | Bars]:
    """Yield the progress that suits standard error."""
    shown = Bars() if sys.stderr.isatty() else Lines()
    try:
        yield shown
    finally:
        shown.close()
