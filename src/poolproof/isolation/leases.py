"""Who owns what outside this process: one file a run, so that what the dead left can be found and cleared.

A lease is written before the first process is started and removed after the last has ended. What a lease names is
cleared only when its owner is dead: a concurrent run is never touched.
"""

import os
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

from poolproof.isolation.containment import send_signal
from poolproof.watch import procfs

RUN_VARIABLE: Final = "POOLPROOF_RUN"
END_SECONDS: Final = 5.0


class Lease(msgspec.Struct, frozen=True, kw_only=True):
    """One run's claim: its name, its controller, and the private directory that goes with it."""

    run: str
    pid: int
    born: int
    directory: str


def home() -> Path:
    """Return the directory that holds this user's leases; made if it is not there."""
    base = Path(os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir())
    path = base / f"poolproof-{os.getuid()}"
    path.mkdir(mode=0o700, exist_ok=True)
    return path


def take(run: str) -> Lease:
    """Claim a private directory for `run` in the name of this process."""
    owner = procfs.identity(os.getpid())
    assert owner is not None
    directory = home() / run
    lease = Lease(run=run, pid=owner.pid, born=owner.born, directory=str(directory))
    (home() / f"{run}.lease").write_bytes(msgspec.json.encode(lease))
    directory.mkdir(mode=0o700)
    return lease


def release(lease: Lease) -> None:
    """Remove the private directory and the claim; harmless if they are gone."""
    shutil.rmtree(lease.directory, ignore_errors=True)
    (home() / f"{lease.run}.lease").unlink(missing_ok=True)


def abandoned() -> Iterator[Lease]:
    """Yield the leases whose owner is dead."""
    for path in sorted(home().glob("*.lease")):
        try:
            lease = msgspec.json.decode(path.read_bytes(), type=Lease)
        except (OSError, msgspec.DecodeError):
            continue  # being written, or removed, by another run at this moment
        if not procfs.alive(procfs.Identity(lease.pid, lease.born)):
            yield lease


def reap() -> list[str]:
    """Clear everything that dead runs left; return a line about each thing that was cleared."""
    return [line for lease in list(abandoned()) for line in _clear(lease)]


def _clear(lease: Lease) -> Iterator[str]:
    deadline = time.monotonic() + END_SECONDS
    ended: set[procfs.Identity] = set()
    while left := [identity for identity in _processes(lease.run) if procfs.alive(identity)]:
        ended.update(left)
        for identity in left:
            send_signal(identity, signal.SIGKILL)
        if time.monotonic() > deadline:
            yield f"run {lease.run}: {len(left)} processes would not die: {[i.pid for i in left]}"
            return
    if ended:
        yield f"run {lease.run}: ended {len(ended)} processes that its controller ({lease.pid}, dead) left"
    existed = Path(lease.directory).exists()
    with suppress(OSError):
        release(lease)
    if existed:
        yield f"run {lease.run}: removed {lease.directory}"


def _processes(run: str) -> list[procfs.Identity]:
    """Return the processes with this run's token in their environment, and whatever descends from them."""
    token = f"{RUN_VARIABLE}={run}".encode()
    marked = [int(name) for name in os.listdir("/proc") if name.isdigit() and procfs.environ_has(int(name), token)]
    pids = {pid for top in marked for pid in (top, *procfs.descendants(top))} - {os.getpid()}
    return [identity for pid in pids if (identity := procfs.identity(pid)) is not None]
