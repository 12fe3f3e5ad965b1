"""What a test shares with other tests inside this process, put back as it was: state, caches, tables, singletons.

Each is taken when the test hands it over, released once, and then proves that it is as it was.
"""

import collections
import importlib
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any, Final, Protocol

from poolproof.errors import UsageError
from poolproof.isolation.state import content

_COUNTERS: Final = ("hits", "misses", "evictions", "expirations")
_RESETS: Final = ("reset_statistics", "reset_stats", "clear_stats", "clear_statistics")
_FLUSHES: Final = ("cache_clear", "flush", "clear", "evict_all")


class Tracked(Protocol):
    """Something that was handed over: what it is, how it is released, and the proof that it was."""

    what: str

    def release(self) -> None:
        """Put it back as it was; harmless if it is."""

    def released(self) -> bool:
        """Tell whether it is as it was."""
        ...


def resolve(path: str) -> tuple[Any, str]:
    """Return the module and the last name of `package.module:name.name`.

    Raises:
        UsageError: there is nothing of that name.
    """
    module, _, names = path.partition(":")
    try:
        holder: Any = importlib.import_module(module)
        *way, last = names.split(".")
        for name in way:
            holder = getattr(holder, name)
        getattr(holder, last)
    except (ImportError, AttributeError, ValueError) as error:
        raise UsageError(
            f"expected package.module:NAME of something that exists, got {path!r}: {error}"
        ) from error
    return holder, last


class Table:
    """A registry or table that tests share: what this test has put in goes, what it has taken or changed comes back.

    Who else has put in something meanwhile is not disturbed if `mine` says which entries are this test's.
    """

    def __init__(
        self,
        table: Any,
        what: str,
        mine: Callable[[Any], bool] | None,
    ) -> None:
        found = content(table)
        if found is None or isinstance(table, list | collections.deque):
            raise UsageError(f"expected a mapping or a set as a table, got {what}")
        self.what = what
        self._table = table
        self._content = found
        self._mine = mine

    def release(self) -> None:
        """Remove this test's entries; without `mine`, put the whole table back."""
        if self._mine is None:
            self._content.put_back()
            return
        for key in self.own():
            if self._content.is_mapping:
                del self._table[key]
            else:
                self._table.discard(key)

    def own(self) -> list[Any]:
        """Return the keys that are there, were not, and are this test's."""
        kept = set(self._content.keys())
        return [
            key for key in self._table if key not in kept and (not self._mine or self._mine(key))
        ]

    def released(self) -> bool:
        """Tell whether nothing of this test's is there."""
        return self._content.same() if self._mine is None else not self.own()


class Cache:
    """A cache: its statistics are reset when it is tracked, and it is flushed when it is released.

    It may be an `lru_cache`, or any object with `cache_clear`, `flush`, `clear` or `evict_all`. Of statistics, it may
    have a method like `reset_stats`, or counters named `hits`, `misses`, `evictions`, `expirations`.

    Raises:
        UsageError: it has no way to be flushed.
    """

    def __init__(self, cache: Any, what: str) -> None:
        self.what = what
        self._cache = cache
        self._flush = _first(cache, _FLUSHES)
        if self._flush is None:
            raise UsageError(f"expected a cache with one of {', '.join(_FLUSHES)}, got {what}")
        self._reset()

    def _reset(self) -> None:
        if hasattr(self._cache, "cache_info"):
            assert self._flush is not None
            self._flush()  # of an lru_cache, the only way to reset its statistics
        reset = _first(self._cache, _RESETS)
        if reset is not None:
            reset()
        for holder in (self._cache, getattr(self._cache, "stats", None)):
            for name in _COUNTERS:
                if type(getattr(holder, name, None)) is int:
                    setattr(holder, name, 0)

    def release(self) -> None:
        """Flush it, and reset its statistics."""
        assert self._flush is not None
        self._flush()
        self._reset()

    def released(self) -> bool:
        """Tell whether it is empty, by what it says itself; True if it cannot tell."""
        info = getattr(self._cache, "cache_info", None)
        if info is not None:
            return bool(info().currsize == 0)
        return not len(self._cache) if hasattr(self._cache, "__len__") else True


def caches_of(module: ModuleType) -> Iterator[tuple[str, Any]]:
    """Yield (name, cache) for every `lru_cache` among a module's own functions."""
    everything: dict[str, Any] = dict(vars(module))
    for name, value in everything.items():
        own = getattr(value, "__module__", None) == module.__name__
        if own and callable(getattr(value, "cache_clear", None)) and hasattr(value, "cache_info"):
            yield f"{module.__name__}.{name}", value


def _first(thing: Any, names: tuple[str, ...]) -> Callable[[], Any] | None:
    found = (getattr(thing, name, None) for name in names)
    return next((method for method in found if callable(method)), None)


class Swap:
    """A module's object, replaced by another one for a while."""

    def __init__(self, path: str, replacement: object) -> None:
        self.what = path
        self._holder, self._name = resolve(path)
        self._before = getattr(self._holder, self._name)
        setattr(self._holder, self._name, replacement)

    def release(self) -> None:
        """Put the object back."""
        setattr(self._holder, self._name, self._before)

    def released(self) -> bool:
        """Tell whether it is there again."""
        return getattr(self._holder, self._name, None) is self._before
