"""Crash points: record the lines of a pool that its workers pass, or strike a worker at one.

What a trial asks for is in its points.json: `mode` (record or strike), `own` (directories ending
in a slash, or single files), and for a strike `file`, `line` and `effect` (kill, raise or hang).
Without that file, nothing is followed.

Forked workers are reached by a fork hook that the owner sets, and spawned ones by agent/site
through the environment; a worker whose interpreter is told to ignore its environment (`-E`, `-I`,
`-S`) is not reached. Before Python 3.12, where a thread has one trace function, another tracer is
called beside ours if it was there first; one that comes later takes our place.
"""

import _thread
import json
import os
import signal
from collections.abc import Iterable, Sequence
from types import CodeType
from typing import Any, Final, NoReturn, Protocol

from poolproof.agent import journal, tracing
from poolproof.agent.containment import TRACKERS, started_module
from poolproof.agent.ownership import infer_own, own_paths

__all__ = ["InjectedError", "arm_owner", "arm_spawned", "infer_own", "own_paths", "part"]

_POOLPROOF: Final = os.path.dirname(os.path.dirname(__file__)) + os.sep


class InjectedError(Exception):
    """Raised at a crash point by poolproof, never by the target."""


class Watcher(tracing.Watcher, Protocol):
    """What a trial does at the lines that its workers pass."""

    def renew(self) -> None:
        """Begin anew in a process just forked."""
        ...


class Recorder:
    """Journals each line of the pool's own code when this process passes it for the first time."""

    def __init__(self, own: Iterable[str]) -> None:
        paths = tuple(own)
        self._directories = tuple(path for path in paths if path.endswith(os.sep))
        # Of poolproof only what is named itself: our own pools, if they are the target.
        self._ours = tuple(path for path in self._directories if path.startswith(_POOLPROOF))
        self._files = frozenset(paths) - frozenset(self._directories)
        self._wanted: dict[str, bool] = {}
        self._seen: set[tuple[str, int]] = set()
        self._write = journal.write  # the globals of this module are gone before the interpreter is

    def renew(self) -> None:
        """Forget what the parent passed."""
        self._seen.clear()

    def wants(self, code: CodeType, /) -> bool:
        """Say whether `code` is the pool's own."""
        name = code.co_filename
        wanted = self._wanted.get(name)
        if wanted is None:
            wanted = self._wanted[name] = self._is_own(name)
        return wanted

    def _is_own(self, name: str) -> bool:
        if name.startswith(_POOLPROOF):
            return name.startswith(self._ours) or name in self._files
        return name in self._files or name.startswith(self._directories)

    def passed(self, code: CodeType, line: int, /) -> None:
        """Journal this line, once."""
        point = (code.co_filename, line)
        if point in self._seen:
            return
        self._seen.add(point)
        # The body of a module or a class, which runs on import, is no function: those alone have
        # optimised locals (inspect.CO_OPTIMIZED).
        body = not code.co_flags & 1
        place = {"file": code.co_filename, "line": line, "name": code.co_qualname, "body": body}
        self._write("point", data=place)


class Striker:
    """Has its effect at the first pass of one line in the trial, in whichever process that is."""

    def __init__(self, file: str, line: int, effect: str, claim: str) -> None:
        self._file = file
        self._line = line
        self._effect = effect
        self._claim = claim
        self._over = False
        self._holds: dict[CodeType, bool] = {}

    def renew(self) -> None:
        """Nothing to forget: what was struck in the parent is struck."""

    def wants(self, code: CodeType, /) -> bool:
        """Say whether `code` holds the line."""
        if code.co_filename != self._file or self._over:
            return False
        if code not in self._holds:
            self._holds[code] = any(line == self._line for _, _, line in code.co_lines())
        return self._holds[code]

    def passed(self, _code: CodeType, line: int, /) -> None:
        """Strike, if it is the line and no process was here before."""
        if line != self._line or self._over:
            return
        self._over = True
        if _claimed(self._claim):
            place = {"file": self._file, "line": line}
            journal.write("strike", data={**place, "effect": self._effect, "born": journal.born()})
            _EFFECTS[self._effect](self._file, line)


def _claimed(path: str) -> bool:
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))
    except FileExistsError:
        return False
    except OSError as error:
        _note("could not claim the crash point", error)
        return False
    return True


def _kill(_file: str, _line: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _raise(file: str, line: int) -> NoReturn:
    raise InjectedError(f"injected at {file}:{line}")


def _hang(_file: str, _line: int) -> NoReturn:
    # As a line hangs that waits for what never comes: without the interpreter's lock, and with
    # signals handled.
    lock = _thread.allocate_lock()
    while True:
        lock.acquire()


_EFFECTS: Final = {"kill": _kill, "raise": _raise, "hang": _hang}


def watcher(asked: dict[str, Any], trial_dir: str) -> Watcher:
    """Return what follows the lines that a points.json asks for.

    Raises:
        ValueError: it asks for nothing known.
    """
    mode, effect = asked.get("mode"), asked.get("effect")
    if mode == "record":
        return Recorder(asked["own"])
    if mode == "strike" and effect in _EFFECTS:
        return Striker(asked["file"], asked["line"], effect, os.path.join(trial_dir, "struck"))
    known = ", ".join(_EFFECTS)
    raise ValueError(
        f"expected points.json to record or to strike ({known}), got {mode} ({effect})"
    )


class _Arms:
    """How this process follows its lines, and how a process forked from it will."""

    def __init__(self, watcher: Watcher) -> None:
        self._watcher = watcher
        self._backend: tracing.Backend | None = None

    def take(self) -> None:
        """Follow the lines of this process from now on."""
        try:
            if self._backend is None:
                self._backend = tracing.follow(self._watcher)
            else:
                self._watcher.renew()
                self._backend.start()
        except Exception as error:  # noqa: BLE001 - never the target's trouble
            _note("could not follow the lines of this process", error)


def _read(trial_dir: str) -> Watcher | None:
    try:
        with open(os.path.join(trial_dir, "points.json"), "rb") as file:
            return watcher(json.load(file), trial_dir)
    except FileNotFoundError:
        return None


def arm_owner(trial_dir: str) -> None:
    """Follow the lines of every process forked from this one, from its first frame; not its own.

    Raises:
        ValueError: points.json asks for nothing known.
        OSError: it is there and cannot be read.
    """
    if watched := _read(trial_dir):
        os.register_at_fork(after_in_child=_Arms(watched).take)


def arm_spawned(trial_dir: str, argv: Sequence[str]) -> None:
    """Follow the lines of this process, just begun with `argv`, as its part asks; never raise."""
    try:
        role = part(argv)
        if role != "servant" and (watched := _read(trial_dir)):
            arms = _Arms(watched)
            os.register_at_fork(after_in_child=arms.take)
            if role == "worker":
                arms.take()
    except Exception as error:  # noqa: BLE001 - an interpreter that does not start is never our doing
        _note("could not read what to do at crash points", error)


def part(argv: Sequence[str]) -> str:
    """Return the part that a process with this command line plays in a pool.

    Returns:
        servant: a tracker of resources or semaphores, which runs no jobs and forks nothing;
        forkserver: runs no jobs, but forks what does;
        worker: everything else.
    """
    module = started_module(argv)
    if module in TRACKERS:
        return "servant"
    return "forkserver" if module == "forkserver" else "worker"


def _note(what: str, error: Exception) -> None:
    journal.write("note", error=type(error).__name__, message=f"{what}: {error}"[:500])
