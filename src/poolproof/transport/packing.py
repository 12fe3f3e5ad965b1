"""How a worker's spec gets into another process: by the name of its target, and the file that has it."""

import importlib
import importlib.util
import multiprocessing.spawn
import os
import pickle
import sys
from typing import Any

import msgspec

from poolproof.errors import UsageError
from poolproof.transport.base import Command, WorkerSpec


class Home(msgspec.Struct, frozen=True):
    """The module of a target: its name, its file if it has one, and how to run it if it is the main one."""

    module: str
    file: str | None
    main: dict[str, Any] | None


class Packed(msgspec.Struct, frozen=True):
    """A spec as bytes."""

    home: Home
    pickled: bytes


def home(spec: WorkerSpec) -> Home:
    """Return where the target of a spec is defined."""
    name = getattr(spec.target, "__module__", None) or "builtins"
    module = sys.modules.get(name)
    main = None
    if name == "__main__":
        told = multiprocessing.spawn.get_preparation_data("worker")
        main = {key: value for key, value in told.items() if key.startswith("init_main_from")}
    return Home(name, getattr(module, "__file__", None), main)


def packed(spec: WorkerSpec) -> bytes | None:
    """Return a spec as bytes; None for a command, which has its own way to know what it is.

    Raises:
        UsageError: it cannot be found by its name, or its arguments cannot be pickled.
    """
    if isinstance(spec.target, Command):
        return None
    try:
        pickled = pickle.dumps((spec.target, spec.args, dict(spec.kwargs)))
    except (pickle.PicklingError, AttributeError, TypeError, ValueError) as error:
        raise UsageError(
            f"expected on the layer full a target at the top level of a module, and arguments that"
            f" can be pickled, got {spec.name}: {error}; move it there, or use another layer"
        ) from error
    return msgspec.msgpack.encode(Packed(home(spec), pickled))


def unpacked(data: bytes | None) -> WorkerSpec:
    """Return the spec again, in a process that may have to import its module first."""
    found = msgspec.msgpack.decode(data or b"", type=Packed)
    settle(found.home)
    target, args, kwargs = pickle.loads(found.pickled)  # noqa: S301 - it comes from the process that started us
    return WorkerSpec(target=target, args=args, kwargs=kwargs)


def settle(where: Home) -> None:
    """Import a target's module; raises what that raises.

    A test's module need not be importable by the name it has; then it is loaded from its file.
    """
    if where.module in sys.modules and where.module != "__main__":
        return
    if where.main is not None:
        if "__mp_main__" not in sys.modules:
            multiprocessing.spawn.prepare(where.main)
        return
    try:
        found = importlib.import_module(where.module)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if where.file is None or not f"{where.module}.".startswith(f"{missing}."):
            raise
        _load(where.module, where.file)
    else:
        if where.file is not None and getattr(found, "__file__", None) != where.file:
            _load(where.module, where.file)  # another one of that name comes first on the path


def _load(name: str, file: str) -> None:
    spec = importlib.util.spec_from_file_location(name, os.fspath(file))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
