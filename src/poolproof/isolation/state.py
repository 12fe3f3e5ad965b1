"""The state of an object, taken and put back: attributes, and what is in the containers among them."""

import collections
import inspect
from collections.abc import Callable, MutableMapping, MutableSequence, MutableSet
from dataclasses import dataclass
from typing import Any, Final, cast

from poolproof.errors import UsageError

MOST_OBJECTS: Final = 10_000


@dataclass(frozen=True, slots=True)
class Content:
    """A container, and what was in it."""

    holder: Any
    kept: Any
    restore: Callable[[Any, Any], None]

    def same(self) -> bool:
        """Tell whether the very same things are in it."""
        return _alike(self.holder, self.kept)

    def put_back(self) -> None:
        """Fill it as it was, if it is not."""
        if not self.same():
            self.restore(self.holder, self.kept)

    @property
    def is_mapping(self) -> bool:
        """Whether it holds values by key."""
        return isinstance(self.kept, dict)

    def inside(self) -> list[Any]:
        """Return the values that it held."""
        return list(self.kept.values()) if self.is_mapping else list(self.kept)

    def keys(self) -> list[Any]:
        """Return the keys of a mapping, or what anything else held."""
        return list(self.kept)


def _alike(one: Any, other: Any) -> bool:
    """Compare by identity of what is in them: a value that was replaced by an equal one was replaced."""
    if isinstance(other, dict):
        return _entries(one) == _entries(cast("Any", other))
    if isinstance(one, MutableSet):
        return {id(item) for item in cast("Any", one)} == {id(item) for item in other}
    return [id(item) for item in one] == [id(item) for item in other]


def _entries(mapping: Any) -> list[tuple[Any, int]]:
    return [(key, id(value)) for key, value in mapping.items()]


def _refill_mapping(holder: Any, kept: Any) -> None:
    holder.clear()
    holder.update(kept)


def _refill_sequence(holder: Any, kept: Any) -> None:
    holder[:] = kept


def _refill_deque(holder: Any, kept: Any) -> None:
    holder.clear()
    holder.extend(kept)


def _refill_set(holder: Any, kept: Any) -> None:
    holder.clear()
    for item in kept:
        holder.add(item)


_KINDS: Final[tuple[tuple[type[Any], Callable[[Any], Any], Callable[[Any, Any], None]], ...]] = (
    (collections.deque, list, _refill_deque),
    (MutableMapping, dict, _refill_mapping),
    (MutableSet, list, _refill_set),
    (MutableSequence, list, _refill_sequence),
)


def content(holder: Any) -> Content | None:
    """Return how this container is put back in place; None if it is none."""
    for kind, copy, refill in _KINDS:
        if isinstance(holder, kind):
            return Content(holder, copy(holder), refill)
    return None


def _attributes(thing: Any) -> dict[str, Any]:
    """Return the attributes that live in the object itself: its `__dict__`, and the slots of its classes."""
    found: dict[str, Any] = {}
    for base in type(thing).__mro__:
        slots = base.__dict__.get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            private = name.startswith("__") and not name.endswith("__")
            mangled = f"_{base.__name__.lstrip('_')}{name}" if private else name
            if name not in {"__dict__", "__weakref__"} and hasattr(thing, mangled):
                found[mangled] = getattr(thing, mangled)
    return found | getattr(thing, "__dict__", {})


class State:
    """The state of an object: its attributes, and what is in the containers among them.

    Containers are put back in place, so that whoever else holds one sees it too. One level deep by default; `deep`
    follows containers in containers and objects with a `__dict__`, up to 10,000 of them.

    Raises:
        UsageError: the object has no state of its own, or more than that.
    """

    def __init__(self, thing: Any, what: str, *, deep: bool = False) -> None:
        self.what = what
        self._objects: list[tuple[Any, dict[str, Any]]] = []
        self._contents: list[Content] = []
        self._seen: set[int] = set()
        self._take(thing, deep=deep)
        if not self._objects and not self._contents:
            raise UsageError(
                f"expected an object with attributes or a container, got {what}, which has no state to put back"
            )

    def _take(self, top: Any, *, deep: bool) -> None:
        waiting = [(top, True)]
        for thing, open_it in waiting:  # grows while it is walked
            if id(thing) in self._seen:
                continue
            self._seen.add(id(thing))
            inside = self._take_one(thing, attributes=open_it)
            waiting.extend((value, deep) for value in inside if deep or open_it)
            if len(waiting) > MOST_OBJECTS:
                raise UsageError(
                    f"expected at most {MOST_OBJECTS} objects in the state of {self.what}, got more; track its parts"
                )

    def _take_one(self, thing: Any, *, attributes: bool) -> list[Any]:
        found = content(thing)
        if found is not None:
            self._contents.append(found)
            return found.inside()
        if (
            not attributes
            or isinstance(thing, type)
            or inspect.isroutine(thing)
            or inspect.ismodule(thing)
        ):
            return []
        attributes_found = _attributes(thing)
        if attributes_found:
            self._objects.append((thing, attributes_found))
        return list(attributes_found.values())

    def release(self) -> None:
        """Put everything back, attributes first."""
        for thing, kept in self._objects:
            for name in _attributes(thing).keys() - kept.keys():
                object.__delattr__(thing, name)
            for name, value in kept.items():
                if getattr(thing, name, self) is not value:
                    object.__setattr__(thing, name, value)
        for held in self._contents:
            held.put_back()

    def released(self) -> bool:
        """Tell whether every attribute is the object that it was, and every container holds what it held."""
        return all(self._same(thing, kept) for thing, kept in self._objects) and all(
            held.same() for held in self._contents
        )

    @staticmethod
    def _same(thing: Any, kept: dict[str, Any]) -> bool:
        now = _attributes(thing)
        return now.keys() == kept.keys() and all(now[name] is value for name, value in kept.items())
