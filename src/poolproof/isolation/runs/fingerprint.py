"""The state of a test process in words that mean the same in another process, to tell what one test left to another.

It looks at more than the guard does, and costs more: the contents of first-party globals, and whatever was replaced in
any module. It is taken once a run, before the one test that is watched. Standard library and pytest only.
"""

import asyncio
import json
import locale
import logging
import os
import re
import signal
import socket
import sys
import tempfile
import threading
import types
import warnings
import zlib
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Generator, Iterator, Mapping
from contextlib import suppress
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any, Final, cast

import pytest

MOST_VALUE: Final = 160
MOST_FILES: Final = 5_000
DEPTH: Final = 3
MOST_ITEMS: Final = (0, 10, 50, 1_000)
"""How many things in a container are looked at, by how many levels are left."""

State = dict[str, str]
"""What there is, as "slug name", and how it is."""

_ADDRESS: Final = re.compile(r" at 0x[0-9a-f]+")
_NOT_THE_TESTS: Final = ("PYTEST_", "POOLPROOF_", "COV_")
_NOT_THE_SUITES: Final = (".", "__pycache__", "node_modules", "venv", "site-packages")
_GONE: Final = object()
_MAPPINGS: Final = (dict, defaultdict, OrderedDict, Counter)
_CACHED: Final = type(lru_cache(len))
_PLAIN: Final = (str, bytes, int, float, complex, bool, type(None))
_CODE: Final = (types.FunctionType, types.BuiltinFunctionType, types.MethodType, type)


class Watch:
    """Notes the state before one test is set up, and what has been replaced since the first one was."""

    def __init__(self, test: str, path: str) -> None:
        self._test, self._path = test, path
        self._before: dict[str, int] = {}

    def pytest_collection_finish(self) -> None:
        """Remember what every module's names stand for."""
        self._before = dict(_code())

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        """Note the state if this is the test."""
        if item.nodeid == self._test:
            found = state(item.config.rootpath) | dict(_replaced(self._before))
            Path(self._path).write_text(json.dumps(found), encoding="utf-8")
        return (yield)


def state(root: Path) -> State:
    """Return the state of this process; `root` is where first-party code and files are."""
    readers = (_environment, _interpreter, _logging, _threads, _ports, _temporary_files)
    found = {name: _short(value) for reader in readers for name, value in reader()}
    found.update((name, _short(value)) for name, value in _files(root))
    found.update((name, _short(value)) for name, value in _globals(root))
    return found


def _short(value: str) -> str:
    """Return a text that is short, without addresses, and still as different as the long one was."""
    value = _ADDRESS.sub("", value)
    if len(value) <= MOST_VALUE:
        return value
    return f"{value[:MOST_VALUE]}… ({len(value)} characters, {zlib.crc32(value.encode()):08x})"


def _environment() -> Iterator[tuple[str, str]]:
    for name, value in os.environ.items():
        if not name.startswith(_NOT_THE_TESTS):
            yield f"environment {name}", value


def _interpreter() -> Iterator[tuple[str, str]]:
    yield "cwd", _cwd()
    yield "sys-path", os.pathsep.join(map(str, sys.path))
    yield "sys-path meta_path", str([_named(finder) for finder in sys.meta_path])
    yield "locale", locale.setlocale(locale.LC_ALL)
    yield "umask", str(_umask())
    yield "policy", _named(getattr(asyncio.events, "_event_loop_policy", None))
    yield "interpreter recursion limit", str(sys.getrecursionlimit())
    yield "interpreter switch interval", str(sys.getswitchinterval())
    yield "interpreter socket timeout", str(socket.getdefaulttimeout())
    yield "interpreter excepthook", _named(sys.excepthook)
    yield "interpreter warning filters", str(len(warnings.filters))
    for name in sorted(sys.modules):
        yield f"module {name}", str(getattr(sys.modules[name], "__file__", "built in"))
    for number in signal.valid_signals():
        yield f"signal {signal.strsignal(number) or number}", _handler(signal.getsignal(number))


def _handler(handler: object) -> str:
    return handler.name if isinstance(handler, signal.Handlers) else _named(handler)


def _cwd() -> str:
    try:
        return os.getcwd()
    except OSError:
        return "gone"


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _named(thing: object) -> str:
    """Return a name for code, and the type's name for anything else."""
    owner = thing if issubclass(type(thing), _CODE) else type(thing)
    return f"{getattr(owner, '__module__', '')}.{getattr(owner, '__qualname__', '')}"


def _logging() -> Iterator[tuple[str, str]]:
    loggers = {"root": logging.getLogger(), **logging.root.manager.loggerDict}
    for name, logger in loggers.items():
        if isinstance(logger, logging.Logger):
            handlers = [_named(handler) for handler in logger.handlers]
            how = f"level {logger.level}, {handlers}, propagate {logger.propagate}"
            yield f"logging {name}", f"{how}, disabled {logger.disabled}"
    yield "logging disable", str(logging.root.manager.disable)


def _threads() -> Iterator[tuple[str, str]]:
    for thread in threading.enumerate():
        yield f"thread {thread.name}", _named(thread)


def _ports() -> Iterator[tuple[str, str]]:
    for number in os.listdir("/proc/self/fd") if os.path.isdir("/proc/self/fd") else ():
        with suppress(OSError):
            if os.readlink(f"/proc/self/fd/{number}").startswith("socket:"):
                with socket.socket(fileno=os.dup(int(number))) as found:
                    if found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                        yield f"port {found.getsockname()}", "listening"


def _temporary_files() -> Iterator[tuple[str, str]]:
    with suppress(OSError):
        for entry in os.scandir(tempfile.gettempdir()):
            yield f"temporary-file {entry.name}", "there"


def _files(root: Path) -> Iterator[tuple[str, str]]:
    """Yield the files below `root`, as far as a bound, with their contents' checksums."""
    left = MOST_FILES
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith(_NOT_THE_SUITES))
        for name in names[: max(left, 0)]:
            path = Path(folder, name)
            with suppress(OSError):
                yield f"file {path.relative_to(root)}", f"{zlib.crc32(_beginning(path)):08x}"
        left -= len(names)


def _beginning(path: Path) -> bytes:
    if not path.is_file():
        return b""
    with path.open("rb") as file:
        return file.read(1 << 16)


def _first_party(root: Path) -> Iterator[types.ModuleType]:
    for _, module in _modules():
        file = getattr(module, "__file__", None)
        ours = isinstance(file, str) and Path(file).is_relative_to(root)
        if ours and not {"site-packages", "dist-packages"} & set(Path(str(file)).parts):
            yield module


def _globals(root: Path) -> Iterator[tuple[str, str]]:
    for module in _first_party(root):
        for name, value in list(vars(module).items()):
            if name.startswith("__") or issubclass(type(value), types.ModuleType):
                continue
            yield f"global {module.__name__}.{name}", _described(value, DEPTH)
            if issubclass(type(value), type) and value.__module__ == module.__name__:
                yield from _attributes(value)


def _attributes(owner: type) -> Iterator[tuple[str, str]]:
    for name, value in list(vars(owner).items()):
        if not name.startswith("__"):
            where = f"{owner.__module__}.{owner.__qualname__}.{name}"
            yield f"class-attribute {where}", _described(value, DEPTH)


def _described(value: Any, depth: int) -> str:
    """Return a value in words, without running foreign code for it: a proxy would look its object up, or raise."""
    kind = cast("type[object]", type(value))
    if kind in _PLAIN:
        return repr(value)
    if depth == 0 or issubclass(kind, _CODE):
        return _named(value)
    if kind is _CACHED:
        return f"{_named(value)} {value.cache_info()}"
    if kind in (list, tuple, set, frozenset):
        parts = [_described(thing, depth - 1) for thing in islice(list(value), MOST_ITEMS[depth])]
        return _contents(
            kind.__name__, len(value), sorted(parts) if "set" in kind.__name__ else parts
        )
    return _with_fields(value, depth)


def _with_fields(value: Any, depth: int) -> str:
    """Return a mapping or an object with what is in it."""
    try:
        found: Any = (
            value if type(value) in _MAPPINGS else object.__getattribute__(value, "__dict__")
        )
    except AttributeError:
        return _named(value)
    fields = cast("dict[object, object]", found)
    pairs = islice(list(fields.items()), MOST_ITEMS[depth])
    parts = [f"{_described(key, depth - 1)}: {_described(of, depth - 1)}" for key, of in pairs]
    return _contents(_named(value), len(fields), parts)


def _contents(kind: str, number: int, parts: list[str]) -> str:
    return f"{kind} ({number}) {', '.join(parts)}"


def _modules() -> Iterator[tuple[str, types.ModuleType]]:
    loaded: list[tuple[str, object]] = list(sys.modules.items())  # whatever was put there
    for name, module in loaded:
        if issubclass(type(module), types.ModuleType):
            yield name, cast("types.ModuleType", module)


def _code() -> Iterator[tuple[str, int]]:
    """Yield what the functions and classes of every module are, by their identity."""
    for name, module in _modules():
        for attribute, value in list(vars(module).items()):
            if issubclass(type(value), _CODE):
                yield f"function {name}.{attribute}", id(value)


def _replaced(before: Mapping[str, int]) -> Iterator[tuple[str, str]]:
    modules = dict(_modules())
    for name, number in before.items():
        module, _, attribute = name.partition(" ")[2].rpartition(".")
        if module in modules:
            now = vars(modules[module]).get(attribute, _GONE)
            if id(now) != number:
                yield name, "deleted" if now is _GONE else f"replaced by {_named(now)}"
