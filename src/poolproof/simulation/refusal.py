"""What no simulation can hold: threads, processes, signals, real sockets and files, refused by name."""

from collections.abc import Callable
from typing import Any, Final

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
