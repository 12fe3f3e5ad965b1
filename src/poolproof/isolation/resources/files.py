"""Files that a test made outside of its own directory, and shared memory."""

import os
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from poolproof.isolation.blame import Notes
from poolproof.isolation.resources.base import Change, Finding, State, others_run

_SHARED_MEMORY: Final = "/dev/shm/"


class Files:
    """Paths that this process made in the temporary directory, the root of the suite or the working directory.

    Only what was made by this process counts: the temporary directory is everybody's. What pytest keeps for
    itself, and what begins with a dot, is none of it.
    """

    slugs = ("temporary-file", "file")
    steady = False
    fades = False

    def __init__(self, notes: Notes, root: str, pytest_keeps: Callable[[], str | None]) -> None:
        """Begin to watch.

        Args:
            notes: where made paths are noted.
            root: the root of the suite.
            pytest_keeps: the directory below which tests have their `tmp_path`.
        """
        self._notes = notes
        temporary = tempfile.gettempdir()
        self._places = {
            os.path.join(temporary, ""): "temporary-file",
            _of_pytest(temporary): "",
            os.path.join(os.path.realpath(root), ""): "file",
        }
        self._pytest_keeps = pytest_keeps
        # Every run's, made by the first that needs it, as each place below is (leases.home).
        self._leases = f"{os.sep}poolproof-{os.getuid()}"

    def look(self) -> State:
        """Return what was made in this turn and is still there."""
        if not self._notes.made:
            return {}
        kept = self._pytest_keeps()
        return {
            path: True
            for path in list(self._notes.made)
            if self._slug(path) and os.path.lexists(path) and not (kept and path.startswith(kept))
        }

    def _slug(self, path: str) -> str:
        if path.endswith(self._leases) or f"{self._leases}{os.sep}" in path:
            return ""
        name = path.rpartition(os.sep)[2]
        if (shared := _of_multiprocessing()) and path.startswith(shared):
            return ""
        if name.startswith("__pycache__") or name.endswith(".pyc") or f"{os.sep}." in path:
            return ""
        below = [place for place in self._places if path.startswith(place)]
        return self._places[max(below, key=len)] if below else ""

    def judge(self, change: Change, notes: Notes) -> Finding | None:
        """Report the topmost of what was made."""
        path = str(change.key)
        site = notes.made.get(path)
        parent = os.path.dirname(path)
        if not change.appeared or parent in notes.made or not notes.mine(site):
            return None
        where = f"made at {site}" if site else ""
        return Finding(resource=self._slug(path), what=path, where=where)

    def undo(self, change: Change) -> None:
        """Remove it."""
        path = Path(str(change.key))
        with suppress(OSError):
            if path.is_dir() and not path.is_symlink():
                _remove_tree(path)
            else:
                path.unlink()


def _of_pytest(temporary: str) -> str:
    """Return how all begins that pytest keeps from run to run; `tmp_path_factory` finds it in the same way."""
    root = os.environ.get("PYTEST_DEBUG_TEMPROOT") or temporary
    return os.path.join(os.path.realpath(root), "pytest-of-")


def _of_multiprocessing() -> str:
    """Return the directory that multiprocessing makes at its first use, for the whole life of the process."""
    module = sys.modules.get("multiprocessing.process")
    process: Any = module and module.current_process()
    return process._config.get("tempdir") or "" if process else ""  # noqa: SLF001


def _remove_tree(path: Path) -> None:
    import shutil  # noqa: PLC0415 (only for those who leave directories)

    shutil.rmtree(path, ignore_errors=True)


class SharedMemory:
    """Segments in /dev/shm that this process has mapped: the folder itself is everybody's."""

    slugs = ("shared-memory",)
    steady = False

    def __init__(self, notes: Notes) -> None:
        self._notes = notes

    @property
    def fades(self) -> bool:
        """Whether another thread may yet end it."""
        return others_run()

    def look(self) -> State:
        """Return those that are still there."""
        segments = self._notes.segments
        return {name: True for name in list(segments) if os.path.lexists(_SHARED_MEMORY + name)}

    def judge(self, change: Change, notes: Notes) -> Finding | None:
        """Report a segment that was made in this turn."""
        site = notes.segments.get(str(change.key))
        if not change.appeared or not notes.mine(site):
            return None
        where = f"mapped at {site}" if site else ""
        return Finding(resource="shared-memory", what=f"{_SHARED_MEMORY}{change.key}", where=where)

    def undo(self, change: Change) -> None:
        """Remove it."""
        with suppress(OSError):
            os.unlink(f"{_SHARED_MEMORY}{change.key}")
