"""Single settings: each is read in one call, and most can be put back in one."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Final, NamedTuple

from poolproof.isolation.blame import Notes
from poolproof.isolation.resources.base import ABSENT, Change, Finding, State, shown


class Setting(NamedTuple):
    """One setting: the kind of resource it is, its name, how it is read, how it is put back, and what is harmless."""

    resource: str
    name: str
    read: Callable[[], Any]
    write: Callable[[Any], object] | None = None
    harmless: object = ABSENT


class Settings:
    """Settings of one sort. What cannot be read on this platform is left out from the beginning."""

    fades: Final = False
    steady: Final = False

    def __init__(self, settings: Sequence[Setting]) -> None:
        self._settings = {s.name: s for s in settings if _readable(s)}
        self._reads = [(s.name, s.read) for s in self._settings.values()]
        self.slugs = tuple(dict.fromkeys(s.resource for s in self._settings.values()))

    def look(self) -> State:
        """Read each setting."""
        return {name: read() for name, read in self._reads}

    def judge(self, change: Change, notes: Notes) -> Finding | None:
        """Report every change but one to the value that does no harm."""
        setting = self._settings[str(change.key)]
        if change.new == setting.harmless:
            return None
        site = notes.settings.get(setting.resource)
        return Finding(
            resource=setting.resource,
            what=difference(setting.name, change.old, change.new),
            where=str(site or ""),
        )

    def undo(self, change: Change) -> None:
        """Write the old value."""
        write = self._settings[str(change.key)].write
        if write is not None:
            with suppress(OSError, ValueError):
                write(change.old)


def difference(name: str, old: object, new: object) -> str:
    """Return the change of a value as text: of two sequences only what came and went."""
    if isinstance(old, tuple) and isinstance(new, tuple):
        came = [shown(x) for x in new if x not in old]
        went = [shown(x) for x in old if x not in new]
        parts = [*(f"+{text}" for text in came), *(f"-{text}" for text in went)]
        return f"{name}: {', '.join(parts) or 'another order'}"
    return f"{name}: {shown(old)} -> {shown(new)}"


def _readable(setting: Setting) -> bool:
    try:
        setting.read()
    except (OSError, ValueError, AttributeError, ImportError):
        return False
    return True
