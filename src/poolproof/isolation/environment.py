"""The environment variables that a sandbox has changed, and their way back."""

import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from poolproof.errors import UsageError

# What each word of `redirect` stands for: the variable, and the directory that it is sent to.
REDIRECTIONS: Final = {
    "HOME": (("HOME", "home"),),
    "TMPDIR": (("TMPDIR", "tmp"),),
    "XDG": (
        ("XDG_CACHE_HOME", "cache"),
        ("XDG_CONFIG_HOME", "config"),
        ("XDG_DATA_HOME", "data"),
        ("XDG_STATE_HOME", "state"),
    ),
}


class Environment:
    """Changes of `os.environ` that are undone in the end; what others have changed stays theirs."""

    def __init__(self) -> None:
        self._before: dict[str, str | None] = {}
        self._tempdir: list[str | None] = []

    def set(self, name: str, value: str | None) -> None:
        """Set a variable, or remove it where `value` is None."""
        self._before.setdefault(name, os.environ.get(name))
        _put(name, value)

    def redirect(self, words: tuple[str, ...], directory: Callable[[str], Path]) -> None:
        """Send HOME, TMPDIR and the XDG directories, or those of them that are named, to directories of `directory`.

        Raises:
            UsageError: a word is none of these.
        """
        unknown = [word for word in words if word not in REDIRECTIONS]
        if unknown:
            raise UsageError(
                f"expected words among {', '.join(REDIRECTIONS)}, got {', '.join(unknown)}"
            )
        for word in words or tuple(REDIRECTIONS):
            for name, label in REDIRECTIONS[word]:
                self.set(name, str(directory(label)))
            if word == "TMPDIR":
                self._tempdir.append(tempfile.tempdir)
                tempfile.tempdir = None  # it remembers what it has found once

    def restore(self) -> Iterator[tuple[str, bool]]:
        """Undo every change; yield each variable, and whether it is as it was."""
        while self._tempdir:
            tempfile.tempdir = self._tempdir.pop()
        while self._before:
            name, value = self._before.popitem()
            _put(name, value)
            yield f"variable {name}", os.environ.get(name) == value


def _put(name: str, value: str | None) -> None:
    if value is None:
        os.environ.pop(name, None)
    else:
        os.environ[name] = value
