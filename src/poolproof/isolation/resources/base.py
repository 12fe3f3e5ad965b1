"""What every family of resources offers the guard: one cheap look, and a judgement of what has changed."""

import threading
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, Protocol, runtime_checkable

from poolproof.isolation.blame import Notes


class _Absent:
    """What a key has that is not there."""

    def __repr__(self) -> str:
        return "nothing"


ABSENT: Final = _Absent()

State = Mapping[Hashable, object]


class Change(NamedTuple):
    """One key of a state that is not as it was; `ABSENT` where there was or is none."""

    key: Hashable
    old: object
    new: object

    @property
    def appeared(self) -> bool:
        """Whether there was nothing before."""
        return self.old is ABSENT


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that should not be there: which kind of resource, what, and where it was created."""

    resource: str
    what: str
    where: str = ""


class Resource(Protocol):
    """One family of resources. States are compared by `==`, so their values must bear that."""

    @property
    def slugs(self) -> tuple[str, ...]:
        """The kinds of resources that findings of this family can name."""
        ...

    @property
    def fades(self) -> bool:
        """Whether such a thing may be gone in a moment without anybody's doing, so that it is worth a wait."""
        ...

    @property
    def steady(self) -> bool:
        """Whether nothing but tests changes it, so that a look after one test serves before the next."""
        ...

    def look(self) -> State:
        """Return what there is now; called twice a test, so in microseconds.

        The same object again means that nothing has changed.
        """
        ...

    def judge(self, change: Change, notes: Notes) -> Finding | None:
        """Return what is wrong about a change, None if nothing is."""
        ...

    def undo(self, change: Change) -> None:
        """Put it back, or end it; what cannot be undone is left."""
        ...


@runtime_checkable
class Held(Protocol):
    """A resource whose things are objects, which somebody may hold."""

    def objects(self, change: Change) -> list[object]:
        """Return the objects that stand for a thing: whoever holds one of them answers for it."""
        ...


def changes(before: State, after: State) -> Iterator[Change]:
    """Yield what is different between two looks."""
    for key, new in after.items():
        old = before.get(key, ABSENT)
        if old is not new and (old is ABSENT or old != new):
            yield Change(key, old, new)
    for key, old in before.items():
        if key not in after:
            yield Change(key, old, ABSENT)


class Same:
    """A value that is equal to itself alone, whatever its class says of equality."""

    __slots__ = ("value",)

    def __init__(self, value: object) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Same) and self.value is other.value

    def __hash__(self) -> int:
        return id(self.value)

    def __repr__(self) -> str:
        return shown(self.value)


def others_run() -> bool:
    """Tell whether another thread runs, which may yet close what it has opened; alone, nothing changes by itself."""
    return threading.active_count() > 1


def living(things: Any) -> list[Any]:
    """Return what is in a weak set, or the keys of a weak mapping; a copy, for another thread may add to it."""
    if things is None:
        return []
    references: list[Callable[[], Any]] = [
        *things.data
    ]  # in one step: no code in Python runs in it
    return [thing for one in references if (thing := one()) is not None]


MOST_SHOWN: Final = 120


def shown(value: object) -> str:
    """Return a value as text of a bounded length, whatever its class does when asked for it."""
    try:
        text = repr(value)
    except Exception as error:  # noqa: BLE001 (it is a stranger's code)
        text = f"<{type(value).__name__} whose repr raises {type(error).__name__}>"
    return text if len(text) <= MOST_SHOWN else text[: MOST_SHOWN - 3] + "..."
