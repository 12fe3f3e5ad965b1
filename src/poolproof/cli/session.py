"""What commands share: a run to be named, a lease, a loop that ends cleanly, progress on screen."""

import argparse
import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Callable, Coroutine, Generator
from pathlib import Path
from types import FrameType
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


def _do_nothing() -> None:
    """Until there is something to cancel, a signal is only noted."""


class Heard:
    """Which of SIGINT and SIGTERM has come; a second Ctrl-C raises KeyboardInterrupt wherever it comes.

    Attributes:
        number: the first of them; None as long as there is none.
        at_once: called when it comes.
    """

    def __init__(self) -> None:
        self.number: int | None = None
        self.at_once: Callable[[], object] = _do_nothing

    def hear(self, number: int, _frame: FrameType | None) -> None:
        """Be the handler of both."""
        if self.number == number == signal.SIGINT:
            raise KeyboardInterrupt
        self.number = self.number or number
        self.at_once()

    def leave_if_told(self) -> None:
        """Raise KeyboardInterrupt or Terminated if one has come."""
        if self.number is not None:
            raise Terminated if self.number == signal.SIGTERM else KeyboardInterrupt


@contextlib.contextmanager
def hearing() -> Generator[Heard]:
    """Only note SIGINT and SIGTERM, for the length of a block; what is ignored stays so.

    An exception out of a signal's handler would pass through whatever is running: a loop takes it for an error of its
    callback, and forgets it; a loop that is just being made is never closed.
    """
    heard = Heard()
    numbers = [n for n in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(n) != signal.SIG_IGN]
    before = {number: signal.signal(number, heard.hear) for number in numbers}
    try:
        yield heard
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def run(main: Coroutine[Any, Any, Result]) -> Result:
    """Run a coroutine to its end; SIGINT and SIGTERM cancel it first, so that it can clear up.

    Raises:
        KeyboardInterrupt: SIGINT came.
        Terminated: SIGTERM came.
    """
    with hearing() as heard:
        try:
            result = asyncio.run(_stoppable(main, heard))
        except asyncio.CancelledError:
            heard.leave_if_told()
            raise
        heard.leave_if_told()
        return result


async def _stoppable(main: Coroutine[Any, Any, Result], heard: Heard) -> Result:
    task = asyncio.current_task()
    assert task is not None
    loop = asyncio.get_running_loop()
    heard.at_once = lambda: loop.call_soon_threadsafe(task.cancel)
    try:
        if heard.number is not None:  # it came before there was a task
            task.cancel()
        return await main
    finally:
        heard.at_once = _do_nothing


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
