"""Faults of system calls: errors and delays that strace puts into live processes, where it is installed.

Only calls on pipes and sockets are hit, so that a job's own evidence, which goes to a file, is not.
What strace writes of each call that it spoiled is the receipt.
"""

import asyncio
import os
import shutil
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from typing import Final

from poolproof.faults.base import Fault, Inject, Scene, register
from poolproof.faults.process import PROCESSES, all_workers, busy, gone
from poolproof.history import Event
from poolproof.isolation.containment import send_signal
from poolproof.plan import FaultSpec
from poolproof.watch import procfs
from poolproof.watch.procfs import Identity

ATTACH_SECONDS: Final = 3.0
WRITES: Final = "write,writev,sendto,sendmsg"
READS: Final = "read,readv,recvfrom,recvmsg"
FORKS: Final = "clone,clone3,fork,vfork"
DELAY_US: Final = 20_000
MOST_LOG_BYTES: Final = 1 << 20
_CHANNELS: Final = ("pipe:[", "socket:[")
_SIGKILL: Final = 9


@cache
def available() -> bool:
    """Tell whether strace is installed here, and may attach to our own children."""
    strace = shutil.which("strace")
    if strace is None:
        return False
    tried = subprocess.run(  # noqa: S603
        [strace, "-qq", "-o", os.devnull, "-e", "trace=none", "true"],
        check=False,
        capture_output=True,
        timeout=ATTACH_SECONDS,
    )
    return tried.returncode == 0


@dataclass(frozen=True, slots=True)
class Tracer:
    """One strace on one process.

    Attributes:
        process: the strace.
        log: what it writes, as a file that has no name.
    """

    process: "subprocess.Popen[bytes]"
    log: int

    def injected(self) -> list[str]:
        """Return the lines about calls that it spoiled."""
        text = os.pread(self.log, MOST_LOG_BYTES, 0).decode(errors="replace")
        return [line for line in text.splitlines() if "(INJECTED)" in line or "(DELAYED)" in line]

    def end(self) -> None:
        """Have it let its process go, and leave."""
        self.process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(ATTACH_SECONDS)
            return
        self.process.kill()
        self.process.wait()


_tracers: Final[dict[Identity, Tracer]] = {}


def tracer_of(pid: int) -> int:
    """Return who traces a process, as the kernel says; 0 if nobody does, or it is gone."""
    with suppress(OSError):
        for line in procfs.read(f"/proc/{pid}/status").splitlines():
            if line.startswith(b"TracerPid:"):
                return int(line.split()[1])
    return 0


def _started(victim: Identity, calls: str, how: str, *, channels: bool = True) -> Tracer:
    log = os.memfd_create("poolproof-strace")
    names = {name for _, name in procfs.links(victim.pid) if name.startswith(_CHANNELS)}
    only = [argument for name in sorted(names) for argument in ("-P", name)] if channels else []
    command = ["strace", "-qq", "-f", "-p", str(victim.pid), *only, "-o", f"/dev/fd/{log}"]
    command += ["-e", f"trace={calls}", "-e", f"inject={calls}:{how}"]
    process = subprocess.Popen(  # noqa: S603
        command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, pass_fds=(log,)
    )
    return Tracer(process, log)


def spoil(calls: str, how: str) -> Inject:
    """Return an inject that has strace spoil calls of each victim on pipes and sockets, from its return on.

    Args:
        calls: names of system calls, by commas.
        how: what of `strace --inject` follows their names: `error=EIO:when=1`.
    """

    async def inject(scene: Scene, _spec: FaultSpec, victims: Sequence[Identity]) -> None:
        for victim in victims:
            tracer = _started(victim, calls, how)
            await _attached(scene, victim, tracer)

    return inject


async def _attached(scene: Scene, victim: Identity, tracer: Tracer) -> None:
    _tracers[victim] = tracer
    deadline = time.monotonic() + ATTACH_SECONDS
    while tracer_of(victim.pid) != tracer.process.pid:
        if tracer.process.poll() is not None or time.monotonic() > deadline:
            scene.note(strace=_complaint(tracer))
            return
        await asyncio.sleep(0.001)


def _complaint(tracer: Tracer) -> str:
    if tracer.process.poll() is None or tracer.process.stderr is None:
        return f"strace did not attach within {ATTACH_SECONDS:g} s"
    return tracer.process.stderr.read().decode(errors="replace").strip()[:200] or "strace left"


def _seen(_scene: Scene, _spec: FaultSpec, victims: Sequence[Identity]) -> str | None:
    for victim in victims:
        if (tracer := _tracers.get(victim)) is not None and (lines := tracer.injected()):
            return f"strace, of {len(lines)} calls: {' '.join(lines[0].split())}"
    return None


def release(_scene: Scene, _spec: FaultSpec, victims: Sequence[Identity]) -> None:
    """Have every strace let its process go."""
    for victim in victims:
        if (tracer := _tracers.pop(victim, None)) is not None:
            tracer.end()
            if tracer.process.stderr is not None:
                tracer.process.stderr.close()
            os.close(tracer.log)


def _free(_scene: Scene, _spec: FaultSpec, victims: Sequence[Identity]) -> str | None:
    if any(victim in _tracers or tracer_of(victim.pid) for victim in victims):
        return None
    return "nobody traces it any more, says /proc"


def _never_called(events: Sequence[Event]) -> str | None:
    """Say that strace could not attach, or that nothing was there to be spoiled."""
    for event in events:
        if event.kind == "note" and "strace" in event.data:
            return f"strace could not attach: {event.data['strace']}"
    healed = any(event.kind == "healed" for event in events)
    return "it made no such system call while the fault lasted" if healed else None


async def _refuse_forks(scene: Scene, _spec: FaultSpec, victims: Sequence[Identity]) -> None:
    tracer = _started(scene.owner, FORKS, "error=EAGAIN", channels=False)
    await _attached(scene, scene.owner, tracer)
    for victim in victims:
        send_signal(victim, _SIGKILL)


def _fork_refused(scene: Scene, spec: FaultSpec, victims: Sequence[Identity]) -> str | None:
    dead, told = gone(scene, spec, victims), _seen(scene, spec, [scene.owner])
    return f"{dead}; {told}" if dead and told else None


def _allow_forks(scene: Scene, spec: FaultSpec, _victims: Sequence[Identity]) -> None:
    release(scene, spec, [scene.owner])


def _forks_allowed(scene: Scene, spec: FaultSpec, _victims: Sequence[Identity]) -> str | None:
    return _free(scene, spec, [scene.owner])


for _kind, _does, _calls, _how, _victims in (
    (
        "write-error-busy",
        "EIO for a worker that writes its result",
        WRITES,
        "error=EIO:when=1",
        busy,
    ),
    (
        "read-interrupted",
        "EINTR, three times, for each worker that reads what its pool says",
        READS,
        "error=EINTR:when=1..3",
        all_workers,
    ),
    (
        "slow-io-busy",
        f"{DELAY_US // 1000} ms more for each read and write between a worker and its pool",
        f"{WRITES},{READS}",
        f"delay_enter={DELAY_US}",
        busy,
    ),
):
    register(
        Fault(
            kind=_kind,
            does=_does,
            moment="busy",
            needs=(*PROCESSES, "strace"),
            rare=True,
            victims=_victims,
            inject=spoil(_calls, _how),
            receipt=_seen,
            moot=_never_called,
            heal=release,
            healed=_free,
        )
    )
register(
    Fault(
        kind="fork-refused",
        does="SIGKILL of every worker while each fork of the owner ends in EAGAIN",
        moment="busy",
        needs=(*PROCESSES, "strace"),
        rare=True,
        starves=True,
        victims=all_workers,
        inject=_refuse_forks,
        receipt=_fork_refused,
        moot=_never_called,
        heal=_allow_forks,
        healed=_forks_allowed,
    )
)
