"""Which modules are a pool's own code, and where their files lie."""

import importlib.util
import os
import sys
from collections.abc import Iterable, Iterator
from itertools import chain
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any, Final

# What pools of the standard library are built on: the only parts of it that count beside a pool's
# own class.
_MACHINERY: Final = frozenset({"multiprocessing", "concurrent.futures"})
_NEVER: Final = frozenset(
    {"abc", "builtins", "os", "pickle", "poolproof", "queue", "selectors", "threading", "typing"}
)
# Our own stack is a pool like any other; the rest of poolproof is what looks at it.
_OUR_POOLS: Final = frozenset({"poolproof.pool", "poolproof.stack", "poolproof.transport"})
_FORKS: Final = frozenset({"fork", "forkpty", "fork_exec", "posix_spawn", "posix_spawnp"})
_ASKS_FOR_PROCESSES: Final = frozenset({"Process", "Pool", "ProcessPoolExecutor"})
_STANDARD_LIBRARY: Final = os.path.dirname(os.__file__) + os.sep


def own_paths(modules: Iterable[str]) -> list[str]:
    """Return where the code of these modules lies.

    A package gives its directories, each with a slash at the end; any other module gives its file.

    Raises:
        ValueError: one of them cannot be found, or has no Python source.
    """
    return list(dict.fromkeys(chain.from_iterable(_places(name) for name in modules)))


def _places(name: str) -> list[str]:
    file, directories = _where(name)
    if directories:
        return [os.path.join(directory, "") for directory in directories]
    if file is None or not file.endswith(".py"):
        raise ValueError(f"expected a module with Python source that can be imported, got {name!r}")
    return [file]


def _where(name: str) -> tuple[str | None, list[str]]:
    module = sys.modules.get(name)
    if module is not None:
        return getattr(module, "__file__", None), list(getattr(module, "__path__", ()))
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        spec = None
    if spec is None:
        return None, []
    return spec.origin, list(spec.submodule_search_locations or ())


def infer_own(pool: object) -> tuple[str, ...]:
    """Return the names of the modules that count as the pool's own code, for `own_paths`.

    These are the top-level packages (or modules) of the classes that the pool's type is made of,
    and then, again and again, of what the globals of modules so found refer to, as far as it is

    - `multiprocessing` or `concurrent.futures`;
    - a package from elsewhere that starts processes: its code forks or spawns, it makes a subclass
      of multiprocessing's process, or it refers to those two and asks for a process or a pool;
    - a module that lies beside a found single module, in a folder that nothing was installed in.

    Other parts of the standard library count only where the pool's own class lives in them
    (asyncio's, say), and of poolproof nothing but its pools.
    """
    found = dict.fromkeys(filter(None, _homes_of_class(type(pool))))
    queue = list(found)
    for home in queue:  # grows while it is walked
        for name in _referred(home):
            new = _home(name)
            if new is not None and new not in found and _counts(new, home):
                found[new] = None
                queue.append(new)
    return tuple(found)


def _homes_of_class(cls: type) -> Iterator[str | None]:
    top = cls.__module__.partition(".")[0]
    if _home(cls.__module__) is None and top not in _NEVER:
        yield top
    for base in cls.__mro__:
        yield _home(base.__module__)


def _home(name: str) -> str | None:
    """Return the top-level name under which this module's code counts; None if it never does."""
    for machinery in _MACHINERY:
        if f"{name}.".startswith(f"{machinery}."):
            return machinery
    names = name.split(".")
    if ".".join(names[:2]) in _OUR_POOLS:
        return ".".join(names[:2])
    if names[0] in _NEVER or _is_standard(names[0]):
        return None
    # A namespace package (no file) is no one's own: the first part below it that has a file is.
    tops = (".".join(names[:length]) for length in range(1, len(names) + 1))
    return next((top for top in tops if getattr(sys.modules.get(top), "__file__", None)), None)


def _is_standard(top: str) -> bool:
    file = getattr(sys.modules.get(top), "__file__", None)
    # A stranger's module may bear a name of the standard library.
    return top in sys.stdlib_module_names and (file is None or file.startswith(_STANDARD_LIBRARY))


def _loaded(home: str) -> list[ModuleType]:
    within = f"{home}."
    modules = [
        module for name, module in sys.modules.copy().items() if f"{name}.".startswith(within)
    ]
    return [module for module in modules if _globals(module)]


def _globals(module: Any) -> dict[str, Any]:
    # Not vars(), which would load a lazy module. What only poses as a module has nothing to show.
    return object.__getattribute__(module, "__dict__") if isinstance(module, ModuleType) else {}


def _referred(home: str) -> list[str]:
    values = chain.from_iterable(_globals(module).copy().values() for module in _loaded(home))
    return sorted({name for value in values if (name := _module_of(value))})


def _module_of(value: Any) -> str | None:
    """Return the module that a value is, or comes from; the value is not asked: proxies answer."""
    asked: object = value
    kind = type(asked)
    if issubclass(kind, ModuleType):
        name = _globals(value).get("__name__")
    elif issubclass(kind, type) or kind is FunctionType:
        name = value.__module__
    elif kind is MethodType:
        name = value.__func__.__module__
    else:
        name = kind.__module__
    return name if isinstance(name, str) else None


def _counts(home: str, referrer: str) -> bool:
    return home in _MACHINERY or _lies_beside(home, referrer) or _starts_processes(home)


def _lies_beside(home: str, referrer: str) -> bool:
    folders = _folder(home), _folder(referrer)
    single = not hasattr(sys.modules.get(referrer), "__path__")
    return single and folders[0] == folders[1] and not _is_installed(folders[0])


def _folder(home: str) -> str:
    module = sys.modules[home]
    file: str = module.__file__ or ""
    directory = os.path.dirname(file)
    return os.path.dirname(directory) if hasattr(module, "__path__") else directory


def _is_installed(folder: str) -> bool:
    return bool({"site-packages", "dist-packages"}.intersection(folder.split(os.sep)))


def _starts_processes(home: str) -> bool:
    modules = _loaded(home)
    codes = chain.from_iterable(_codes(module) for module in modules)
    names = set(chain.from_iterable(code.co_names for code in codes))
    if names & _FORKS or any(_makes_process(module) for module in modules):
        return True
    return bool(names & _ASKS_FOR_PROCESSES) and bool(_MACHINERY & set(map(_home, _referred(home))))


def _makes_process(module: ModuleType) -> bool:
    process = getattr(sys.modules.get("multiprocessing.process"), "BaseProcess", None)
    return process is not None and any(process in cls.__mro__ for cls in _classes(module))


def _classes(module: ModuleType) -> list[type]:
    classes = [value for value in _globals(module).copy().values() if issubclass(type(value), type)]
    return [cls for cls in classes if cls.__module__ == module.__name__]


def _codes(module: ModuleType) -> Iterator[CodeType]:
    """Yield the code of a module's functions and of its classes' methods, nested code included."""
    scopes = [_globals(module), *(vars(cls) for cls in _classes(module))]
    for value in chain.from_iterable(list(scope.values()) for scope in scopes):
        function = _plain(value)
        if type(function) is FunctionType and function.__module__ == module.__name__:
            yield from _nested(function.__code__)


def _plain(value: Any) -> Any:
    if type(value) is property:
        return value.fget
    return value.__func__ if type(value) in {classmethod, staticmethod} else value


def _nested(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _nested(constant)
