"""Open file descriptors, and those among them that listen."""

import io
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, Final

from poolproof.isolation.blame import Notes, shortened
from poolproof.isolation.instances import instances
from poolproof.isolation.resources.base import Change, Finding, State, living, others_run

_FOLDER: Final = "/proc/self/fd"


class Descriptors:
    """Descriptors by number and what they refer to: a number that is used again is a new one."""

    slugs = ("descriptor", "port", "event-loop")
    steady = True

    @property
    def fades(self) -> bool:
        """Whether another thread may yet end it."""
        return others_run()

    def look(self) -> State:
        """Return each descriptor's device and inode."""
        found: dict[int, tuple[int, int]] = {}
        for name in os.listdir(_FOLDER):
            number = int(name)
            with suppress(OSError):  # the one of this listing is closed by now
                status = os.fstat(number)
                found[number] = (status.st_dev, status.st_ino)
        return found  # type: ignore[return-value]

    def judge(self, change: Change, notes: Notes) -> Finding | None:
        """Report a descriptor that this turn opened; those of the standard library's servants are theirs."""
        number = change.key
        assert isinstance(number, int)
        link = _link(number)
        if not change.appeared and change.new == _identity(number) and link is None:
            return None
        if link is None or number in _of_servants():
            return None
        if loop := _loop_of(number):
            return _unclosed(loop, number)
        owner = _socket_at(number, notes) if link.startswith("socket:") else None
        site = notes.sockets.get(owner) if owner else notes.opened.get(link)
        if not notes.mine(site) or (site is None and notes.others_at_work()):
            return None
        port = _listening(number) if link.startswith("socket:") else None
        where = f"opened at {site}" if site else ""
        if port:
            return Finding(resource="port", what=f"{port} is listened on", where=where)
        return Finding(resource="descriptor", what=f"{number} -> {shortened(link)}", where=where)

    def objects(self, change: Change) -> list[object]:
        """Return the sockets and files that own it."""
        assert isinstance(change.key, int)
        return [*owners(change.key), *filter(None, [_loop_of(change.key)])]

    def undo(self, change: Change) -> None:
        """Close the object that owns it; a bare number may have an owner that nobody sees, so it stays."""
        assert isinstance(change.key, int)
        if loop := _loop_of(change.key):
            loop.close()
        for owner in owners(change.key):
            with suppress(Exception):
                owner.close()


def _identity(number: int) -> tuple[int, int] | None:
    try:
        status = os.fstat(number)
    except OSError:
        return None
    return (status.st_dev, status.st_ino)


def _link(number: int) -> str | None:
    try:
        return os.readlink(f"{_FOLDER}/{number}")
    except OSError:
        return None


def _socket_at(number: int, notes: Notes) -> Any:
    for owner in living(notes.sockets):
        with suppress(Exception):
            if owner.fileno() == number:
                return owner
    return None


def _of_servants() -> set[int]:
    """Return the descriptors by which multiprocessing holds its tracker and its fork server."""
    found: set[int] = set()
    for module, holder, names in _SERVANTS:
        servant = getattr(sys.modules.get(module), holder, None)
        found.update(
            value for name in names if isinstance(value := getattr(servant, name, None), int)
        )
    return found


_SERVANTS: Final = (
    ("multiprocessing.resource_tracker", "_resource_tracker", ("_fd",)),
    ("multiprocessing.forkserver", "_forkserver", ("_forkserver_alive_fd",)),
)


def _loop_of(number: int) -> Any:
    """Return the event loop to which a selector or a waking socket belongs."""
    events = sys.modules.get("asyncio.selector_events")
    if events is None or not (_link(number) or "").startswith(
        ("anon_inode:[eventpoll]", "socket:")
    ):
        return None
    loops = instances(events.BaseSelectorEventLoop)
    return next((loop for loop in loops if number in _descriptors_of(loop)), None)


def _descriptors_of(loop: Any) -> list[int]:
    """Return the descriptor of the selector, then those of the two sockets."""
    try:
        return [loop._selector.fileno(), loop._ssock.fileno(), loop._csock.fileno()]  # noqa: SLF001
    except (AttributeError, ValueError, OSError):
        return []


def _unclosed(loop: Any, number: int) -> Finding | None:
    """Report a loop once, at its selector; one that runs elsewhere is at work, not left."""
    if number != _descriptors_of(loop)[0]:
        return None
    return Finding(resource="event-loop", what=f"{type(loop).__name__} is not closed")


def _listening(number: int) -> str | None:
    """Return the address that a socket listens on, None if it does not."""
    try:
        with socket.socket(fileno=os.dup(number)) as copy:
            if not copy.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                return None
            name = copy.getsockname()
    except OSError:
        return None
    return f"{name[0]}:{name[1]}" if isinstance(name, tuple) else repr(name)


def owners(number: int) -> Iterator[Any]:
    """Yield the sockets and files that own a descriptor."""
    things: list[io.FileIO | socket.socket] = [*instances(io.FileIO), *instances(socket.socket)]
    for thing in things:
        with suppress(Exception):
            if thing.fileno() == number:
                yield thing
