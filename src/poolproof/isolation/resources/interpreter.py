"""Settings of the interpreter: import paths, hooks, limits, exit callbacks, and the values of context variables."""

import atexit
import contextvars
import gc
import sys
import threading
from collections.abc import Callable, Hashable
from contextlib import suppress
from typing import Any, Final

from poolproof.isolation.blame import Notes, is_own, shortened
from poolproof.isolation.resources.base import Change, Finding, Same, State, shown
from poolproof.isolation.resources.settings import Setting, Settings


def settings() -> Settings:
    """Return the settings of this interpreter."""
    return Settings(
        [
            *(_sequence(name) for name in ("path", "meta_path", "path_hooks", "argv")),
            *(_hook(sys, name) for name in ("excepthook", "displayhook", "unraisablehook")),
            _hook(threading, "excepthook"),
            *(_stream(name) for name in ("stdin", "stdout", "stderr")),
            Setting("trace", "sys.settrace", lambda: Same(sys.gettrace()), _of_same(sys.settrace)),
            Setting(
                "trace", "sys.setprofile", lambda: Same(sys.getprofile()), _of_same(sys.setprofile)
            ),
            Setting("limit", "recursion limit", sys.getrecursionlimit, sys.setrecursionlimit),
            Setting("limit", "switch interval", sys.getswitchinterval, sys.setswitchinterval),
            Setting("gc", "gc.isenabled", gc.isenabled, _switch_gc),
            Setting("gc", "gc.threshold", gc.get_threshold, _set_threshold),
            Setting("gc", "gc.debug", gc.get_debug, gc.set_debug),
            Setting("gc", "gc.callbacks", _callbacks, _set_callbacks),
            Setting("decimal", "decimal context", _decimal, _set_decimal),
            Setting("policy", "event loop policy", _policy, _set_policy),
        ]
    )


def _callbacks() -> tuple[Any, ...]:
    """Return those of the suite's own code: libraries set theirs at their first use, and for good."""
    return tuple([c for c in gc.callbacks if _own(c)]) if gc.callbacks else ()


def _own(callback: Any) -> bool:
    code = getattr(callback, "__code__", None)
    return code is not None and is_own(code.co_filename)


def _set_callbacks(old: Any) -> None:
    gc.callbacks[:] = [*(c for c in gc.callbacks if not _own(c)), *old]


def _sequence(name: str) -> Setting:
    def write(old: Any) -> None:
        getattr(sys, name)[:] = old

    slug = "argv" if name == "argv" else "sys-path"
    return Setting(slug, f"sys.{name}", lambda: tuple(getattr(sys, name)), write)


def _attribute(module: Any, name: str) -> Callable[[Same], object]:
    return lambda old: setattr(module, name, old.value)


def _hook(module: Any, name: str) -> Setting:
    return Setting(
        "hook",
        f"{module.__name__}.{name}",
        lambda: Same(getattr(module, name)),
        _attribute(module, name),
    )


def _stream(name: str) -> Setting:
    return Setting(
        "stream",
        f"sys.{name}",
        lambda: Same(getattr(sys, name)),
        _attribute(sys, name),
    )


def _of_same(write: Callable[[Any], object]) -> Callable[[Same], object]:
    return lambda old: write(old.value)


def _set_threshold(old: Any) -> None:
    gc.set_threshold(*old)


def _switch_gc(enabled: bool) -> None:  # noqa: FBT001 (it is what gc.isenabled returned)
    (gc.enable if enabled else gc.disable)()


_DECIMAL: Final = ("prec", "rounding", "Emin", "Emax", "capitals", "clamp")


def _decimal() -> tuple[object, ...] | None:
    module = sys.modules.get("decimal")
    if module is None or not hasattr(module, "getcontext"):
        return None
    context = module.getcontext()
    return tuple([(name, getattr(context, name)) for name in _DECIMAL])


def _set_decimal(old: Any) -> None:
    context = sys.modules["decimal"].getcontext()
    for name, value in old:
        setattr(context, name, value)


def _policy() -> Same:
    """Return the policy, and nothing for the default one: whoever asks first for it makes it."""
    events = sys.modules.get("asyncio.events")
    policy = None if events is None else events._event_loop_policy  # noqa: SLF001 (reading it makes none)
    default = getattr(sys.modules.get("asyncio"), "DefaultEventLoopPolicy", None)
    return Same(None if type(policy) is default else policy)


def _set_policy(old: Same) -> None:
    sys.modules["asyncio.events"]._event_loop_policy = old.value  # type: ignore[attr-defined]  # noqa: SLF001


class ExitCallbacks:
    """The functions that wait for the end of the interpreter."""

    slugs = ("atexit",)
    steady = False
    fades = False

    def __init__(self) -> None:
        self._count = -1
        self._state: State = {}

    def look(self) -> State:
        """Return each callback, by number and name so that it is not kept alive; where none came, those of before."""
        if self._count != (count := _count()):
            self._count = count
            self._state = {_key(one): True for one in _callbacks_at_exit()}
        return self._state

    def judge(self, change: Change, notes: Notes) -> Finding | None:
        """Report a callback that came while nothing was imported: an import's belong to its module."""
        present: dict[Hashable, Any] = {_key(one): one for one in _callbacks_at_exit()}
        callback = present.get(change.key)
        if callback is None or not change.appeared or notes.imported:
            return None
        if (getattr(callback, "__module__", None) or "").startswith(_EVERYBODYS):
            return None
        code = getattr(callback, "__code__", None)
        where = f"defined at {shortened(code.co_filename)}:{code.co_firstlineno}" if code else ""
        return Finding(resource="atexit", what=f"exit callback {_called(callback)}", where=where)

    def undo(self, change: Change) -> None:
        """Leave it: what it is to clear would stay for ever."""


# There is no other way to see that one came; those that were taken out are counted, too.
_count: Final[Callable[[], int]] = vars(atexit)["_ncallbacks"]
# They register theirs at their first use, once for a whole process.
_EVERYBODYS: Final = ("_pytest.", "weakref", "multiprocessing.util")


class _Probe:
    """Is equal to nothing, and notes who was compared with it."""

    __hash__ = None  # type: ignore[assignment]

    def __init__(self) -> None:
        self.met: list[Any] = []

    def __eq__(self, other: object) -> bool:
        self.met.append(other)
        return False


def _callbacks_at_exit() -> list[Any]:
    """Return them: no function lists them, but to take one out, it is compared with each."""
    probe: Any = _Probe()
    with suppress(Exception):  # what a stranger's object does when it is compared
        atexit.unregister(probe)
    return list(probe.met)


def _called(callback: Any) -> str:
    name = getattr(callback, "__qualname__", None)
    return f"{callback.__module__}.{name}" if name else shown(callback)


def _key(callback: Any) -> tuple[int, str]:
    return id(callback), getattr(callback, "__qualname__", type(callback).__qualname__)


class ContextVariables:
    """The values of context variables outside of any task."""

    slugs = ("contextvar",)
    steady = False
    fades = False

    def look(self) -> State:
        """Return each variable's value."""
        return {var: Same(value) for var, value in contextvars.copy_context().items()}

    def judge(self, change: Change, notes: Notes) -> Finding | None:
        """Report every change, but for the arithmetic context that the first Decimal makes."""
        del notes
        var = change.key
        assert isinstance(var, contextvars.ContextVar)
        if var.name == "decimal_context":
            return None
        return Finding(
            resource="contextvar", what=f"{var.name}: {shown(change.old)} -> {shown(change.new)}"
        )

    def undo(self, change: Change) -> None:
        """Set the old value; a variable that had none cannot be emptied without its token."""
        var: Any = change.key
        if isinstance(change.old, Same):
            var.set(change.old.value)


def _explained(name: str, module: object) -> bool:
    """Tell whether an import has put it there, if not as that of this very module.

    The import of multiprocessing names what the interpreter runs once more (`__mp_main__`). An extension that Cython
    has compiled keeps what it shares with others under two names (`Cython/Utility/CommonStructures.c`). And one may
    bring modules within it that are its attributes (pybind11's `def_submodule`, `typing.io`).
    """
    if getattr(module, "__spec__", None) is not None or module is sys.modules.get("__main__"):
        return True
    if name == "cython_runtime" or name.startswith("_cython_"):
        return True
    parent, _, attribute = name.rpartition(".")
    holder = sys.modules.get(parent)
    imported = getattr(holder, "__spec__", None) is not None
    return imported and getattr(holder, attribute, None) is module


class Modules:
    """Entries of `sys.modules` that went, were replaced, or were put there without an import."""

    slugs = ("module",)
    steady = False
    fades = False

    def __init__(self) -> None:
        self._values: list[Any] = []
        self._state: State = {}

    def look(self) -> State:
        """Return the modules."""
        values = list(sys.modules.values())
        if values != self._values:
            self._values, self._state = values, dict[Any, object](sys.modules)
        return self._state

    def judge(self, change: Change, notes: Notes) -> Finding | None:
        """Report what no import explains: a module is imported once, and stays."""
        del notes
        name = str(change.key)
        if change.appeared:
            if _explained(name, change.new):
                return None
            return Finding(resource="module", what=f"{name}: put into sys.modules by hand")
        verb = "replaced in" if name in sys.modules else "removed from"
        return Finding(resource="module", what=f"{name}: {verb} sys.modules")

    def undo(self, change: Change) -> None:
        """Put the old entry back, or take the new one out."""
        name = str(change.key)
        if change.appeared:
            sys.modules.pop(name, None)
        else:
            sys.modules[name] = change.old  # type: ignore[assignment]
