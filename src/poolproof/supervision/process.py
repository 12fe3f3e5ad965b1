"""What everything that can be supervised is.

An identity that gets exit signals, has links, and ends once.
"""

import itertools
from collections.abc import Awaitable, Callable, Hashable
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

from poolproof.supervision.overriding import override
from poolproof.supervision.reasons import KILLED, NOPROC, NORMAL, SHUTDOWN, ExitReason

if TYPE_CHECKING:
    import asyncio

    from poolproof.supervision.events import Sink
    from poolproof.supervision.registry import Scope

Watcher = Callable[["Process", ExitReason], None]

_serials = itertools.count(1)


class Owner(Protocol):
    """Who is told, before all others, that a process of its own has ended."""

    def child_exited(self, process: "Process", reason: ExitReason) -> None:
        """Take note of the end of `process`."""


class Parent(Owner, Protocol):
    """What a starter may know of the supervisor that it starts a child for."""

    @property
    def loop(self) -> "asyncio.AbstractEventLoop":
        """The loop that everything in the tree runs on."""
        ...

    @property
    def path(self) -> tuple[str, ...]:
        """The names from the root of the tree down to the supervisor."""
        ...

    @property
    def scope(self) -> "Scope":
        """Where the tree's names live, and nobody else's."""
        ...

    @property
    def sink(self) -> "Sink | None":
        """Where the events of the tree go."""
        ...


class Starter(Protocol):
    """The one child protocol: something that can start a process, again and again."""

    def start(
        self, parent: Parent, child_id: Hashable, /
    ) -> "Process | Awaitable[Process | None] | None":
        """Start a process and return it once it is up; None is OTP's `ignore`.

        Any exception is a failed start.
        """
        ...


class SystemRequest(NamedTuple):
    """One of the requests that `sys` has for every process that serves them.

    `argument` is for some.
    """

    name: Literal["state", "suspend", "resume", "replace_state", "trace"]
    argument: Any = None


class Process:
    """Something alive that can be told to end, and that says once why it ended.

    A process is what a supervisor supervises: a coroutine, an actor, an operating-system process,
        another supervisor.
    """

    __slots__ = ("__weakref__", "_links", "_watchers", "owner", "reason", "serial", "ticket")

    def __init__(self) -> None:
        self.serial = next(_serials)
        self.reason: ExitReason | None = None
        self.owner: Owner | None = None
        self.ticket: Any = None
        self._links: set[Process] | None = None
        self._watchers: list[Watcher] | None = None

    @property
    def alive(self) -> bool:
        """Whether the process has not ended yet."""
        self.settle()
        return self.reason is None

    @override
    def __repr__(self) -> str:
        state = "alive" if self.reason is None else str(self.reason)
        return f"<{type(self).__name__} {self.serial} {state}>"

    def exit(self, reason: ExitReason = SHUTDOWN, sender: "Process | None" = None) -> None:
        """Send an exit signal, as OTP's `exit/2`.

        `KILL` cannot be trapped, others can, `NORMAL` is ignored.
        """
        self.settle()
        if self.reason is not None:
            return
        if reason.kind == "kill":
            self.kill()
        else:
            self.signal(reason, sender)

    def settle(self) -> None:
        """Make an end that has happened, but has not been noticed, known.

        There is none unless a kind has it.
        """

    def kill(self) -> None:
        """End at once with reason `killed`."""
        raise NotImplementedError

    def signal(self, reason: ExitReason, sender: "Process | None", /) -> None:
        """React to an exit signal other than `KILL`."""
        raise NotImplementedError

    def system(self, _request: "SystemRequest", /) -> "asyncio.Future[Any]":
        """Serve one of the `sys` requests; only actors and supervisors do."""
        raise TypeError(
            f"expected an actor or a supervisor, got {self!r}, which serves no system messages"
        )

    def finish(self, reason: ExitReason) -> None:
        """Note the end, free the names, then tell monitors, links and the owner, each once."""
        if self.reason is not None:
            return
        self.reason = reason
        watchers, links, owner = self._watchers, self._links, self.owner
        self._watchers = self._links = self.owner = None
        for watcher in watchers or ():
            watcher(self, reason)
        for other in links or ():
            other.forget_link(self)
            other.exit(reason, self)
        if owner is not None:
            owner.child_exited(self, reason)

    def watch(self, watcher: Watcher, *, first: bool = False) -> None:
        """Have `watcher` called once with the reason.

        At once, with `noproc`, if there is no process any more.
        """
        if not self.alive:
            watcher(self, NOPROC)
            return
        if self._watchers is None:
            self._watchers = []
        self._watchers.insert(0 if first else len(self._watchers), watcher)

    def unwatch(self, watcher: Watcher) -> None:
        """Undo `watch`; harmless where there is nothing to undo."""
        if self._watchers and watcher in self._watchers:
            self._watchers.remove(watcher)

    def add_link(self, other: "Process") -> None:
        """Note one half of a link; use `link`."""
        if self._links is None:
            self._links = set()
        self._links.add(other)

    def forget_link(self, other: "Process") -> None:
        """Drop one half of a link; use `unlink`."""
        if self._links is not None:
            self._links.discard(other)


def reason_into(ended: "asyncio.Future[ExitReason]") -> Watcher:
    """Return a watcher that puts the reason into `ended`."""

    def watcher(_: Process, reason: ExitReason) -> None:
        if not ended.done():
            ended.set_result(reason)

    return watcher


class ForeignProcess(Process):
    """A process that nobody here drives.

    It ends when `finish` is called. The base of scripted doubles.
    """

    __slots__ = ()

    @override
    def kill(self) -> None:
        """End at once."""
        self.finish(KILLED)

    @override
    def signal(self, reason: ExitReason, _sender: Process | None, /) -> None:
        """End for any reason but `normal`."""
        if reason != NORMAL:
            self.finish(reason)
