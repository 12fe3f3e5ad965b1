"""A sandbox's own places outside the process: directories, sockets, ports. Leased before made, gone in the end."""

import contextlib
import errno
import itertools
import os
import shutil
import socket
import tempfile
from collections.abc import Generator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from poolproof.errors import PoolproofError, UsageError
from poolproof.isolation import claims, leases
from poolproof.isolation.claims import Claim
from poolproof.isolation.names import Namespace, process_name

MOST_SOCKET_PATH_BYTES: Final = 107
LEAST_PORT: Final = 10_000
_LAST_RESORT: Final = 32_768

_lease: leases.Lease | None = None
_holders = 0


@contextlib.contextmanager
def process_lease() -> Generator[leases.Lease]:
    """Hold this process's lease for sandboxes: taken by its first holder, after clearing what the dead left.

    The last holder to leave gives it back, and with it whatever is left in its directory.
    """
    global _lease, _holders  # noqa: PLW0603 - one process, one lease
    if _lease is None or _lease.pid != os.getpid():  # a forked child's copy is not its own
        leases.reap(wait=0)
        _lease, _holders = leases.take(process_name(os.environ)), 0
    mine, _holders = _lease, _holders + 1
    try:
        yield mine
    finally:
        if mine.pid == os.getpid():
            _holders -= 1
            if not _holders:
                leases.release(mine)
                _lease = None


class NoPortError(PoolproofError):
    """Every port of the range is taken."""


class Places:
    """What one sandbox has outside: made when it is first asked for.

    Args:
        lease: the process's.
        namespace: the sandbox's; what an earlier attempt at the same test has left is cleared now.
    """

    def __init__(self, lease: leases.Lease, namespace: Namespace) -> None:
        self._lease = lease
        self.root = Path(lease.directory, namespace.folder)
        self.earlier = [
            what
            for attempt in namespace.earlier()
            for what, _gone in _clear(Path(lease.directory, attempt.folder))
        ]
        self._sockets: list[socket.socket] = []
        self._ports: list[Path] = []

    def directory(self, label: str) -> Path:
        """Return the private directory of that name, made at the first call."""
        path = self._below(label)
        path.mkdir(mode=0o700, exist_ok=True)
        return path

    def _below(self, label: str) -> Path:
        if not label or label in {".", "..", claims.FILE} or "/" in label or "\0" in label:
            raise UsageError(f"expected the name of one file as a label, got {label!r}")
        return self._made() / label

    def _made(self) -> Path:
        self.root.mkdir(mode=0o700, exist_ok=True)
        return self.root

    def claim(self, kind: str, what: str) -> None:
        """Write down that this sandbox makes something outside, before it does."""
        if kind not in claims.KINDS:
            raise UsageError(
                f"expected a kind of claim among {', '.join(claims.KINDS)}, got {kind!r}"
            )
        claims.note(self._made(), Claim(kind, what))

    def own(self, path: Path) -> Path:
        """Claim a path elsewhere that is not there yet: whatever is there in the end is this sandbox's.

        Raises:
            UsageError: something is there already, so that it is somebody else's.
        """
        if os.path.lexists(path):
            raise UsageError(
                f"expected a path where nothing is yet, got {path}; a sandbox removes only what its test has made"
            )
        self.claim("path", os.path.abspath(path))
        return path

    def socket_path(self, label: str) -> Path:
        """Return a path for a Unix socket, short enough to be bound (107 bytes); nothing is there yet."""
        path = self._below(label)
        if len(os.fsencode(path)) <= MOST_SOCKET_PATH_BYTES:
            return path
        short = Path(tempfile.mkdtemp(prefix="pp", dir="/tmp"))
        self.claim("path", str(short))
        return short / f"s{len(label)}"

    def port(self, host: str) -> socket.socket:
        """Return a TCP socket, bound to a port that no other sandbox of this user gets while this one lives.

        The port is below the range from which the system gives out ports of its own accord. So it stays free for a
        server that is started on its number after the socket was closed.

        Raises:
            NoPortError: all are taken.
        """
        folder = self._lease.home / leases.PORTS
        folder.mkdir(mode=0o700, exist_ok=True)
        end = _first_ephemeral()
        start = LEAST_PORT + hash((self._lease.run, next(_serial))) % max(end - LEAST_PORT, 1)
        for number in itertools.chain(range(start, end), range(LEAST_PORT, start)):
            if bound := self._bind(folder / str(number), host, number):
                return bound
        raise NoPortError(
            f"expected a free port from {LEAST_PORT} to {end - 1} at {host}, got none;"
            " `poolproof reap` frees those of the dead"
        )

    def _bind(self, claim: Path, host: str, number: int) -> socket.socket | None:
        try:
            os.link(self._lease.file, claim)
        except FileExistsError:
            return None
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        bound = socket.socket(family, socket.SOCK_STREAM)
        try:
            bound.bind((host, number))
        except OSError as error:
            bound.close()
            claim.unlink()
            if error.errno != errno.EADDRINUSE:
                raise
            return None
        self._sockets.append(bound)
        self._ports.append(claim)
        return bound

    def close_ports(self) -> Iterator[tuple[str, bool]]:
        """Close the sockets and give the ports back; yield each, and whether it is free of ours."""
        while self._ports:
            claim, bound = self._ports.pop(), self._sockets.pop()
            bound.close()
            claim.unlink(missing_ok=True)
            yield f"port {claim.name}", bound.fileno() < 0

    def clear(self) -> Iterator[tuple[str, bool]]:
        """Remove what was claimed elsewhere, then the directory; yield each that there was, and whether it is gone."""
        return _clear(self.root)


_serial = itertools.count()


def _first_ephemeral() -> int:
    with suppress(OSError, ValueError):
        low = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
        if low > LEAST_PORT:
            return low
    return _LAST_RESORT


def _clear(root: Path) -> Iterator[tuple[str, bool]]:
    for claim in claims.noted(root):
        remove = claims.KINDS[claim.kind]
        if remove(claim.what):
            yield f"{claim.kind} {claim.what}", not remove(claim.what)
    if root.exists():
        _remove_tree(root)
        yield f"directory {root}", not root.exists()


def _remove_tree(root: Path) -> None:
    """Remove a directory, also where a test has taken away its own right to do so."""
    shutil.rmtree(root, ignore_errors=True)
    if root.exists():
        for path in _folders(str(root)):
            os.chmod(path, 0o700)
        shutil.rmtree(root, ignore_errors=True)


def _folders(root: str) -> Iterator[str]:
    """Yield a directory and all below it, each before it is opened, and no link."""
    yield root
    for place, folders, _files in os.walk(root):
        paths = (os.path.join(place, folder) for folder in folders)
        yield from (path for path in paths if not os.path.islink(path))
