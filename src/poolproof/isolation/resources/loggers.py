"""The configuration of logging: levels, handlers, filters."""

import logging
from collections.abc import Hashable  # noqa: TC003
from typing import Any, Final

from poolproof.isolation.blame import Notes
from poolproof.isolation.resources.base import ABSENT, Change, Finding, State, shown

_ROOT: Final = "root"
_Configuration = tuple[int, bool, bool, tuple[Any, ...], tuple[Any, ...]]
_FRESH: Final[_Configuration] = (logging.NOTSET, False, True, (), ())


class Loggers:
    """Each logger that is configured at all, and the switch above them."""

    slugs = ("logging",)
    steady = False
    fades = False

    def __init__(self) -> None:
        self._disable = logging.root.manager.disable

    def look(self) -> State:
        """Return what is configured; a logger as it is made has nothing to say."""
        found: dict[Hashable, object] = {_ROOT: _configuration(logging.root)}
        for name, logger in logging.root.manager.loggerDict.copy().items():
            if isinstance(logger, logging.Logger):
                configuration = _configuration(logger)
                if configuration != _FRESH:
                    found[name] = configuration
        found["disable", ""] = logging.root.manager.disable
        return found

    def judge(self, change: Change, notes: Notes) -> Finding | None:
        """Report what was configured by anything but an import of the logger's own package."""
        if isinstance(change.key, tuple):
            what = f"logging.disable: {change.old} -> {change.new}"
            return Finding(resource="logging", what=what)
        name = str(change.key)
        if name.partition(".")[0] in notes.imported:
            return None
        old: Any = _FRESH if change.old is ABSENT else change.old
        new: Any = _FRESH if change.new is ABSENT else change.new
        parts = [
            f"{field} {_shown(before)} -> {_shown(after)}"
            for field, before, after in zip(_FIELDS, old, new, strict=True)
            if before != after
        ]
        return Finding(resource="logging", what=f"logger {name!r}: {', '.join(parts)}")

    def undo(self, change: Change) -> None:
        """Configure it as it was."""
        if isinstance(change.key, tuple):
            assert isinstance(change.old, int)
            logging.disable(change.old)
            return
        name = str(change.key)
        logger = logging.root if name == _ROOT else logging.getLogger(name)
        old: Any = _FRESH if change.old is ABSENT else change.old
        level, logger.disabled, logger.propagate, handlers, filters = old
        logger.setLevel(level)
        theirs = [h for h in logger.handlers if not _told(h)]
        logger.handlers[:] = [*handlers, *theirs]
        logger.filters[:] = [*filters, *(f for f in logger.filters if not _told(f))]


_FIELDS: Final = ("level", "disabled", "propagate", "handlers", "filters")


def _configuration(logger: logging.Logger) -> _Configuration:
    handlers = tuple([h for h in logger.handlers if _told(h)]) if logger.handlers else ()
    filters = tuple([f for f in logger.filters if _told(f)]) if logger.filters else ()
    return (logger.level, logger.disabled, logger.propagate, handlers, filters)


def _told(thing: object) -> bool:
    """Tell whether a handler or filter counts: pytest's and ours come and go, a NullHandler does nothing."""
    return type(thing).__name__ not in ("NullHandler", "_LiveLoggingNullHandler") and not type(
        thing
    ).__module__.startswith(("_pytest", "poolproof"))


def _shown(value: Any) -> str:
    return shown([*value]) if hasattr(value, "__iter__") else shown(value)
