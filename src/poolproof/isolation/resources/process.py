"""Settings of the process: environment, directory, umask, limits, locale, time zone, signals."""

import locale
import os
import resource
import signal
import socket
import sys
import time
from collections.abc import Callable  # noqa: TC003
from contextlib import suppress
from typing import Any, Final

from poolproof.isolation.blame import Notes
from poolproof.isolation.resources.base import ABSENT, Change, Finding, State, others_run, shown
from poolproof.isolation.resources.settings import Setting, Settings


def settings() -> Settings:
    """Return the settings of this process."""
    return Settings(
        [
            Setting("cwd", "working directory", _directory, os.chdir),
            Setting("umask", "umask", _umask, os.umask),
            Setting("locale", "locale", _locale, _set_locale),
            Setting("timezone", "time zone", lambda: (time.tzname, time.timezone), _set_timezone),
            Setting("socket-timeout", "default socket timeout", *_SOCKET_TIMEOUT),
            Setting("affinity", "processors", lambda: os.sched_getaffinity(0), _set_affinity),
            Setting("priority", "priority", lambda: os.getpriority(os.PRIO_PROCESS, 0), _set_nice),
            Setting("signal", "blocked signals", _blocked, _block),
            *(_timer(name) for name in ("ITIMER_REAL", "ITIMER_VIRTUAL", "ITIMER_PROF")),
        ]
    )


class Limits:
    """The limits of the process. They are read when they were set from Python; else 16 calls would say nothing."""

    slugs = ("rlimit",)
    fades = False
    steady = False

    def __init__(self, notes: Notes) -> None:
        self._notes = notes
        self._names = {
            name: getattr(resource, name) for name in dir(resource) if name[:7] == "RLIMIT_"
        }
        self._state = self._read()

    def _read(self) -> State:
        return {name: resource.getrlimit(which) for name, which in self._names.items()}

    def look(self) -> State:
        """Return each limit as (soft, hard)."""
        if "rlimit" in self._notes.settings:
            self._state = self._read()
        return self._state

    def judge(self, change: Change, notes: Notes) -> Finding:
        """Report every change."""
        where = str(notes.settings.get("rlimit", ""))
        what = f"{change.key}: {change.old} -> {change.new}"
        return Finding(resource="rlimit", what=what, where=where)

    def undo(self, change: Change) -> None:
        """Set the old limit; a hard limit that was lowered stays so without privileges."""
        old: Any = change.old
        with suppress(OSError, ValueError):
            resource.setrlimit(self._names[str(change.key)], old)
        self._state = self._read()


_SOCKET_TIMEOUT: Final = (socket.getdefaulttimeout, socket.setdefaulttimeout)


def _directory() -> str:
    try:
        return os.getcwd()
    except FileNotFoundError:
        return "(removed)"


def _umask() -> int:
    """Read it by setting it for a moment, or from /proc if that would race with another thread."""
    if not others_run():
        os.umask(found := os.umask(0o077))
        return found
    descriptor = os.open("/proc/self/status", os.O_RDONLY | os.O_CLOEXEC)
    try:
        text = os.read(descriptor, 512)
    finally:
        os.close(descriptor)
    return int(text[text.index(b"Umask:") + 6 :].split(None, 1)[0], 8)


def _locale() -> str:
    return locale.setlocale(locale.LC_ALL)


def _set_locale(old: str) -> None:
    locale.setlocale(locale.LC_ALL, old)


def _set_timezone(_old: object) -> None:
    time.tzset()


def _set_affinity(old: Any) -> None:
    os.sched_setaffinity(0, old)


def _set_nice(old: int) -> None:
    os.setpriority(os.PRIO_PROCESS, 0, old)


def _blocked() -> frozenset[int]:
    return frozenset(signal.pthread_sigmask(signal.SIG_BLOCK, ()))


def _block(old: Any) -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, old)


def _timer(name: str) -> Setting:
    which = getattr(signal, name)
    armed: Callable[[], bool] = lambda: signal.getitimer(which)[0] > 0  # noqa: E731
    disarm: Callable[[Any], object] = lambda _old: signal.setitimer(which, 0)  # noqa: E731
    return Setting("signal", f"{name} armed", armed, disarm, harmless=False)


class SignalHandlers:
    """What each signal does."""

    slugs = ("signal",)
    steady = False
    fades = False

    def __init__(self) -> None:
        self._signals = [int(number) for number in signal.valid_signals()]

    def look(self) -> State:
        """Return each signal's handler."""
        return {number: _getsignal(number) for number in self._signals}

    def judge(self, change: Change, notes: Notes) -> Finding | None:
        """Report every change; pytest-timeout takes its handler away as soon as a test has failed."""
        del notes
        assert isinstance(change.key, int)
        if getattr(change.old, "__module__", None) == "pytest_timeout":
            return None
        name = signal.Signals(change.key).name if change.key in _NAMED else str(change.key)
        return Finding(
            resource="signal", what=f"{name}: {_handler(change.old)} -> {_handler(change.new)}"
        )

    def undo(self, change: Change) -> None:
        """Install the old handler again; one that was not made in Python cannot be."""
        assert isinstance(change.key, int)
        if change.old is not None and change.old is not ABSENT:
            signal.signal(change.key, change.old)  # type: ignore[arg-type]


# The C function: that of the module `signal` makes an enumeration's member of each result, at ten times the cost.
_getsignal: Final = sys.modules["_signal"].getsignal
_NAMED: Final = frozenset(int(number) for number in signal.Signals)


def _handler(value: object) -> str:
    if isinstance(value, int):
        return signal.Handlers(value).name
    return "one not made in Python" if value is None else shown(value)


# pytest and its plugins keep these up to date themselves.
_MOVING: Final = ("PYTEST_", "COV_CORE_")


class Environment:
    """The environment, and what went into it past `os.environ`."""

    slugs = ("environment",)
    steady = False
    fades = False

    def __init__(self, notes: Notes) -> None:
        self._notes = notes

    def look(self) -> State:
        """Return the variables as bytes, and those that `os.putenv` set without telling `os.environ`."""
        data: dict[Any, object] = vars(os.environ)[
            "_data"
        ].copy()  # 60 times cheaper than by the mapping
        if self._notes.variables:
            for name, (value, _) in self._notes.variables.copy().items():
                if os.environ.get(name) != value:
                    data["putenv", name] = value
        return data

    def judge(self, change: Change, notes: Notes) -> Finding | None:
        """Report what is set, changed or removed; values are not shown, they may be secret."""
        name = _variable(change.key)
        if name.startswith(_MOVING):
            return None
        site = notes.variables.get(name, (None, ""))[1]
        verb = "set" if change.appeared else "removed" if change.new is ABSENT else "changed"
        if isinstance(change.key, tuple):
            verb += " by os.putenv, which os.environ does not see"
        return Finding(resource="environment", what=f"{name} {verb}", where=str(site))

    def undo(self, change: Change) -> None:
        """Set or remove the variable."""
        name = _variable(change.key)
        if isinstance(change.key, tuple):
            self._notes.variables.pop(name, None)
            known = os.environ.get(name)
            os.unsetenv(name) if known is None else os.putenv(name, known)
        elif change.old is ABSENT:
            os.environ.pop(name, None)
        else:
            assert isinstance(change.old, bytes)
            os.environ[name] = os.fsdecode(change.old)
        if name == "TZ":
            time.tzset()


def _variable(key: Any) -> str:
    return os.fsdecode(key) if isinstance(key, bytes) else str(key[1])
