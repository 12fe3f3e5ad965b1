"""What no simulation can hold: threads, processes, signals, real sockets and files, refused by name."""

import asyncio
import sys
import threading
from collections.abc import Callable
from typing import Any, Final

from poolproof.agent import auditing
from poolproof.errors import UsageError

_THREADS: Final = "a thread"
_PROCESSES: Final = "an operating-system process"
_SIGNALS: Final = "a signal of the operating system"
_SOCKETS: Final = "a real socket"
_FILES: Final = "a real file descriptor"
_TLS: Final = "encryption"

_INSTEAD: Final = {
    _THREADS: "run it as a task",
    _PROCESSES: "test it on the full layer",
    _SIGNALS: "call what the signal would call",
    _SOCKETS: "give a host and a port: both ends are then kept in memory",
    _FILES: "only a socket pair with both ends in this process may be waited for",
    _TLS: "test it on the full layer",
}


class RealWorldError(UsageError):
    """The code under simulation has asked for what only a real loop can give. It has not happened.

    Attributes:
        name: the method of the loop, or the function, that was called.
    """

    def __init__(self, name: str, what: str, instead: str) -> None:
        super().__init__(
            f"expected only what a simulation can hold, got {name} ({what}), whose course no seed "
            f"decides; {instead}"
        )
        self.name = name


# Audit events of the interpreter (PEP 578): what is asked for past the loop.
_EVENTS: Final = {
    "_thread.start_new_thread": _THREADS,
    "_thread.start_joinable_thread": _THREADS,
    "subprocess.Popen": _PROCESSES,
    "os.fork": _PROCESSES,
    "os.forkpty": _PROCESSES,
    "os.posix_spawn": _PROCESSES,
    "os.system": _PROCESSES,
    "signal.pthread_kill": _SIGNALS,
    "socket.connect": _SOCKETS,
    "socket.bind": _SOCKETS,
    "socket.sendto": _SOCKETS,
    "socket.getaddrinfo": _SOCKETS,
    "socket.gethostbyname": _SOCKETS,
}
_watching: set[type] = set()


def watch(loops: type) -> None:
    """Refuse, from the first call on, what code under a loop of this type asks of the system itself.

    An audit hook cannot be taken out again. While no such loop runs in the thread it costs a look
    at a dictionary for each event.
    """
    if loops in _watching:
        return
    _watching.add(loops)

    def hook(event: str, _: tuple[Any, ...]) -> None:
        if event in _EVENTS and isinstance(_running(), loops):
            raise refuse(event, _EVENTS[event])

    auditing.add_hook(hook)
    if sys.version_info < (3, 12):  # before, the interpreter told nothing of threads
        start = vars(threading)["_start_new_thread"]

        def told(*args: Any) -> Any:
            hook("_thread.start_new_thread", args)
            return start(*args)

        setattr(threading, "_start_new_thread", told)  # noqa: B010 - it is not in the stubs


def _running() -> object:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def refuse(name: str, what: str) -> RealWorldError:
    """Return the error for `name`, which would be `what`."""
    return RealWorldError(name, what, _INSTEAD[what])


def _refused(name: str, what: str) -> Callable[..., Any]:
    def refused(*_: object, **__: object) -> Any:
        raise refuse(name, what)

    refused.__name__ = name
    refused.__doc__ = f"Refuse {what}: RealWorldError."
    return refused


class RefusesTheRealWorld:
    """The methods of an event loop that have no place in a simulation."""

    run_in_executor: Any = _refused("run_in_executor", _THREADS)
    set_default_executor: Any = _refused("set_default_executor", _THREADS)
    subprocess_exec: Any = _refused("subprocess_exec", _PROCESSES)
    subprocess_shell: Any = _refused("subprocess_shell", _PROCESSES)
    add_signal_handler: Any = _refused("add_signal_handler", _SIGNALS)
    remove_signal_handler: Any = _refused("remove_signal_handler", _SIGNALS)
    connect_read_pipe: Any = _refused("connect_read_pipe", _FILES)
    connect_write_pipe: Any = _refused("connect_write_pipe", _FILES)
    sendfile: Any = _refused("sendfile", _FILES)
    sock_accept: Any = _refused("sock_accept", _SOCKETS)
    sock_connect: Any = _refused("sock_connect", _SOCKETS)
    sock_recv: Any = _refused("sock_recv", _SOCKETS)
    sock_recv_into: Any = _refused("sock_recv_into", _SOCKETS)
    sock_recvfrom: Any = _refused("sock_recvfrom", _SOCKETS)
    sock_recvfrom_into: Any = _refused("sock_recvfrom_into", _SOCKETS)
    sock_sendall: Any = _refused("sock_sendall", _SOCKETS)
    sock_sendfile: Any = _refused("sock_sendfile", _SOCKETS)
    sock_sendto: Any = _refused("sock_sendto", _SOCKETS)
    connect_accepted_socket: Any = _refused("connect_accepted_socket", _SOCKETS)
    getaddrinfo: Any = _refused("getaddrinfo", _SOCKETS)
    getnameinfo: Any = _refused("getnameinfo", _SOCKETS)
    start_tls: Any = _refused("start_tls", _TLS)
