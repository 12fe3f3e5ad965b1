"""From a target's name to its factory.

Dotted, `package.module:factory`, or `path/to/file.py:factory`. Standard library only.
"""

import ast
import contextlib
import difflib
import importlib
import importlib.util
import os
import pkgutil
import re
import sys
import sysconfig
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from poolproof.adapters.base import TargetProblem

SHAPES: Final = "package.Name, package.module:factory or path/to/file.py:factory"
OURS: Final = str(Path(__file__).resolve().parent.parent)


@dataclass(frozen=True, slots=True, kw_only=True)
class Factory:
    """What builds the pool.

    Attributes:
        name: as the user wrote it, for messages.
        function: takes the number of workers, or nothing, and returns the pool.
        module: where it was looked up; may carry `jobs`, `promises` and `contract`.
    """

    name: str
    function: Callable[..., Any]
    module: ModuleType | None = None

    def __call__(self, *args: Any, **named: Any) -> Any:
        """Call the function."""
        return self.function(*args, **named)


def resolve(name: str) -> Factory:
    """Return the factory of that name, and import what it lives in.

    A file is imported under its stem, from its directory, which is put first in `sys.path` and last
    in PYTHONPATH, so that the pool's workers find its functions under the same name.

    Raises:
        TargetProblem: no such module, file or attribute; an import that fails; nothing to call.
    """
    place, colon, path = name.rpartition(":")
    if not colon and (name.endswith(".py") or "/" in name):
        raise TargetProblem(f"expected path/to/file.py:factory, got {name!r}{_candidates(name)}")
    if not colon:
        return _resolve_dotted(name)
    if not path or not place:
        raise TargetProblem(f"expected {SHAPES}, got {name!r}")
    if place.endswith(".py") or "/" in place:
        module = _import_file(Path(place))
    else:
        module = _import_module(place, name)
    return _factory(name, module, path.split("."))


def _resolve_dotted(name: str) -> Factory:
    parts = name.split(".")
    if not all(part.isidentifier() for part in parts):
        raise TargetProblem(f"expected {SHAPES}, got {name!r}")
    for cut in range(len(parts), 0, -1):
        place = ".".join(parts[:cut])
        if _is_module(place):
            return _factory(name, _import_module(place, name), parts[cut:])
    raise _unknown_module(parts[0], name)


def _is_module(place: str) -> bool:
    if place in sys.modules:
        return True
    try:
        return importlib.util.find_spec(place) is not None
    except (ImportError, ValueError):
        return False
    except (Exception, SystemExit) as error:
        # To look for a submodule imports its package.
        raise _failed_import(place.rpartition(".")[0], error) from error


def _import_module(place: str, name: str) -> ModuleType:
    try:
        return importlib.import_module(place)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{place}.".startswith(f"{error.name}."):
            raise _unknown_module(place, name) from error
        raise _failed_import(place, error) from error
    except (Exception, SystemExit) as error:
        raise _failed_import(place, error) from error


def _unknown_module(place: str, name: str) -> TargetProblem:
    parent = place.rpartition(".")[0]
    if parent and not _is_module(parent):
        return _unknown_module(parent, name)
    if parent:
        searched: Iterable[str] = getattr(sys.modules.get(parent), "__path__", [])
        known = {f"{parent}.{module.name}" for module in pkgutil.iter_modules(searched)}
    else:
        known = {module.name for module in pkgutil.iter_modules()} | set(sys.stdlib_module_names)
    of_target = "" if place == name else f" in target {name!r}"
    return TargetProblem(
        f"expected an importable module, got {place!r}{of_target}{_close(place, known)}; looked in "
        f"{Path.cwd()} and in the environment of {sys.executable} (--python names another)"
    )


def _failed_import(place: str, error: BaseException) -> TargetProblem:
    missing = isinstance(error, ModuleNotFoundError)
    hint = "; --python names the interpreter of another environment" if missing else ""
    return TargetProblem(
        f"expected {place} to be importable, got {type(error).__name__}: {error}"
        f"{last_own_frame(error)}{hint}"
    )


def _factory(name: str, module: ModuleType, path: list[str]) -> Factory:
    found: Any = module
    for at, part in enumerate(path):
        try:
            found = getattr(found, part)
        except AttributeError:
            holder = ".".join([module.__name__, *path[:at]])
            near = _close(part, dir(found))
            raise TargetProblem(f"expected {part!r} in {holder}, got no such name{near}") from None
    if isinstance(found, ModuleType):
        raise TargetProblem(
            f"expected a factory or a class, got the module {found.__name__}; "
            f"name one of its members, as in {found.__name__}:{_member(found)}"
        )
    if not callable(found):
        raise TargetProblem(
            f"expected {name} to be a factory or a class, got {type(found).__name__}"
        )
    return Factory(name=name, function=found, module=module)


def _member(module: ModuleType) -> str:
    """Return a likely factory in a module, as a hint."""
    public = [name for name in dir(module) if not name.startswith("_")]
    called = [name for name in public if callable(getattr(module, name, None))]
    likely = [name for name in called if re.search("pool|executor", name, re.IGNORECASE)]
    own = [name for name in called if getattr(module, name).__module__ == module.__name__]
    return next(iter((*likely, *own)), "factory")


def _import_file(path: Path) -> ModuleType:
    if not path.is_file():
        near = [one.name for one in path.parent.glob("*.py")] if path.parent.is_dir() else []
        raise TargetProblem(f"expected a file, got no such file as {path}{_close(path.name, near)}")
    file, stem = path.resolve(), path.stem
    if "." in stem or path.suffix != ".py":
        raise TargetProblem(f"expected a file named like module.py, got {path.name}")
    _refuse_clash(stem, file)
    _add_to_paths(str(file.parent))
    importlib.invalidate_caches()
    try:
        return importlib.import_module(stem)
    except (Exception, SystemExit) as error:
        problem = _failed_import(str(path), error)
        if isinstance(error, ImportError) and (file.parent / "__init__.py").exists():
            hint = f"it is part of a package: name it as {file.parent.name}.{stem}:factory"
            raise TargetProblem(f"{problem}; {hint}") from error
        raise problem from error


def _refuse_clash(stem: str, file: Path) -> None:
    origin = _origin_of(stem)
    if origin is None or (Path(origin).exists() and Path(origin).samefile(file)):
        return
    raise TargetProblem(
        f"expected a file whose name is free, got {file.name}, which would stand in the way of "
        f"the module {stem!r} ({origin}); rename the file"
    )


def _origin_of(stem: str) -> str | None:
    """Return which file, or what else, a module of that name would now come from."""
    loaded = sys.modules.get(stem)
    if loaded is not None:
        return getattr(loaded, "__file__", None) or "loaded, without a file"
    spec = importlib.util.find_spec(stem)
    # A mere directory of that name is a namespace package, over which any module file wins.
    return None if spec is None else spec.origin


def _add_to_paths(directory: str) -> None:
    if directory not in sys.path[:1]:
        sys.path.insert(0, directory)
    # Last: what stands first in PYTHONPATH (the directory of a sitecustomize.py) must stay first.
    old = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    kept = [entry for entry in old if entry not in ("", directory)]
    os.environ["PYTHONPATH"] = os.pathsep.join([*kept, directory])


def _candidates(name: str) -> str:
    """Return which functions and classes a file defines, as a hint."""
    try:
        tree = ast.parse(Path(name).read_bytes())
    except (SyntaxError, ValueError, OSError):
        return ""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    names = [node.name for node in tree.body if isinstance(node, kinds)]
    public = [one for one in names if not one.startswith("_")]
    return f"; append :factory, one of {', '.join(public[:6])}" if public else ""


def _close(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, sorted(known), n=3)
    return f" (did you mean {' or '.join(near)}?)" if near else ""


def last_own_frame(error: BaseException) -> str:
    """Return where the target's own code raised, as ` (file:line in function)`; "" if nowhere.

    That is its last frame outside of libraries; only if there is none, the last one at all.
    """
    if isinstance(error, SyntaxError) and error.filename:
        return f" ({error.filename}:{error.lineno})"
    stack = traceback.extract_tb(error.__traceback__)
    frames = [frame for frame in stack if not frame.filename.startswith(("<frozen", OURS))]
    own = [frame for frame in frames if not _is_library(frame.filename)] or frames
    return f" ({own[-1].filename}:{own[-1].lineno} in {own[-1].name})" if own else ""


def _is_library(filename: str) -> bool:
    with contextlib.suppress(KeyError):
        if filename.startswith(sysconfig.get_paths()["stdlib"] + os.sep):
            return True
    return f"{os.sep}site-packages{os.sep}" in filename
