"""Functions and classes that were put in the place of others, in the suite's own modules and a few of everybody's."""

import sys
import types
from collections.abc import Hashable, Iterable, Iterator, Mapping
from typing import Any, Final

from poolproof.isolation.blame import Notes, is_own
from poolproof.isolation.resources.base import ABSENT, Change, Finding, State

# Where tests most often put a double and forget it.
EVERYBODYS: Final = (
    "asyncio", "builtins", "datetime", "os", "os.path", "random", "shutil", "socket", "subprocess",
    "tempfile", "threading", "time", "urllib.request", "uuid",
)  # fmt: skip
MOST_NAMES: Final = 5

_CODE: Final = (types.FunctionType, types.BuiltinFunctionType, type, types.MethodType)
# pytest and the interactive prompt set the first; on Python 3.11, a simulation hears of threads by the other.
_MOVING: Final = {
    "builtins": frozenset({"_", "copyright", "credits", "exit", "quit", "license", "help"}),
    "threading": frozenset({"_start_new_thread"} if sys.version_info < (3, 12) else ()),
}


class _Copy:
    """The names of a module as they were; equal to itself alone, so that comparing two is one step."""

    __slots__ = ("names", "values")

    def __init__(self, names: Mapping[str, Any]) -> None:
        self.names: dict[str, Any] = dict(names)
        self.values = list(self.names.values())

    def fits(self, names: Mapping[str, Any]) -> bool:
        """Tell whether nothing has changed: by the values in their order, three times faster than by the names."""
        try:
            return bool(self.values == [*names.values()])
        except Exception:  # noqa: BLE001 (values of strangers compare as they like)
            return False

    def shed(self) -> None:
        """Keep only what may be bound again: data of former times would be kept alive for nothing."""
        self.values.clear()
        self.names = {
            n: v for n, v in self.names.items() if isinstance(v, _CODE) or n == "__spec__"
        }


class Functions:
    """The names in modules. A name that is bound to other data is a module's own affair; other code is not."""

    slugs = ("function",)
    steady = True
    fades = False

    def __init__(self) -> None:
        self._copies: dict[str, _Copy] = {}
        self._watched: dict[str, bool] = {}
        self._modules: list[tuple[str, types.ModuleType]] = []
        self._number = 0
        self._state: State = {}

    def look(self) -> State:
        """Return a copy of each watched module's names, the last one again where nothing has changed."""
        changed = False
        if self._number != len(sys.modules):
            self._number, changed = len(sys.modules), True
            self._modules = list(self._chosen())
        for name, module in self._modules:
            copy = self._copies.get(name)
            if copy is None or not copy.fits(module.__dict__):
                if copy is not None:
                    copy.shed()
                self._copies[name] = _Copy(module.__dict__)
                changed = True
        if changed:
            self._state = {name: self._copies[name] for name, _ in self._modules}
        return self._state

    def _chosen(self) -> Iterator[tuple[str, types.ModuleType]]:
        watched = self._watched
        for name, module in sys.modules.copy().items():
            wanted = watched.get(name)
            if wanted is None:
                wanted = watched[name] = name in EVERYBODYS or _is_suites(module)
            if wanted:
                yield name, module

    def judge(self, change: Change, notes: Notes) -> Finding | None:
        """Report functions and classes that were replaced, unless the module was imported anew."""
        del notes
        names = [name for name, _ in _replaced(str(change.key), change.old, change.new)]
        if not names:
            return None
        more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
        what = ", ".join(names[:MOST_NAMES])
        return Finding(resource="function", what=f"{change.key}: {what}{more} replaced")

    def undo(self, change: Change) -> None:
        """Bind the old ones again."""
        module = sys.modules.get(str(change.key))
        for name, old in _replaced(str(change.key), change.old, change.new):
            setattr(module, name, old)


def _is_suites(module: object) -> bool:
    file = getattr(module, "__file__", None)
    return isinstance(module, types.ModuleType) and isinstance(file, str) and is_own(file)


def _replaced(module: str, old: object, new: object) -> Iterable[tuple[str, Any]]:
    """Yield the names, with the old value, under which there is other code now, or none."""
    if not isinstance(old, _Copy) or not isinstance(new, _Copy) or _anew(old, new):
        return
    moving = _MOVING.get(module, frozenset())
    for name, before in old.names.items():
        after = new.names.get(name, ABSENT)
        if before is not after and isinstance(before, _CODE) and name not in moving:
            yield name, before


def _anew(old: _Copy, new: _Copy) -> bool:
    """Tell whether it is another module object, or one that was reloaded: that is `module`'s to report."""
    return old.names.get("__spec__") is not new.names.get("__spec__")


class ClassAttributes:
    """Attributes of the suite's own classes; not looked at unless the policy asks for it."""

    slugs = ("class-attribute",)
    steady = True
    fades = False

    def __init__(self) -> None:
        self._copies: dict[type, _Copy] = {}

    def look(self) -> State:
        """Return a copy of each class's attributes, the last one again where nothing has changed."""
        found: dict[Hashable, object] = {}
        for cls in _classes():
            copy = self._copies.get(cls)
            if copy is None or not copy.fits(cls.__dict__):
                copy = self._copies[cls] = _Copy(cls.__dict__)
            found[cls] = copy
        self._copies = {cls: copy for cls, copy in self._copies.items() if cls in found}
        return found

    def judge(self, change: Change, notes: Notes) -> Finding | None:
        """Report attributes that were set, replaced or deleted; not those that Python writes itself."""
        del notes
        names = [name for name, _ in _attributes(change)]
        if not names:
            return None
        assert isinstance(change.key, type)
        what = f"{change.key.__module__}.{change.key.__qualname__}: {', '.join(names[:MOST_NAMES])}"
        return Finding(resource="class-attribute", what=f"{what} changed")

    def undo(self, change: Change) -> None:
        """Set the old values again."""
        assert isinstance(change.key, type)
        for name, old in _attributes(change):
            if old is ABSENT:
                delattr(change.key, name)
            else:
                setattr(change.key, name, old)


_OF_UNITTEST: Final = frozenset({"tearDown_exceptions", "_classSetupFailed", "_class_cleanups"})


def _classes() -> Iterator[type]:
    seen: set[type] = set()
    for name, module in sys.modules.copy().items():
        if _is_suites(module):
            for value in module.__dict__.copy().values():
                if isinstance(value, type) and value.__module__ == name and value not in seen:
                    seen.add(value)
                    yield value


def _attributes(change: Change) -> Iterator[tuple[str, Any]]:
    if isinstance(change.old, _Copy) and isinstance(change.new, _Copy):
        old, new = change.old.names, change.new.names
        for name in {**old, **new}:
            before = old.get(name, ABSENT)
            python_writes = name.startswith(("__", "_abc_")) or name in _OF_UNITTEST
            if before is not new.get(name, ABSENT) and not python_writes:
                yield name, before
