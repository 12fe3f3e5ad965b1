"""Names.

Structured, within a scope that nobody else has, and free again the moment their holder has ended.
"""

from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Literal

from poolproof import simulation
from poolproof.errors import PoolproofError
from poolproof.supervision.overriding import override
from poolproof.supervision.process import Process
from poolproof.supervision.reasons import ExitReason


@dataclass(frozen=True, slots=True)
class Scope:
    """The place where one tree's names live.

    Two scopes are never equal, not even across processes or machines; under simulation, the n-th of
    one run equals the n-th of another with its seed, and no other.

    Attributes:
        label: for people; may be the same in many scopes.
        token: unique; goes into environments, file names and histories, and is compared, never
            searched for.
    """

    label: str
    token: str = field(default_factory=simulation.token)

    def name(self, *parts: Hashable) -> "Name":
        """Return the name with these parts in this scope."""
        return Name(self, parts)

    @override
    def __str__(self) -> str:
        return f"{self.label}~{self.token[:8]}"


@dataclass(frozen=True, slots=True)
class Name:
    """A structured name: equal only if the scope and every part are.

    `("a", "b")` never meets `("a/b",)`.
    """

    scope: Scope
    parts: tuple[Hashable, ...]

    @override
    def __str__(self) -> str:
        return f"{self.scope}:{'/'.join(str(part) for part in self.parts)}"


class AlreadyRegisteredError(PoolproofError):
    """The name is taken; `process` is its holder (OTP's `already_started`)."""

    def __init__(self, name: Name, process: Process) -> None:
        super().__init__(
            f"expected {name} to be free, got {process!r} as its holder; names are unique here"
        )
        self.name, self.process = name, process


class ForeignNameError(PoolproofError):
    """The name belongs to another scope than the registry's."""

    def __init__(self, name: Name, scope: Scope) -> None:
        super().__init__(
            f"expected a name of scope {scope}, got {name}; make it with the registry's `scope`"
        )
        self.name, self.scope = name, scope


class Registry:
    """Who holds which name, within one scope.

    Unlike Elixir's, a name is free as soon as its holder has ended, before any monitor or link is
    told: a lookup never returns the dead.

    Args:
        scope: whose names are kept; others are refused.
        keys: `unique`, or `duplicate` where a name may have many holders.

    Example:
        >>> registry = Registry(Scope("orders"))
        >>> registry.register(registry.scope.name("pool", 1), process)
        >>> registry.lookup(registry.scope.name("pool", 1))
    """

    def __init__(self, scope: Scope, *, keys: Literal["unique", "duplicate"] = "unique") -> None:
        self.scope = scope
        self.keys = keys
        self._holders: dict[Name, list[Process]] = {}

    def register(self, name: Name, process: Process) -> None:
        """Give `name` to `process` until it ends or gives it back.

        A process that has ended gets nothing.

        Raises:
            AlreadyRegisteredError: keys are unique and somebody has it.
            ForeignNameError: the name is of another scope.
        """
        self._check(name)
        holders = self._holders.get(name, [])
        if holders and (self.keys == "unique" or process in holders):
            raise AlreadyRegisteredError(name, holders[0])
        if not process.alive:
            return
        self._holders.setdefault(name, []).append(process)

        def ended(process: Process, _: ExitReason) -> None:
            self.unregister(name, process)

        process.watch(ended, first=True)

    def unregister(self, name: Name, process: Process) -> None:
        """Take `name` from `process`; harmless if it does not hold it."""
        holders = self._holders.get(name, [])
        if process in holders:
            holders.remove(process)
        if not holders:
            self._holders.pop(name, None)

    def lookup(self, name: Name) -> Process | None:
        """Return a living holder of `name`, or None."""
        return next(iter(self.lookup_all(name)), None)

    def lookup_all(self, name: Name) -> tuple[Process, ...]:
        """Return all living holders of `name`, in the order of their registration."""
        self._check(name)
        # A task that is over frees its name only when its callback runs; `alive` looks at the task
        # itself.
        return tuple(process for process in tuple(self._holders.get(name, ())) if process.alive)

    def names(self) -> tuple[Name, ...]:
        """Return the names that are held, in the order of their first registration."""
        return tuple(name for name in tuple(self._holders) if self.lookup_all(name))

    def _check(self, name: Name) -> None:
        if name.scope != self.scope:
            raise ForeignNameError(name, self.scope)
