"""Who reads real time or unseeded randomness under simulation: found whatever name it goes by.

A profile function sees each call of a C function, also of one that was imported by name long
before; so nothing is patched. It costs a multiple of the run time, and is therefore asked for.
"""

import contextlib
import datetime as dt
import logging
import os
import random
import sys
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, Final

from poolproof.simulation.refusal import RealWorldError

# A log record carries the real time on purpose, and nothing in a program hangs on it.
_MAY: Final = frozenset({logging.__file__})
_STANDARD_LIBRARY: Final = str(Path(os.__file__).parent) + os.sep
_CLOCKS: Final = """
    time time_ns monotonic monotonic_ns perf_counter perf_counter_ns process_time process_time_ns
    thread_time thread_time_ns clock_gettime clock_gettime_ns sleep localtime gmtime ctime
"""
_MODULE_FUNCTIONS: Final[frozenset[Callable[..., Any]]] = frozenset(
    getattr(module, name)
    for module, names in ((time, _CLOCKS), (os, "urandom getrandom times"))
    for name in names.split()
    if hasattr(module, name)
)
_GLOBAL_RNG: Final[object] = vars(random)["_inst"]
_DATES: Final = frozenset({"now", "utcnow", "today"})


@dataclass(frozen=True, slots=True)
class Trespass:
    """One place that reads the real world.

    Attributes:
        what: the function it calls.
        site: file:line of the call, or of who called the standard library's function that makes it.
    """

    what: str
    site: str

    def __str__(self) -> str:
        return f"{self.what} at {self.site}"


@contextlib.contextmanager
def watched() -> Generator[dict[Trespass, int]]:
    """Count, in this thread, each place in the body that reads real time or unseeded randomness.

    What a log record reads does not count. An outer profile function is put back at the end.
    """
    seen: dict[Trespass, int] = {}

    def profile(frame: FrameType, event: str, function: Any) -> None:
        if event == "c_call" and (what := _named(function)) and (site := _site(frame)):
            found = Trespass(what, site)
            seen[found] = seen.get(found, 0) + 1

    outer = sys.getprofile()
    sys.setprofile(profile)
    try:
        yield seen
    finally:
        sys.setprofile(outer)


@contextlib.contextmanager
def refused() -> Generator[None]:
    """The same, as an error at the end of the body.

    Raises:
        RealWorldError: naming each place.
    """
    with watched() as seen:
        yield
    if seen:
        places = "; ".join(f"{place} ({times} times)" for place, times in seen.items())
        raise RealWorldError(
            places,
            "real time or unseeded randomness",
            "take the time from the running loop, and chance from simulation.current().streams.user",
        )


def _site(frame: FrameType) -> str | None:
    """Return where, outside of the standard library, the call comes from; None if it may."""
    at: FrameType | None = frame
    while at is not None and _is_stock(at.f_code.co_filename):
        if at.f_code.co_filename in _MAY:
            return None
        at = at.f_back
    at = at or frame
    return f"{at.f_code.co_filename}:{at.f_lineno}"


def _is_stock(file: str) -> bool:
    return file.startswith(_STANDARD_LIBRARY) and "site-packages" not in file


def _named(function: Any) -> str | None:
    owner = getattr(function, "__self__", None)
    if owner is _GLOBAL_RNG:
        return f"random.{function.__name__}"
    if isinstance(owner, type) and issubclass(owner, dt.date):
        return f"{owner.__name__}.{function.__name__}" if function.__name__ in _DATES else None
    try:
        return _full(function) if function in _MODULE_FUNCTIONS else None
    except TypeError:
        return None  # what has no hash is none of them


def _full(function: Any) -> str:
    module = "os" if function.__module__ == "posix" else function.__module__
    return f"{module}.{function.__name__}"
