"""Named events between the tasks of a test, with a log of who signalled and who waited."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal

from poolproof.errors import UsageError
from poolproof.sync.waiter import DEFAULT_TIMEOUT, clock, listed, shortly, who

if TYPE_CHECKING:
    from poolproof.history import Event

MAX_MARKS: Final = 10_000
Deed = Literal["created", "signalled", "waits", "passed", "left", "timed out"]

_log = logging.getLogger("poolproof.sync")


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """One line of a coordinator's log: when (nanoseconds of the loop's clock), who did what."""

    t_ns: int
    who: str
    did: Deed
    event: str
    data: Any = None

    def __str__(self) -> str:
        carried = "" if self.data is None else f" with {shortly(self.data)}"
        return f"{self.t_ns / 1e9:.3f} s {self.who}: {self.did} {self.event!r}{carried}"

    def history_event(self) -> "Event":
        """Return the line of a run's history that records this; the kind is `note`."""
        from poolproof.history import Event  # noqa: PLC0415 - not every user of this module has it

        data = {"event": self.event, "who": self.who, "did": self.did}
        return Event(t=self.t_ns, kind="note", message=str(self)[:500], data=data)


@dataclass(slots=True)
class _Named:
    timeout: float = DEFAULT_TIMEOUT
    signalled: bool = False
    data: Any = None
    held: "list[asyncio.Future[None]]" = field(default_factory=list["asyncio.Future[None]"])


class EventCoordinator:
    """Named events between tasks of one loop, with a log of who signalled and who waited.

    An event stays signalled. A wait that runs out of time is answered by False, and the log of all
    that was done, bounded, goes to the logger `poolproof.sync`, which pytest shows with a failure.

    Args:
        record: is given each mark as an event of the history, for instance to append it.

    Example:
        >>> events = EventCoordinator()
        >>> events.create_barrier("migrated", timeout=2.0)
        >>> assert await events.wait_for_event("migrated")  # elsewhere: signal_event("migrated")
    """

    def __init__(self, record: Callable[["Event"], None] | None = None) -> None:
        self.marks: deque[Mark] = deque(maxlen=MAX_MARKS)
        self._events: dict[str, _Named] = {}
        self._record = record

    def create_barrier(self, name: str, timeout: float = DEFAULT_TIMEOUT) -> None:
        """Hold whoever waits for `name`, for at most `timeout` seconds, until it is signalled.

        Raises:
            UsageError: there is one of this name.
        """
        if name in self._events:
            raise UsageError(f"expected a new name of an event, got {name!r} again")
        self._events[name] = _Named(timeout)
        self._mark("created", name)

    def signal_event(self, name: str, data: Any = None) -> None:
        """Let go all who wait for `name`, now and later; `data` is kept for them."""
        event = self._events.setdefault(name, _Named())
        event.signalled, event.data = True, data
        self._mark("signalled", name, data)
        for held in event.held:
            _let_go(held)

    async def wait_for_event(self, name: str, timeout: float | None = None) -> bool:  # noqa: ASYNC109
        """Return True as soon as `name` is signalled; False after the time-out, with a note.

        Args:
            name: of the event; it need not have been created.
            timeout: seconds; None means what `create_barrier` said, or 5.0.
        """
        event = self._events.setdefault(name, _Named())
        self._mark("waits", name)
        if not event.signalled:
            await self._hold(name, event, event.timeout if timeout is None else timeout)
        self._mark("passed" if event.signalled else "timed out", name)
        if not event.signalled:
            _log.warning(self.diagnosis(name))
        return event.signalled

    async def _hold(self, name: str, event: _Named, timeout: float) -> None:  # noqa: ASYNC109
        loop = asyncio.get_running_loop()
        held: asyncio.Future[None] = loop.create_future()
        event.held.append(held)
        timer = loop.call_later(timeout, _let_go, held)
        try:
            await held
        except asyncio.CancelledError:
            self._mark("left", name)
            raise
        finally:
            timer.cancel()
            event.held.remove(held)

    def data(self, name: str) -> Any:
        """Return what the last signal of `name` carried, or None."""
        return self._events[name].data if name in self._events else None

    def diagnosis(self, name: str) -> str:
        """Return who waited for `name` and who signalled what, in the order of time."""
        waited = listed(str(mark) for mark in self.marks if mark.event == name)
        signalled = listed(str(mark) for mark in self.marks if mark.did == "signalled")
        return f"event {name!r}: {waited}; signalled in all: {signalled}"

    def _mark(self, did: Deed, name: str, data: Any = None) -> None:
        mark = Mark(t_ns=round(clock() * 1e9), who=who(), did=did, event=name, data=data)
        self.marks.append(mark)
        if self._record:
            self._record(mark.history_event())


def _let_go(held: "asyncio.Future[None]") -> None:
    if not held.done():
        held.set_result(None)
