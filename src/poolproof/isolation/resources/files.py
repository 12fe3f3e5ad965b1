"""Files that a test made outside of its own directory, and shared memory."""

import os
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from poolproof.isolation.blame import Notes
from poolproof.isolation.resources.base import Change, Finding, State, others_run

_SHARED_MEMORY: Final = "/dev/shm"


class Files:
    """Paths that this process made in the temporary directory, the root of the suite or the working directory.

    Only what was made by this process counts: the temporary directory is everybody's. What pytest keeps for
    itself, and what begins with a dot, is none of it.
    """

    slugs: Final = ("temporary-file", "file")
    fades: Final = False

    def __init__(self, notes: Notes, root: str, pytest_keeps: Callable[[], str | None]) -> None:
        """Begin to watch.

        Args:
            notes: where made paths are noted.
            root: the root of the suite.
            pytest_keeps: the directory below which tests have their `tmp_path`.
        """
        self._notes = notes
        self._root = os.path.realpath(root)
        self._temporary = tempfile.gettempdir()
        self._pytests = os.path.join(self._temporary, "pytest-of-")
        self._pytest_keeps = pytest_keeps

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
        name = path.rpartition(os.sep)[2]
        if (
            path.startswith(self._pytests)
            or name.startswith((".", "__pycache__"))
            or name.endswith(".pyc")
            or f"{os.sep}." in path
        ):
            return ""
        below = [
            folder for folder in (self._root, self._temporary) if path.startswith(folder + os.sep)
        ]
        nearest = max(below, key=len, default="")
        if nearest == self._root:
            return "file"
        return "temporary-file" if nearest and not path.startswith(self._pytests) else ""

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


def _remove_tree(path: Path) -> None:
    import shutil  # noqa: PLC0415 (only for those who leave directories)

    shutil.rmtree(path, ignore_errors=True)


class SharedMemory:
    """Segments and named semaphores in /dev/shm."""

    slugs: Final = ("shared-memory",)

    @property
    def fades(self) -> bool:
        """Whether another thread may yet end it."""
        return others_run()

    def look(self) -> State:
        """Return their names."""
        try:
            return dict.fromkeys(os.listdir(_SHARED_MEMORY), True)
        except OSError:
            return {}

    def judge(self, change: Change, notes: Notes) -> Finding | None:
        """Report a segment that is this user's and that this process maps or made."""
        name = str(change.key)
        path = f"{_SHARED_MEMORY}/{name}"
        site = notes.opened.get(path) or notes.segments.get(name)
        if not change.appeared or (site is None and not _mapped(path)) or not notes.mine(site):
            return None
        if not os.path.lexists(path):
            return None
        return Finding(resource="shared-memory", what=path, where=f"made at {site}" if site else "")

    def undo(self, change: Change) -> None:
        """Remove it."""
        with suppress(OSError):
            os.unlink(f"{_SHARED_MEMORY}/{change.key}")


def _mapped(path: str) -> bool:
    try:
        with open("/proc/self/maps", encoding="utf-8", errors="replace") as maps:
            return any(line.rstrip().endswith(path) for line in maps)
    except OSError:
        return False
