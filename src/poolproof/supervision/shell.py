"""The thin shell: a supervisor's mailbox, its children's table, and the carrying out of plans.

A supervisor is no task of its own. It handles a message where it arrives, and needs a task only
while something must be waited for: so a restart costs no switch, and a hundred thousand children
cost one table.
"""

import asyncio
import contextlib
import gc
from collections import deque
from collections.abc import Awaitable, Callable, Generator, Hashable, Iterable, Iterator
from typing import Any, Final, NamedTuple

from poolproof.supervision import restart
from poolproof.supervision.answers import GoneError, StartError
from poolproof.supervision.events import EventName, Sink, TreeEvent, offender
from poolproof.supervision.overriding import override
from poolproof.supervision.process import Process, SystemRequest
from poolproof.supervision.reasons import (
    KILL,
    KILLED,
    NOPROC,
    ExitReason,
    error,
    reason_of,
)
from poolproof.supervision.registry import Scope
from poolproof.supervision.spec import DEFAULT_SHUTDOWN_SECONDS, ChildSpec, Policy
from poolproof.supervision.steps import CARRY_OUT, Entry

Decide = Callable[[restart.Situation, restart.Event], restart.Plan]

_NS: Final = 1_000_000_000
_MANY: Final = 1_000
_MOMENT_SECONDS: Final = 1.0


class _Ended(NamedTuple):
    process: Process
    reason: ExitReason


class _Retry(NamedTuple):
    id: Hashable


class _PauseOver(NamedTuple):
    entry: Entry


class _Stray(NamedTuple):
    message: object


class _ParentExit(NamedTuple):
    reason: ExitReason


class Request(NamedTuple):
    """Something asked of a supervisor.

    Attributes:
        prepare: called when its turn comes; returns the steps to carry out, or raises the answer.
        answer: called when they are done; returns the answer.
        answered: where the answer goes.
        failed: called instead of `answer` when a start among the steps failed.
        urgent: whether it is served even while the supervisor is suspended (OTP's system messages).
    """

    prepare: Callable[[], Iterable[restart.Step]]
    answer: Callable[[], object]
    answered: "asyncio.Future[Any]"
    failed: Callable[[], object] | None = None
    urgent: bool = False


def _urgent(message: object) -> bool:
    return isinstance(message, _ParentExit) or (isinstance(message, Request) and message.urgent)


class Shell(Process):
    """What all supervisors share.

    It is the `Situation` of the decision and the `Parent` of the starters.
    """

    __slots__ = (
        "_boot",
        "_busy",
        "_handling",
        "_mailbox",
        "_request",
        "_steps",
        "children",
        "decide",
        "dynamic",
        "loop",
        "parent",
        "path",
        "policy",
        "restarts",
        "scope",
        "sink",
        "suspended",
    )

    def __init__(
        self,
        policy: Policy,
        specs: Iterable[ChildSpec],
        *,
        path: tuple[str, ...],
        scope: Scope,
        sink: Sink | None = None,
        parent: Process | None = None,
        dynamic: bool = False,
        decide: Decide = restart.decide,
    ) -> None:
        super().__init__()
        self.loop = asyncio.get_running_loop()
        self.policy, self.path, self.scope, self.sink, self.parent = (
            policy,
            path,
            scope,
            sink,
            parent,
        )
        self.dynamic = dynamic
        self.suspended = False
        self.children: dict[Hashable, Entry] = {spec.id: Entry(spec, self) for spec in specs}
        self.restarts: deque[int] = deque()
        self.decide = decide
        self._mailbox: deque[Any] = deque()
        self._steps: Iterator[restart.Step] = iter(())
        self._handling = False
        self._busy: asyncio.Task[None] | None = None
        self._request: Request | None = None
        self._boot: asyncio.Future[None] | None = self.loop.create_future()

    # The way in: exit signals, ends of children, requests.

    @override
    def kill(self) -> None:
        """End at once.

        The children get `killed`, and whoever survives its patience is killed: nothing is orphaned.
        """
        self._abandon(KILLED)

    @override
    def signal(self, reason: ExitReason, sender: Process | None, /) -> None:
        """Obey the parent; survive everybody else's signals, as one that traps exits."""
        if sender is not None and sender is self.parent:
            self.deliver(_ParentExit(reason))

    def child_exited(self, process: Process, reason: ExitReason) -> None:
        """Take note of the end of a child."""
        self.deliver(_Ended(process, reason))

    def retry(self, child_id: Hashable) -> None:
        """Try a failed restart again, after what is in the mailbox already."""
        self.deliver(_Retry(child_id))

    def pause_over(self, entry: Entry) -> None:
        """Go on with a restart that has waited."""
        self.deliver(_PauseOver(entry))

    def send(self, message: object) -> None:
        """Send something that a supervisor does not understand: it is logged and survived."""
        self.deliver(_Stray(message))

    def deliver(self, message: object) -> None:
        """Put `message` into the mailbox, and handle what can be handled."""
        if self.reason is None:
            self._mailbox.append(message)
            self.drain()

    def ask(self, request: Request) -> None:
        """Put a request into the mailbox; a supervisor that has ended answers `GoneError`."""
        if self.reason is not None:
            request.answered.set_exception(GoneError(self, NOPROC))
        else:
            self.deliver(request)

    def drain(self) -> None:
        """Handle messages in their order until none is left or something must be waited for."""
        if self._handling or self._busy is not None or self._boot is not None:
            return
        self._guarded(self._drain)

    def _drain(self) -> None:
        while self.reason is None and self._busy is None and (message := self._next()) is not None:
            self._handle(message)

    def _next(self) -> object:
        if not self.suspended:
            return self._mailbox.popleft() if self._mailbox else None
        message = next(filter(_urgent, self._mailbox), None)
        if message is not None:
            self._mailbox.remove(message)
        return message

    def _handle(self, message: object) -> None:
        match message:
            case _Ended(process, reason):
                entry: Entry | None = process.ticket
                # A stale one: its child has been stopped, or started again, before it was read.
                if entry is not None and entry.process is process:
                    self._plan(restart.Exited(entry.key, reason, self._now_ns()))
            case _Retry(child_id):
                self._plan(restart.Retried(child_id, self._now_ns()))
            case _PauseOver(waiting):
                if self.children.get(waiting.key) is waiting:
                    self._plan(restart.Due(waiting.key))
            case Request():
                self._serve(message)
            case _ParentExit(reason):
                self._plan(restart.Stopped(reason))
            case _Stray(unexpected):
                seen = ExitReason("normal", repr(unexpected)[:300])
                self.emit("unexpected_message", reason=seen)
            case _:
                raise TypeError(f"expected a message of a supervisor, got {message!r}")

    def _now_ns(self) -> int:
        return round(self.loop.time() * _NS)

    # The carrying out.

    def boot(self) -> Awaitable[None] | None:
        """Start all children in order; return None if they are all up, or something to await.

        Raises:
            StartError: a start failed (from here, or from what is awaited); what was up has been
                stopped.
        """
        boot = self._boot
        assert boot is not None, "a supervisor boots once"
        with _collector_paused(wanted=len(self.children) >= _MANY):
            self._guarded(self._plan, restart.Booted())
        if not boot.done():
            return boot
        boot.result()
        self.drain()
        return None

    def _guarded(self, carry_out: Callable[..., None], *args: Any) -> None:
        """Run a part of a plan.

        A sink or a decision that raises crashes this supervisor, and orphans nothing.
        """
        self._handling = True
        try:
            carry_out(*args)
        except Exception as exception:  # noqa: BLE001 (whatever it is, it is this supervisor's end)
            self._abandon(error(exception))
        finally:
            self._handling = False

    def _booted(self, boot: "asyncio.Future[None]") -> None:
        self._boot = None
        self.emit("up")
        boot.set_result(None)

    def _plan(self, event: restart.Event) -> None:
        self._steps = iter(self.decide(self, event))
        self._advance()

    def _serve(self, request: Request) -> None:
        if request.answered.done():
            return
        try:
            self._steps = iter(request.prepare())
        except Exception as answer:  # noqa: BLE001 (it is the asker's)
            request.answered.set_exception(answer)
            return
        self._request = request
        self._advance()

    def _advance(self) -> None:
        """Carry out steps until the plan is done or something must be waited for."""
        while (step := next(self._steps, None)) is not None:
            waiting = CARRY_OUT[type(step)](self, step)
            if waiting is not None:
                self._busy = self.loop.create_task(waiting)
                self._busy.add_done_callback(self._waited)
                return
        if self._request is not None:
            request, self._request = self._request, None
            _answer(request)
        if self._boot is not None and self.reason is None:
            self._booted(self._boot)

    def _waited(self, task: "asyncio.Task[None]") -> None:
        self._busy = None
        if task.cancelled():
            # By us, and then this changes nothing any more; or by whoever ends the whole loop.
            self._abandon(KILLED)
        elif (exception := task.exception()) is not None:
            self._abandon(error(exception))
        elif self.reason is None:
            self._guarded(self._advance)
            self.drain()

    # The way out.

    def start_failed(self, step: restart.Start, exception: Exception) -> None:
        """Drop the rest of the plan and decide anew; tell whoever asked for the start."""
        reason = exception.reason if isinstance(exception, StartError) else reason_of(exception)
        if step.cause == "request" and self._request is not None:
            request, self._request = self._request, None
            if request.failed is not None:
                request.failed()
            if not request.answered.done():
                request.answered.set_exception(StartError(step.id, reason))
        self._steps = iter(self.decide(self, restart.StartFailed(step.id, reason, step.cause)))

    def close(self, reason: ExitReason) -> None:
        """End, tell whoever is linked or watches, and answer whoever still waits."""
        self._steps = iter(())
        boot, self._boot = self._boot, None
        pending = [message for message in self._mailbox if isinstance(message, Request)]
        if self._request is not None:
            pending.append(self._request)
        self._request = None
        self._mailbox.clear()
        self.finish(reason)
        for request in pending:
            if not request.answered.done():
                request.answered.set_exception(GoneError(self, reason))
        if boot is not None and not boot.done():  # who waited for it may have been cancelled
            boot.set_exception(StartError("/".join(self.path), reason))
            # Who waits for it gets it; where nobody does any more, it must not be logged as
            # forgotten.
            boot.exception()

    def _abandon(self, reason: ExitReason) -> None:
        """End without a plan; the children are told, and killed when their patience is over."""
        if self.reason is not None:
            return
        if self._busy is not None:
            self._busy.cancel()
        entries = [entry for entry in self.children.values() if entry.process is not None]
        with contextlib.suppress(Exception):
            self.emit("down", reason=reason)
        self.close(reason)
        for entry in entries:
            process = entry.process
            assert process is not None
            process.owner = None
            process.exit(reason, self)
            if process.alive and entry.spec.type == "worker":
                patience = entry.spec.patience
                self.loop.call_later(
                    DEFAULT_SHUTDOWN_SECONDS if patience is None else patience, process.exit, KILL
                )

    async def quiet(self) -> None:
        """Wait until nothing is being started or stopped any more, as after a kill.

        No longer than a child that is shut down has, and a moment: a start may refuse to be cancelled.
        """
        if self._busy is not None:
            await asyncio.wait({self._busy}, timeout=DEFAULT_SHUTDOWN_SECONDS + _MOMENT_SECONDS)

    @override
    def system(self, request: SystemRequest, /) -> "asyncio.Future[Any]":
        """Serve `state` (the rows of the table), `suspend` and `resume`, also while suspended."""
        answered: asyncio.Future[Any] = self.loop.create_future()
        serve = {"state": self._rows, "suspend": self._suspend, "resume": self._resume}.get(
            request.name
        )
        if serve is None:
            raise TypeError(
                f"expected state, suspend or resume for a supervisor, got {request.name}"
            )
        self.ask(Request(lambda: (), serve, answered, urgent=True))
        return answered

    def _rows(self) -> dict[Hashable, tuple[restart.Status, Process | None]]:
        return {name: (entry.status, entry.process) for name, entry in self.children.items()}

    def _suspend(self) -> None:
        self.suspended = True

    def _resume(self) -> None:
        self.suspended = False

    def emit(
        self, name: EventName, entry: Entry | None = None, reason: ExitReason | None = None
    ) -> None:
        """Tell the sink, if there is one."""
        if self.sink is None:
            return
        self.sink(
            TreeEvent(
                t_ns=self._now_ns(),
                name=name,
                supervisor=self.path,
                reason=reason,
                offender=None
                if entry is None
                else offender(entry.spec, entry.process, entry.label),
                restarts=0 if entry is None else entry.restarts,
            )
        )


def _answer(request: Request) -> None:
    if request.answered.done():
        return
    try:
        request.answered.set_result(request.answer())
    except Exception as answer:  # noqa: BLE001 (it is the asker's)
        request.answered.set_exception(answer)


@contextlib.contextmanager
def _collector_paused(*, wanted: bool) -> Generator[None, None, None]:
    """Keep the garbage collector from walking all children while they are being made."""
    paused = wanted and gc.isenabled()
    if paused:
        gc.disable()
    try:
        yield
    finally:
        if paused:
            gc.enable()
