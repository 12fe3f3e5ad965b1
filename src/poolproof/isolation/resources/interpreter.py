"""Settings of the interpreter: import paths, hooks, limits, exit callbacks, and the values of context variables."""

import atexit
import contextvars
import gc
import sys
import threading
import weakref
from collections.abc import Callable
from typing import Any, Final

from poolproof.isolation.blame import Notes, is_own
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
            Setting("gc", "gc.threshold", gc.get_threshold, lambda old: gc.set_threshold(*old)),
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


def _hook(module: Any, name: str) -> Setting:
    return Setting(
        "hook",
        f"{module.__name__}.{name}",
        lambda: Same(getattr(module, name)),
        lambda old: setattr(module, name, old.value),
    )


def _stream(name: str) -> Setting:
    return Setting(
        "stream",
        f"sys.{name}",
        lambda: Same(getattr(sys, name)),
        lambda old: setattr(sys, name, old.value),
    )


def _of_same(write: Callable[[Any], object]) -> Callable[[Same], object]:
    return lambda old: write(old.value)


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
    """How many functions wait for the end of the interpreter. Which, it does not tell; so they stay."""

    slugs: Final = ("atexit",)
    steady: Final = False
    fades: Final = False

    def __init__(self, pytest_has_some: Callable[[], bool]) -> None:
        """Begin to count.

        Args:
            pytest_has_some: whether pytest has made its temporary directory, which registers callbacks.
        """
        weakref.finalize(self, int).detach()  # the first of these registers one for all of them
        self._pytest_has_some = pytest_has_some
        self._had = pytest_has_some()
        self._own = 0
        self._last = atexit._ncallbacks()  # noqa: SLF001 (there is no other way to see them)

    def look(self) -> State:
        """Count, without those of pytest."""
        count = atexit._ncallbacks()  # noqa: SLF001
        if not self._had and self._pytest_has_some():
            self._had = True
            self._own += count - self._last
        self._last = count
        return {"atexit": count - self._own}

    def judge(self, change: Change, notes: Notes) -> Finding | None:
        """Report callbacks that came while nothing was imported: an import's belong to its module."""
        assert isinstance(change.old, int)
        assert isinstance(change.new, int)
        came = change.new - change.old
        if came <= 0 or notes.imported:
            return None
        return Finding(resource="atexit", what=f"{came} more exit callback{'s' * (came > 1)}")

    def undo(self, change: Change) -> None:
        """Leave them: the interpreter does not say which they are."""


class ContextVariables:
    """The values of context variables outside of any task."""

    slugs: Final = ("contextvar",)
    steady: Final = False
    fades: Final = False

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
        if isinstance(change.old, Same) and isinstance(change.key, contextvars.ContextVar):
            change.key.set(change.old.value)


class Modules:
    """Entries of `sys.modules` that went, were replaced, or were put there without an import."""

    slugs: Final = ("module",)
    steady: Final = False
    fades: Final = False

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
            if getattr(change.new, "__spec__", None) is not None:
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
