"""What each step of a plan does to a supervisor; one that must wait returns what to await."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Hashable
from typing import TYPE_CHECKING, Any, Final

from poolproof.supervision import restart
from poolproof.supervision.coroutine import CoroutineProcess
from poolproof.supervision.process import Process, reason_into
from poolproof.supervision.reasons import KILL, NOPROC, SHUTDOWN, ExitReason
from poolproof.supervision.spec import ChildSpec

if TYPE_CHECKING:
    from poolproof.supervision.shell import Shell

Waiting = Coroutine[Any, Any, None] | None


class Entry:
    """One row of the table, under `key`: a specification and the process it has now."""

    __slots__ = ("key", "process", "restarts", "spec", "status", "supervisor")

    def __init__(self, spec: ChildSpec, supervisor: Process, key: Hashable = None) -> None:
        self.spec = spec
        self.key = spec.id if key is None else key
        self.supervisor = supervisor
        self.process: Process | None = None
        self.status: restart.Status = "stopped"
        self.restarts = 0

    @property
    def label(self) -> str:
        """What the child is called in events: its id, and its number where ids need not differ."""
        return str(self.key) if self.key == self.spec.id else f"{self.spec.id}#{self.key}"


def _start(shell: "Shell", step: restart.Start) -> Waiting:
    entry = shell.children[step.id]
    starter = entry.spec.start
    try:
        if hasattr(starter, "start"):
            process = starter.start(shell, step.id)
        else:
            process = CoroutineProcess(starter(), shell.loop)
    except Exception as exception:  # noqa: BLE001 (rule 2: whatever it raises, it is a failed start)
        shell.start_failed(step, exception)
        return None
    if process is not None and not isinstance(process, Process):
        return _start_slowly(shell, entry, step, process)
    _started(shell, entry, step, process)
    return None


async def _start_slowly(
    shell: "Shell", entry: Entry, step: restart.Start, starting: Awaitable[Process | None]
) -> None:
    try:
        process = await starting
    except Exception as exception:  # noqa: BLE001 (as in `_start`)
        shell.start_failed(step, exception)
    else:
        _started(shell, entry, step, process)


def _started(shell: "Shell", entry: Entry, step: restart.Start, process: Process | None) -> None:
    if shell.reason is not None:
        # The supervisor was ended by its own child's start: what has been born meanwhile must not live.
        if process is not None:
            process.exit(KILL)
        return
    if step.cause == "restart":
        entry.restarts += 1
    entry.process = process
    if process is None:
        entry.status = "stopped"
        shell.emit("ignored", entry)
        if entry.spec.restart == "temporary" or shell.dynamic:
            shell.children.pop(step.id, None)
        return
    entry.status = "running"
    process.ticket = entry
    process.owner = shell
    if shell.sink is not None:
        shell.emit("progress", entry)
    if process.reason is not None:
        # It has ended between its being up and our knowing of it: nobody was its owner then.
        shell.child_exited(process, process.reason)


def _terminate(shell: "Shell", step: restart.Terminate) -> Waiting:
    entry = shell.children.get(step.id)
    if entry is None:
        return None
    process = entry.process
    if process is None or entry.status != "running":
        _drop(shell, step)
        return None
    if not process.alive:
        # One that unlinked itself and ended was never noticed: OTP's monitor finds nobody there.
        _stopped(shell, entry, NOPROC if process.ticket is None else process.reason or NOPROC)
        return None
    ended = _told_to_stop(shell, entry, process)
    if process.reason is not None:
        _stopped(shell, entry, process.reason)
        return None
    return _wait_for_end(shell, entry, process, ended)


def _told_to_stop(shell: "Shell", entry: Entry, process: Process) -> "asyncio.Future[ExitReason]":
    """Tell a child to stop, and return what will have its reason; nobody else hears of this end."""
    ended: asyncio.Future[ExitReason] = shell.loop.create_future()
    process.watch(reason_into(ended))
    process.owner = None
    process.exit(KILL if entry.spec.shutdown == "brutal_kill" else SHUTDOWN, shell)
    return ended


def _patience(entry: Entry) -> float | None:
    return None if entry.spec.shutdown == "brutal_kill" else entry.spec.patience


async def _wait_for_end(
    shell: "Shell", entry: Entry, process: Process, ended: "asyncio.Future[ExitReason]"
) -> None:
    try:
        async with asyncio.timeout(_patience(entry)):
            reason = await asyncio.shield(ended)
    except TimeoutError:
        shell.emit("shutdown_overrun", entry)
        process.exit(KILL)
        reason = await ended
    _stopped(shell, entry, reason)


def _stopped(shell: "Shell", entry: Entry, reason: ExitReason) -> None:
    expected = restart.expected_at_shutdown(entry.spec, reason)
    shell.emit("exited" if expected else "shutdown_error", entry, reason)
    if reason.detail == "unkillable":
        shell.emit("unkillable", entry, reason)
    _drop(shell, restart.Drop(entry.key))


def _terminate_all(shell: "Shell", _: restart.TerminateAll) -> Waiting:
    return _stop_in_parallel(shell) if shell.children else None


async def _stop_in_parallel(shell: "Shell") -> None:
    """Tell all at once, with one timer for each distinct patience."""
    ends: dict[Hashable, asyncio.Future[ExitReason] | ExitReason] = {}
    by_patience: dict[float, list[Entry]] = {}
    running = [entry for entry in shell.children.values() if entry.status == "running"]
    for entry in running:
        process = entry.process
        assert process is not None, "what runs has a process"
        if not process.alive and process.ticket is not None and process.reason is not None:
            ends[entry.key] = process.reason
            continue
        ends[entry.key] = _told_to_stop(shell, entry, process)
        patience = _patience(entry)
        if patience is not None:
            by_patience.setdefault(patience, []).append(entry)
    late = by_patience.items()
    timers = [shell.loop.call_later(wait, _overrun, shell, entries) for wait, entries in late]
    for entry in running:
        end = ends[entry.key]
        _stopped(shell, entry, end if isinstance(end, ExitReason) else await end)
    for timer in timers:
        timer.cancel()


def _overrun(shell: "Shell", entries: list[Entry]) -> None:
    for entry in entries:
        if entry.process is not None and entry.process.alive:
            shell.emit("shutdown_overrun", entry)
            entry.process.exit(KILL)


def _drop(shell: "Shell", step: restart.Drop | restart.Terminate) -> None:
    entry = shell.children.get(step.id)
    if entry is None:
        return
    if entry.spec.restart == "temporary" or shell.dynamic:
        del shell.children[step.id]
    entry.process, entry.status = None, "stopped"


def _forget(shell: "Shell", step: restart.Forget) -> None:
    shell.children.pop(step.id, None)


def _park(shell: "Shell", step: restart.Park) -> None:
    entry = shell.children[step.id]
    entry.process, entry.status = None, "restarting"


def _again(shell: "Shell", step: restart.Again) -> None:
    # By way of the loop: a start that fails for ever must not keep everybody else from running.
    shell.loop.call_soon(shell.retry, step.id)


def _later(shell: "Shell", step: restart.Later) -> None:
    shell.loop.call_later(step.delay, shell.pause_over, shell.children[step.id])


def _count(shell: "Shell", step: restart.Count) -> None:
    restarts = shell.restarts
    while restarts and not restart.within(shell.policy, restarts[0], step.now_ns):
        restarts.popleft()
    restarts.append(step.now_ns)


def _report(shell: "Shell", step: restart.Report) -> None:
    if shell.sink is not None:
        shell.emit(step.context, shell.children.get(step.id), step.reason)


def _finish(shell: "Shell", step: restart.Finish) -> None:
    shell.emit("down", reason=step.reason)
    shell.close(step.reason)


CARRY_OUT: Final[dict[type, Callable[[Any, Any], Waiting]]] = {
    restart.Start: _start,
    restart.Count: _count,
    restart.Report: _report,
    restart.Terminate: _terminate,
    restart.TerminateAll: _terminate_all,
    restart.Drop: _drop,
    restart.Forget: _forget,
    restart.Park: _park,
    restart.Again: _again,
    restart.Later: _later,
    restart.Finish: _finish,
}
