"""Who owns what outside this process: one file a run, so that what the dead left can be found and cleared.

A lease is written before anything is made outside, and removed after the last of it is gone. What a lease names is
cleared only when its owner is dead: a concurrent run is never touched. Standard library only: tests take leases too.
"""

import contextlib
import json
import os
import secrets
import shutil
import signal
import stat
import tempfile
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

from poolproof.errors import PoolproofError, UsageError
from poolproof.isolation import claims, locks
from poolproof.isolation.containment import send_signal
from poolproof.watch import procfs

RUN_VARIABLE: Final = "POOLPROOF_RUN"
SANDBOX_VARIABLE: Final = "POOLPROOF_SANDBOX"
END_SECONDS: Final = 5.0
REAP_SECONDS: Final = 30.0
PORTS: Final = "ports"
LOCKS: Final = "locks"

_marks: dict[str, int] = {}


class ProcessesLeftError(PoolproofError):
    """Processes of a run outlived every attempt to end them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """One process's claim: its name, its owner, and the private directory that goes with it.

    Attributes:
        run: its name.
        pid: the owner's; with `born` (clock ticks since boot) it is one process for all time since boot.
        born: see there.
        directory: the private directory.
        boot: the boot of the machine that the owner lives in; empty where that is not said.
        space: the pid namespace that its pid is of; empty where that is not said.
    """

    run: str
    pid: int
    born: int
    directory: str
    boot: str = ""
    space: str = ""

    @property
    def home(self) -> Path:
        """The directory of leases that it is in, wherever `home()` points by now."""
        return Path(self.directory).parent

    @property
    def file(self) -> Path:
        """The file that says so."""
        return self.home / f"{self.run}.lease"


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
    """Claim a private directory for `run` in the name of this process.

    Raises:
        UsageError: the name is taken.
    """
    owner = procfs.identity(os.getpid())
    assert owner is not None
    lease = Lease(
        run=run,
        pid=owner.pid,
        born=owner.born,
        directory=str(home() / run),
        boot=_boot(),
        space=_space(),
    )
    _write(lease)
    # What this process forks, without executing anything, keeps no mark in its environment, but this one: nobody else
    # can come to have it open.
    _marks[run] = os.memfd_create(_mark(run), os.MFD_CLOEXEC)
    Path(lease.directory).mkdir(mode=0o700)
    return lease


@contextlib.contextmanager
def claimed(say: Callable[[str], None]) -> Generator[Lease]:
    """Clear what dead runs left, take a lease under a new name, and clear it and all that is its own in the end.

    Args:
        say: is told, a line each, what had to be cleared.
    """
    for line in reap():
        say(f"cleared {line}")
    lease = take(f"{time.strftime('%m%d-%H%M%S')}-{secrets.token_hex(3)}")
    try:
        yield lease
    finally:
        for line in end(lease):  # the host has ended already, unless its keeper was hit
            say(line)
        release(lease)


def _write(lease: Lease) -> None:
    begun = lease.home / f"{lease.run}.begun"
    begun.write_text(json.dumps(asdict(lease)))
    try:
        os.link(begun, lease.file)  # whoever reads it reads all of it, and nobody's is overwritten
    except FileExistsError:
        raise UsageError(
            f"expected a run name that nobody has, got {lease.run}, which {lease.file} claims;"
            " choose another, or clear what the dead left with `poolproof reap`"
        ) from None
    finally:
        begun.unlink(missing_ok=True)


def _mark(run: str) -> str:
    return f"poolproof-lease-{run}"


def release(lease: Lease) -> None:
    """Remove the private directory and the claim; harmless if they are gone."""
    shutil.rmtree(lease.directory, ignore_errors=True)
    lease.file.unlink(missing_ok=True)
    with suppress(KeyError, OSError):
        os.close(_marks.pop(lease.run))


def held(lease: Lease) -> bool:
    """Tell whether the lease's owner lives; True of one in another container, of which only that can tell."""
    if lease.boot and lease.boot != _boot():
        return False
    if lease.space and lease.space != _space():
        return True
    return procfs.alive(procfs.Identity(lease.pid, lease.born))


@cache
def _boot() -> str:
    return procfs.read("/proc/sys/kernel/random/boot_id").decode().strip()


@cache
def _space() -> str:
    return os.readlink("/proc/self/ns/pid")


def abandoned() -> Iterator[Lease]:
    """Yield the leases whose owner is dead."""
    return (lease for lease in _all() if not held(lease))


def others(run: str) -> bool:
    """Tell whether another run of this user lives beside this one."""
    return any(lease.run != run and held(lease) for lease in _all())


def _all() -> Iterator[Lease]:
    found = (read(path) for path in sorted(home().glob("*.lease")))
    return (lease for lease in found if lease is not None)


def read(path: Path) -> Lease | None:
    """Return what the file claims; None if it is gone, damaged, or nothing that `take` has written."""
    try:
        data: Any = json.loads(path.read_bytes())
        lease = Lease(**data)
        Path(lease.directory)
    except (OSError, ValueError, TypeError):
        return None
    texts = type(lease.run) is type(lease.boot) is type(lease.space) is str
    numbers = type(lease.pid) is type(lease.born) is int
    # A port's claim is the same file by another name, one directory further down.
    homes = (path.parent, path.parent.parent)
    mine = any(Path(lease.directory) == base / lease.run for base in homes)
    return lease if texts and numbers and mine else None


def reap(*, wait: float = REAP_SECONDS) -> list[str]:
    """Clear everything that dead runs left; return a line about each thing that was cleared.

    Args:
        wait: for how many seconds to wait where another reaper is at work; after that, the work is left to it.
    """
    with _alone(wait) as free:
        if not free:
            return [f"expected to reap alone within {wait:g} s, got another reaper still at work"]
        return [line for clear in (_dead, _strays, _unclaimed, _ports, _queues) for line in clear()]


@contextlib.contextmanager
def _alone(wait: float) -> Generator[bool]:
    """Two reapers at once could both judge a file, and the second remove what has replaced it."""
    descriptor = os.open(home(), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield locks.locked(descriptor, time.monotonic() + wait)
    finally:
        os.close(descriptor)


def _dead() -> Iterator[str]:
    leases = list(_all())
    dead = [lease for lease in leases if not held(lease)]
    spared = {claim for lease in leases if held(lease) for claim in claims.of(lease.directory)}
    for lease in dead:
        yield from _clear(lease, spared)


def _strays() -> Iterator[str]:
    """Remove what is no lease: one that is damaged, or whose writer was killed half-way."""
    for path in sorted((*home().glob("*.lease"), *home().glob("*.begun"))):
        if _nobodys(path):
            with suppress(OSError):
                path.unlink()
                yield f"removed {path}, which is no whole lease"


def _unclaimed() -> Iterator[str]:
    """Remove directories without a lease: a lease is written before its directory is made, and removed after it."""
    directories = [path for path in sorted(home().iterdir()) if path.is_dir()]
    for path in directories:
        claimed = path.with_name(f"{path.name}.lease").exists() or path.name in (PORTS, LOCKS)
        if not claimed and not _bearers(path.name):
            shutil.rmtree(path, ignore_errors=True)
            yield f"removed {path}, which no lease claims"


def _nobodys(path: Path) -> bool:
    """Tell whether a file claims nothing for anybody who lives, by what it says and by who has it open."""
    lease = read(path)
    if lease is None and not _open_somewhere(path):
        lease = read(path)  # it may have been finished just before it was closed
        return lease is None and not _bearers(path.stem)
    return path.suffix == ".begun" and lease is not None and not held(lease)


def _ports() -> Iterator[str]:
    for path in sorted((home() / PORTS).glob("*")):
        lease = read(path)
        if lease is None or not held(lease):
            path.unlink(missing_ok=True)
            yield f"freed port {path.name}" + (f" of run {lease.run}" if lease else "")


def _queues() -> Iterator[str]:
    for path in sorted((home() / LOCKS).glob("*")):
        dead = locks.clear(path)
        if dead:
            yield f"cleared {dead} dead in the queue of lock {path.name}"


def end(lease: Lease) -> list[str]:
    """End every process that carries the run's token, and all below; return a line if there was any.

    Of the caller's own run that is all. Of a dead one, what it forked without executing anything counts as well, which
    carries only the lease's mark: while the owner lives, its other children carry that, too, and are not the run's.

    Raises:
        ProcessesLeftError: some would not die.
    """
    deadline = time.monotonic() + END_SECONDS
    ended: set[procfs.Identity] = set()
    while left := [identity for identity in _processes(lease) if procfs.alive(identity)]:
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


def _clear(lease: Lease, spared: set[claims.Claim]) -> Iterator[str]:
    try:
        yield from end(lease)
        yield from claims.clear(lease.directory, spared, f"run {lease.run}: ")
    except PoolproofError as error:
        yield str(error)
        return
    existed = Path(lease.directory).exists()
    with suppress(OSError):
        release(lease)
    if existed:
        yield f"run {lease.run}: removed {lease.directory}"


def _processes(lease: Lease) -> list[procfs.Identity]:
    """Return the processes that are the run's, and all below them; never the caller, nor what is only its child."""
    own = os.getpid()
    tops = [pid for pid in _bearers(lease.run, forked=lease.pid != own) if pid != own]
    pids = {pid for top in tops for pid in (top, *procfs.descendants(top))} - {own}
    return [identity for pid in pids if (identity := procfs.identity(pid)) is not None]


def _bearers(run: str, *, forked: bool = True) -> list[int]:
    """Return the processes that carry the run's token in their environment or, `forked`, its lease's mark."""
    entry = f"{RUN_VARIABLE}={run}".encode()
    sandbox = f"{SANDBOX_VARIABLE}={run}/".encode()
    mark = f"/memfd:{_mark(run)} (deleted)"

    def bears(pid: int) -> bool:
        fields = procfs.environ(pid)
        return (
            entry in fields
            or any(field.startswith(sandbox) for field in fields)
            or (forked and any(link == mark for _, link in procfs.links(pid)))
        )

    return [int(name) for name in os.listdir("/proc") if name.isdigit() and bears(int(name))]


def _open_somewhere(path: Path) -> bool:
    pids = (int(name) for name in os.listdir("/proc") if name.isdigit())
    return any(link == str(path) for pid in pids for _, link in procfs.links(pid))
