"""The families of pools that are known, and which of them a pool belongs to."""

import difflib
import importlib
import inspect
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Final, Protocol, TypeVar

import poolproof.adapters
from poolproof.adapters.base import Adapter, TargetProblem

LINE: Final = 60
"""How many characters of a stranger's repr are shown."""


class AdapterClass(Protocol):
    """A class whose instances are adapters: what is registered."""

    def fits(self, pool: object) -> bool:
        """Return whether a pool is of this family, by its shape alone; nothing is submitted.

        A static method of the class.
        """
        ...

    def __call__(self, pool: Any, /) -> Adapter:
        """Return the adapter of a pool; raise TargetProblem if a method needs the impossible."""
        ...


Registered = TypeVar("Registered", bound=AdapterClass)


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """One registered family: its name, what is looked for, when it is asked, and its class."""

    name: str
    looks_for: str
    rank: int
    adapter: AdapterClass


_families: Final[dict[str, Family]] = {}


def adapter(name: str, *, looks_for: str, rank: int) -> Callable[[Registered], Registered]:
    """Register the decorated class as the adapter of a family.

    Args:
        name: as in `--adapter NAME`.
        looks_for: the shape, for the message when nothing fits.
        rank: families of a lower rank are asked first.
    """

    def register(registered: Registered) -> Registered:
        _families[name] = Family(name=name, looks_for=looks_for, rank=rank, adapter=registered)
        return registered

    return register


def families() -> list[Family]:
    """Return all families in the order in which they are asked; any module here may hold one."""
    for module in pkgutil.iter_modules(poolproof.adapters.__path__):
        importlib.import_module(f"{poolproof.adapters.__name__}.{module.name}")
    return sorted(_families.values(), key=lambda family: family.rank)


def recognise(pool: object, source: str = "the factory") -> AdapterClass:
    """Return the adapter class that fits the pool's shape.

    Args:
        pool: what the factory returned.
        source: the factory's name, for the message.

    Raises:
        TargetProblem: nothing fits; says what was looked for, and how to write an adapter.
    """
    # A class has its instances' methods, and a module may have functions of such names.
    instance = not inspect.isclass(pool) and not isinstance(pool, ModuleType)
    for family in families():
        if instance and family.adapter.fits(pool):
            return family.adapter
    raise TargetProblem(
        f"expected {source} to return a pool, got {_described(pool)}; "
        f"looked for {looked_for()}. {EXAMPLE}"
    )


def by_name(name: str, load: Callable[[str], Callable[..., Any]] | None = None) -> AdapterClass:
    """Return the adapter class of that name, or the user's own class behind `module:Class`.

    Args:
        name: a family, or `module:Class`.
        load: finds the user's class by its name.

    Raises:
        TargetProblem: there is no such family.
    """
    known = {family.name: family.adapter for family in families()}
    if name in known:
        return known[name]
    if ":" in name and load is not None:
        from poolproof.adapters.protocol import OwnAdapter  # noqa: PLC0415 - it registers itself here

        return OwnAdapter(load(name), name)
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {close[0]!r}?" if close else "your own is named module:Class"
    raise TargetProblem(f"expected an adapter among {', '.join(known)}, got {name!r}; {hint}")


def looked_for() -> str:
    """Return, in one line, the shapes that are recognised."""
    return "; ".join(f"{family.name} ({family.looks_for})" for family in families())


def _described(thing: object) -> str:
    if thing is None:
        return "None (is a `return` missing?)"
    if inspect.isclass(thing):
        return f"the class {thing.__name__} (return an instance of it)"
    if isinstance(thing, ModuleType):
        return f"the module {thing.__name__}"
    kind = type(thing)
    if kind.__module__ == "builtins":
        return f"{_short(thing)} of type {kind.__qualname__}"
    public = (name for name in dir(kind) if not name.startswith("_"))
    names = [name for name in public if callable(getattr(kind, name, None))]
    methods = f"the methods {', '.join(names[:8])}" if names else "no public methods"
    return f"{_short(thing)} of type {kind.__qualname__} with {methods}"


def _short(thing: object) -> str:
    try:
        text = repr(thing)
    except Exception:  # noqa: BLE001 - a stranger's repr may raise anything
        text = "<no repr>"
    return text if len(text) <= LINE else text[: LINE - 3] + "..."


EXAMPLE: Final = """Or return an adapter from the factory:

    class Adapted:
        def __init__(self, pool): self.pool = pool
        def start(self): pass
        def submit(self, function, *args): return self.pool.NAME(function, *args)
        def wait(self, handle): return handle.result()
        def stop(self): self.pool.close()
"""
