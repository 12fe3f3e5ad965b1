"""Supervisors of a fixed set of children, started in order and stopped in reverse."""

# ruff: noqa: ASYNC109 -- a limit is part of the question here: its error says what may have happened

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Hashable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, ClassVar, NamedTuple, TypeVar

from poolproof.supervision import restart
from poolproof.supervision.answers import RefusedError, answer_of
from poolproof.supervision.dependencies import check_children, start_order
from poolproof.supervision.events import Sink
from poolproof.supervision.process import Parent, Process, reason_into
from poolproof.supervision.reasons import KILL, SHUTDOWN, ExitReason
from poolproof.supervision.registry import Scope
from poolproof.supervision.restart import Status, request_answer
from poolproof.supervision.shell import Decide, Request, Shell
from poolproof.supervision.spec import (
    ChildSpec,
    ChildType,
    Policy,
    Problem,
    SpecError,
    policy_problems,
)
from poolproof.supervision.steps import Entry

CALL_SECONDS = 60.0

S = TypeVar("S", bound=Shell)
T = TypeVar("T")


class ChildInfo(NamedTuple):
    """One line of `which_children`."""

    id: Hashable
    process: Process | None
    status: Status
    type: ChildType


class Counts(NamedTuple):
    """The answer of `count_children`.

    Specifications, living processes, and how many are of which type.
    """

    specs: int
    active: int
    supervisors: int
    workers: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SupervisorSpec(Policy):
    """A supervisor and its children, as data; it is also the starter of such a supervisor.

    Example:
        >>> tree = SupervisorSpec(
        ...     strategy="rest_for_one", children=[ChildSpec(id="a", start=worker)]
        ... )
        >>> async with running(tree) as supervisor:
        ...     await supervisor.which_children()
    """

    children: Sequence[ChildSpec] = ()
    child_type: ClassVar[ChildType] = "supervisor"

    def problems(self, where: str = "supervisor") -> list[Problem]:
        """Return everything that is wrong in this specification and those below it."""
        found = list(policy_problems(self, where))
        found += check_children(self.children, self.auto_shutdown, f"{where}.children")
        for child in self.children:
            below = getattr(getattr(child, "start", None), "problems", None)
            if below is not None:
                found += below(f"{where}.children[{child.id!r}]")
        return found

    def start(self, parent: Parent, child_id: Hashable, /) -> "Supervisor | Awaitable[Supervisor]":
        """Start the supervisor as a child of another; it is up when all its children are."""
        path = (*parent.path, str(child_id))
        above = parent if isinstance(parent, Process) else None
        decide = getattr(parent, "decide", restart.decide)
        supervisor = Supervisor(
            self, path=path, scope=parent.scope, sink=parent.sink, parent=above, decide=decide
        )
        return booted(supervisor)


def booted(supervisor: S) -> S | Awaitable[S]:
    """Boot a supervisor for its parent.

    Return it, or what to await where a child of it starts slowly.
    """
    waiting = supervisor.boot()
    return supervisor if waiting is None else _slowly_booted(supervisor, waiting)


async def _slowly_booted(supervisor: S, waiting: Awaitable[None]) -> S:
    try:
        await waiting
    except asyncio.CancelledError:
        supervisor.exit(KILL)
        await supervisor.quiet()
        raise
    return supervisor


class Supervisor(Shell):
    """A running supervisor; made by `start_supervisor`, `running`, or a parent.

    All calls queue in its mailbox. While it starts or stops a child it answers nobody, as in OTP;
    `timeout` (seconds, None for ever) bounds each wait.
    """

    __slots__ = ()

    def __init__(
        self,
        spec: SupervisorSpec,
        *,
        path: tuple[str, ...],
        scope: Scope,
        sink: Sink | None = None,
        parent: Process | None = None,
        decide: Decide = restart.decide,
    ) -> None:
        specs = start_order(spec.children)
        super().__init__(
            spec, specs, path=path, scope=scope, sink=sink, parent=parent, decide=decide
        )

    async def start_child(
        self, spec: ChildSpec, *, timeout: float | None = CALL_SECONDS
    ) -> Process | None:
        """Add and start a child; return its process, or None if its start said `ignore`.

        Raises:
            SpecError: the specification is wrong, or requires siblings that are not there.
            RefusedError: `already_started` (with the process) or `already_present`.
            StartError: it did not come up; its specification is dropped.
        """

        def prepare() -> restart.Plan:
            self._check_new(spec)
            self.children[spec.id] = Entry(spec, self)
            return (restart.Start(spec.id, "request"),)

        return await ask(
            self,
            prepare,
            lambda: self._process_of(spec.id),
            timeout,
            failed=lambda: self.children.pop(spec.id),
        )

    def _check_new(self, spec: ChildSpec) -> None:
        # What it requires is here or it is not: with the siblings' own requirements the order is
        # settled.
        siblings = [
            replace(entry.spec, requires=())
            for entry in self.children.values()
            if entry.spec.id in spec.requires
        ]
        if problems := list(
            check_children([*siblings, spec], self.policy.auto_shutdown, "start_child")
        ):
            raise SpecError(problems)
        old = self.children.get(spec.id)
        if old is not None and old.status == "running":
            raise RefusedError("already_started", spec.id, old.process)
        if old is not None:
            raise RefusedError("already_present", spec.id)

    async def terminate_child(
        self, child_id: Hashable, *, timeout: float | None = CALL_SECONDS
    ) -> None:
        """Stop a child.

        Its specification stays, unless it is temporary. A pending restart is cancelled.

        Raises:
            RefusedError: `not_found`.
        """

        def prepare() -> restart.Plan:
            if child_id not in self.children:
                raise RefusedError("not_found", child_id)
            return (restart.Terminate(child_id),)

        await ask(self, prepare, lambda: None, timeout)

    async def restart_child(
        self, child_id: Hashable, *, timeout: float | None = CALL_SECONDS
    ) -> Process | None:
        """Start a child that is stopped; return its process, or None if its start said `ignore`.

        Raises:
            RefusedError: `running`, `restarting` or `not_found`.
            StartError: it did not come up; its specification stays.
        """

        def prepare() -> restart.Plan:
            self._check_stopped(child_id)
            return (restart.Start(child_id, "request"),)

        return await ask(self, prepare, lambda: self._process_of(child_id), timeout)

    async def delete_child(
        self, child_id: Hashable, *, timeout: float | None = CALL_SECONDS
    ) -> None:
        """Drop the specification of a child that is stopped.

        Raises:
            RefusedError: `running`, `restarting` or `not_found`.
        """

        def prepare() -> restart.Plan:
            self._check_stopped(child_id)
            return (restart.Forget(child_id),)

        await ask(self, prepare, lambda: None, timeout)

    def _process_of(self, child_id: Hashable) -> Process | None:
        entry = self.children.get(child_id)
        return None if entry is None else entry.process

    def _check_stopped(self, child_id: Hashable) -> None:
        refusal = request_answer(self.children.get(child_id))
        if refusal is not None:
            raise RefusedError(refusal, child_id)

    async def get_childspec(
        self, child_id: Hashable, *, timeout: float | None = CALL_SECONDS
    ) -> ChildSpec:
        """Return the specification of a child, by its id or its process.

        Raises:
            RefusedError: `not_found`.
        """

        def answer() -> ChildSpec:
            if child_id in self.children:
                return self.children[child_id].spec
            for entry in self.children.values():
                if entry.process is not None and entry.process is child_id:
                    return entry.spec
            raise RefusedError("not_found", child_id)

        return await ask(self, answer_first(answer), answer, timeout)

    async def which_children(self, *, timeout: float | None = CALL_SECONDS) -> list[ChildInfo]:
        """Return all children, the last started first."""
        return await ask(
            self,
            nothing,
            lambda: [_info(entry) for entry in reversed(self.children.values())],
            timeout,
        )

    async def count_children(self, *, timeout: float | None = CALL_SECONDS) -> Counts:
        """Count specifications and living processes."""
        return await ask(self, nothing, lambda: count(self.children.values()), timeout)

    async def stop(
        self, reason: ExitReason = SHUTDOWN, *, timeout: float | None = CALL_SECONDS
    ) -> None:
        """Stop all children in reverse order, then the supervisor, with `reason`.

        One that has ended stays so.

        Raises:
            NoAnswerError: it is not over within `timeout`; the stopping goes on.
        """
        await stop(self, reason, timeout)


def _info(entry: Entry) -> ChildInfo:
    return ChildInfo(entry.spec.id, entry.process, entry.status, entry.spec.type)


def count(entries: Iterable[Entry]) -> Counts:
    """Return the counts over the rows of a table."""
    rows = list(entries)
    active = sum(row.process is not None and row.process.alive for row in rows)
    supervisors = sum(row.spec.type == "supervisor" for row in rows)
    return Counts(len(rows), active, supervisors, len(rows) - supervisors)


def nothing() -> restart.Plan:
    """Prepare a request that only reads."""
    return ()


def answer_first(answer: Callable[[], object]) -> Callable[[], restart.Plan]:
    """Return a preparation that refuses where `answer` raises."""

    def prepare() -> restart.Plan:
        answer()
        return ()

    return prepare


async def ask(
    shell: Shell,
    prepare: Callable[[], restart.Plan],
    answer: Callable[[], T],
    timeout: float | None,
    *,
    failed: Callable[[], object] | None = None,
    urgent: bool = False,
) -> T:
    """Queue a request with a supervisor and wait for its answer.

    Raises:
        GoneError: the supervisor has ended.
        NoAnswerError: no answer within `timeout` seconds; a request not begun by then is dropped.
    """
    answered: asyncio.Future[T] = shell.loop.create_future()
    shell.ask(Request(prepare, answer, answered, failed, urgent))
    if answered.done():
        return answered.result()
    return await answer_of(shell, answered, timeout)


async def stop(shell: Shell, reason: ExitReason, timeout: float | None) -> None:
    """Stop a supervisor of any kind and wait until it is gone."""
    ended: asyncio.Future[ExitReason] = shell.loop.create_future()
    shell.watch(reason_into(ended))
    if shell.reason is None:
        answered: asyncio.Future[Any] = shell.loop.create_future()
        # It is answered by its end: the failure of the request itself is nobody's news.
        answered.add_done_callback(lambda done: done.cancelled() or done.exception())
        stopping = restart.Stopped(reason)
        shell.ask(
            Request(lambda: shell.decide(shell, stopping), lambda: None, answered, urgent=True)
        )
    await answer_of(shell, ended, timeout)


async def start_supervisor(
    spec: SupervisorSpec,
    *,
    name: str = "root",
    scope: Scope | None = None,
    sink: Sink | None = None,
    decide: Decide = restart.decide,
) -> Supervisor:
    """Start a tree; return when all of it is up.

    Args:
        spec: the tree.
        name: what its root is called in events.
        scope: where its names live; a fresh one if not given.
        sink: where its events go.
        decide: the decision; another one is for tests of the tests.

    Raises:
        SpecError: the specification is wrong; every reason is given.
        StartError: a child did not start; those that had are stopped again.
    """
    if problems := spec.problems(name):
        raise SpecError(problems)
    supervisor = Supervisor(
        spec, path=(name,), scope=scope or Scope(name), sink=sink, decide=decide
    )
    return await _awaited(booted(supervisor))


async def _awaited(started: S | Awaitable[S]) -> S:
    return started if isinstance(started, Shell) else await started


@asynccontextmanager
async def running(
    spec: SupervisorSpec,
    *,
    name: str = "root",
    scope: Scope | None = None,
    sink: Sink | None = None,
) -> AsyncGenerator[Supervisor, None]:
    """Run a tree for the length of a block, and stop it at its end whatever happened."""
    supervisor = await start_supervisor(spec, name=name, scope=scope, sink=sink)
    try:
        yield supervisor
    finally:
        await supervisor.stop()
