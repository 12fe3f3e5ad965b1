"""Who owns what outside this process: one file a run, so that what the dead left can be found and cleared.

A lease is written before the first process is started and removed after the last has ended. What a lease names is
cleared only when its owner is dead: a concurrent run is never touched.
"""

import os
import shutil
import signal
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

from poolproof.errors import PoolproofError, UsageError
from poolproof.isolation.containment import send_signal
from poolproof.watch import procfs

RUN_VARIABLE: Final = "POOLPROOF_RUN"
END_SECONDS: Final = 5.0


class ProcessesLeftError(PoolproofError):
    """Processes of a run outlived every attempt to end them."""


class Lease(msgspec.Struct, frozen=True, kw_only=True):
    """One run's claim: its name, its controller, and the private directory that goes with it."""

    run: str
    pid: int
    born: int
    directory: str


def home() -> Path:
    """Return the directory that holds this user's leases; made if it is not there.

    Raises:
        UsageError: it is there, and somebody else could write leases into it.
    """
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    base = runtime if runtime and os.access(runtime, os.W_OK | os.X_OK) else tempfile.gettempdir()
    path = Path(base) / f"poolproof-{os.getuid()}"
    with suppress(FileExistsError):
        path.mkdir(mode=0o700)
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o022:
        raise UsageError(
            f"expected {path} to be a directory that only this user can write, got"
            f" {stat.filemode(found.st_mode)} of user {found.st_uid}; remove it, or set TMPDIR"
        )
    return path


def take(run: str) -> Lease:
    """Claim a private directory for `run` in the name of this process."""
    owner = procfs.identity(os.getpid())
    assert owner is not None
    directory = home() / run
    lease = Lease(run=run, pid=owner.pid, born=owner.born, directory=str(directory))
    begun = home() / f"{run}.begun"
    begun.write_bytes(msgspec.json.encode(lease))
    begun.replace(home() / f"{run}.lease")  # whoever reads it reads all of it
    directory.mkdir(mode=0o700)
    return lease


def release(lease: Lease) -> None:
    """Remove the private directory and the claim; harmless if they are gone."""
    shutil.rmtree(lease.directory, ignore_errors=True)
    (home() / f"{lease.run}.lease").unlink(missing_ok=True)


def abandoned() -> Iterator[Lease]:
    """Yield the leases whose owner is dead."""
    return (lease for lease in _all() if not _held(lease))


def others(run: str) -> bool:
    """Tell whether another run of this user lives beside this one."""
    return any(lease.run != run and _held(lease) for lease in _all())


def _all() -> Iterator[Lease]:
    for path in sorted(home().glob("*.lease")):
        try:
            lease = msgspec.json.decode(path.read_bytes(), type=Lease)
        except (OSError, msgspec.DecodeError, UnicodeDecodeError):
            continue  # removed by another run at this moment, or no lease
        if (
            Path(lease.directory) == home() / lease.run
        ):  # else it is nothing that take() has written
            yield lease


def _held(lease: Lease) -> bool:
    return procfs.alive(procfs.Identity(lease.pid, lease.born))


def reap() -> list[str]:
    """Clear everything that dead runs left; return a line about each thing that was cleared."""
    return [line for lease in list(abandoned()) for line in _clear(lease)]


def end(lease: Lease) -> list[str]:
    """End every process that carries the run's token, and all below; return a line if there was any.

    Raises:
        ProcessesLeftError: some would not die.
    """
    deadline = time.monotonic() + END_SECONDS
    ended: set[procfs.Identity] = set()
    while left := [identity for identity in _processes(lease.run) if procfs.alive(identity)]:
        ended.update(left)
        for identity in left:
            send_signal(identity, signal.SIGKILL)
        if time.monotonic() > deadline:
            pids = ", ".join(str(identity.pid) for identity in left)
            raise ProcessesLeftError(
                f"expected the processes of run {lease.run} to die within {END_SECONDS:g} s of SIGKILL,"
                f" got {pids} still there; `poolproof reap` tries again"
            )
    if not ended:
        return []
    return [f"run {lease.run}: ended {len(ended)} processes that were left without a keeper"]


def _clear(lease: Lease) -> Iterator[str]:
    try:
        yield from end(lease)
    except ProcessesLeftError as error:
        yield str(error)
        return
    existed = Path(lease.directory).exists()
    with suppress(OSError):
        release(lease)
    if existed:
        yield f"run {lease.run}: removed {lease.directory}"


def _processes(run: str) -> list[procfs.Identity]:
    """Return the processes with this run's token in their environment, and whatever descends from them."""
    token = f"{RUN_VARIABLE}={run}".encode()
    marked = [
        int(name)
        for name in os.listdir("/proc")
        if name.isdigit() and procfs.environ_has(int(name), token)
    ]
    pids = {pid for top in marked for pid in (top, *procfs.descendants(top))} - {os.getpid()}
    return [identity for pid in pids if (identity := procfs.identity(pid)) is not None]
