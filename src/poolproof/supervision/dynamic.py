"""Supervisors of children that come and go: any number, without ids, stopped in parallel."""

# ruff: noqa: ASYNC109 -- a limit is part of the question here: its error says what may have happened

import itertools
from collections.abc import Awaitable, Hashable
from dataclasses import dataclass
from typing import Any, ClassVar

from poolproof.supervision import restart
from poolproof.supervision.answers import RefusedError
from poolproof.supervision.dependencies import check_children
from poolproof.supervision.events import Sink
from poolproof.supervision.process import Parent, Process
from poolproof.supervision.reasons import SHUTDOWN, ExitReason
from poolproof.supervision.registry import Scope
from poolproof.supervision.shell import Decide, Shell
from poolproof.supervision.spec import (
    ChildSpec,
    ChildType,
    Policy,
    Problem,
    SpecError,
    is_count,
    policy_problems,
)
from poolproof.supervision.steps import Entry
from poolproof.supervision.supervisor import (
    CALL_SECONDS,
    ChildInfo,
    Counts,
    answer_first,
    ask,
    booted,
    count,
    nothing,
    stop,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class DynamicSupervisorSpec(Policy):
    """A supervisor that starts without children; it is also the starter of such a supervisor.

    Attributes:
        max_children: how many children it takes at most; None is no limit.
    """

    max_children: int | None = None
    child_type: ClassVar[ChildType] = "supervisor"

    def problems(self, where: str = "supervisor") -> list[Problem]:
        """Return everything that is wrong in this specification."""
        found = list(policy_problems(self, where))
        if self.strategy != "one_for_one":
            found.append(
                Problem(where=f"{where}.strategy", expected="one_for_one", got=repr(self.strategy))
            )
        if self.auto_shutdown != "never":
            found.append(
                Problem(
                    where=f"{where}.auto_shutdown", expected="never", got=repr(self.auto_shutdown)
                )
            )
        if self.max_children is not None and not is_count(self.max_children):
            found.append(
                Problem(
                    where=f"{where}.max_children",
                    expected="an int >= 0",
                    got=repr(self.max_children),
                )
            )
        return found

    def start(
        self, parent: Parent, child_id: Hashable, /
    ) -> "DynamicSupervisor | Awaitable[DynamicSupervisor]":
        """Start the supervisor as a child of another."""
        path = (*parent.path, str(child_id))
        above = parent if isinstance(parent, Process) else None
        return booted(
            DynamicSupervisor(self, path=path, scope=parent.scope, sink=parent.sink, parent=above)
        )


class DynamicSupervisor(Shell):
    """A running dynamic supervisor.

    Children are started on request, and addressed by their process.
    """

    __slots__ = ("_checked", "_max_children", "_numbers")

    def __init__(
        self,
        spec: DynamicSupervisorSpec,
        *,
        path: tuple[str, ...],
        scope: Scope,
        sink: Sink | None = None,
        parent: Process | None = None,
        decide: Decide = restart.decide,
    ) -> None:
        super().__init__(
            spec, (), path=path, scope=scope, sink=sink, parent=parent, dynamic=True, decide=decide
        )
        self._max_children = spec.max_children
        self._checked: ChildSpec | None = None
        self._numbers = itertools.count(1)

    async def start_child(
        self, spec: ChildSpec, *, timeout: float | None = CALL_SECONDS
    ) -> Process | None:
        """Start one more child; its id is for people only, and may be used again and again.

        Raises:
            SpecError: the specification is wrong.
            RefusedError: `max_children`.
            StartError: it did not come up.
        """
        number: list[int] = []

        def prepare() -> restart.Plan:
            self._check(spec)
            if self._max_children is not None and len(self.children) >= self._max_children:
                raise RefusedError("max_children", spec.id)
            number.append(next(self._numbers))
            self.children[number[0]] = Entry(spec, self, key=number[0])
            return (restart.Start(number[0], "request"),)

        def answer() -> Process | None:
            entry = self.children.get(number[0])
            return None if entry is None else entry.process

        return await ask(
            self, prepare, answer, timeout, failed=lambda: self.children.pop(number[0])
        )

    async def terminate_child(
        self, process: Process, *, timeout: float | None = CALL_SECONDS
    ) -> None:
        """Stop a child and forget it.

        Raises:
            RefusedError: `not_found`.
        """

        def prepare() -> restart.Plan:
            return (restart.Terminate(self._number_of(process)),)

        await ask(self, prepare, lambda: None, timeout)

    def _check(self, spec: ChildSpec) -> None:
        # Mostly the same specification is used again and again, and it cannot change.
        if spec is self._checked:
            return
        if problems := list(check_children([spec], "never", "start_child")):
            raise SpecError(problems)
        self._checked = spec

    def _number_of(self, process: Process) -> Hashable:
        # What a caller hands in may be an id, whatever the annotation says: OTP has a word of its
        # own for that.
        if not isinstance(process, Process):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise RefusedError("simple_one_for_one", process)
        entry = process.ticket
        if (
            not isinstance(entry, Entry)
            or entry.supervisor is not self
            or entry.process is not process
        ):
            raise RefusedError("not_found", process)
        return entry.key

    async def restart_child(self, child: Any) -> Process | None:
        """Refuse: children of a dynamic supervisor have no ids.

        Raises:
            RefusedError: `simple_one_for_one`.
        """
        raise RefusedError("simple_one_for_one", child)

    async def delete_child(self, child: Any) -> None:
        """Refuse: children of a dynamic supervisor have no ids.

        Raises:
            RefusedError: `simple_one_for_one`.
        """
        raise RefusedError("simple_one_for_one", child)

    async def get_childspec(
        self, process: Process, *, timeout: float | None = CALL_SECONDS
    ) -> ChildSpec:
        """Return the specification of a child, by its process.

        Raises:
            RefusedError: `not_found`.
        """

        def answer() -> ChildSpec:
            return self.children[self._number_of(process)].spec

        return await ask(self, answer_first(answer), answer, timeout)

    async def which_children(self, *, timeout: float | None = CALL_SECONDS) -> list[ChildInfo]:
        """Return all children, the last started first; `id` is None, as in OTP."""

        def answer() -> list[ChildInfo]:
            rows = reversed(self.children.values())
            return [ChildInfo(None, row.process, row.status, row.spec.type) for row in rows]

        return await ask(self, nothing, answer, timeout)

    async def count_children(self, *, timeout: float | None = CALL_SECONDS) -> Counts:
        """Count the children."""
        return await ask(self, nothing, lambda: count(self.children.values()), timeout)

    async def stop(
        self, reason: ExitReason = SHUTDOWN, *, timeout: float | None = CALL_SECONDS
    ) -> None:
        """Stop all children at once, then the supervisor.

        Raises:
            NoAnswerError: it is not over within `timeout`; the stopping goes on.
        """
        await stop(self, reason, timeout)


async def start_dynamic_supervisor(
    spec: DynamicSupervisorSpec | None = None,
    *,
    name: str = "dynamic",
    scope: Scope | None = None,
    sink: Sink | None = None,
) -> DynamicSupervisor:
    """Start a dynamic supervisor of its own; its children are started one by one.

    Raises:
        SpecError: the specification is wrong; every reason is given.
    """
    spec = spec or DynamicSupervisorSpec()
    if problems := spec.problems(name):
        raise SpecError(problems)
    supervisor = DynamicSupervisor(spec, path=(name,), scope=scope or Scope(name), sink=sink)
    started = booted(supervisor)
    return started if isinstance(started, DynamicSupervisor) else await started
