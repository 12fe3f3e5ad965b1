"""A tree for one test.

Its own scope, its own registry, and a restart intensity that the test has named.
"""

# ruff: noqa: ASYNC109 -- a limit is part of the question here: its error says what may have happened

from collections.abc import Hashable, Sequence
from types import TracebackType
from typing import Self

from poolproof.supervision.events import Sink
from poolproof.supervision.reasons import ExitReason
from poolproof.supervision.registry import Name, Registry, Scope
from poolproof.supervision.spec import ChildSpec, Strategy
from poolproof.supervision.supervisor import (
    CALL_SECONDS,
    Supervisor,
    SupervisorSpec,
    start_supervisor,
)


class IsolatedSupervisor:
    """A supervisor that nothing else can meet.

    Made by `start_isolated_supervisor`, stopped by its block or `stop`.

    It is linked to nobody, so that its end and a test's end cannot trip over each other, and
    stopping it twice is harmless.
    """

    def __init__(self, supervisor: Supervisor, registry: Registry) -> None:
        self.supervisor = supervisor
        self.registry = registry

    @property
    def scope(self) -> Scope:
        """The scope of its names.

        `scope.token` is unique among all trees, processes and invocations.
        """
        return self.registry.scope

    @property
    def reason(self) -> ExitReason | None:
        """Why the tree has ended, or None while it lives."""
        return self.supervisor.reason

    def name(self, *parts: Hashable) -> Name:
        """Return a name in the tree's own scope."""
        return self.scope.name(*parts)

    async def stop(self, *, timeout: float | None = CALL_SECONDS) -> None:
        """Stop the tree, in reverse start order; harmless where it has ended.

        Raises:
            NoAnswerError: it is not over within `timeout` seconds; the stopping goes on.
        """
        await self.supervisor.stop(timeout=timeout)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()


async def start_isolated_supervisor(
    children: Sequence[ChildSpec],
    *,
    max_restarts: int,
    max_seconds: float = 5.0,
    strategy: Strategy = "one_for_one",
    label: str = "test",
    registry: Registry | None = None,
    sink: Sink | None = None,
) -> IsolatedSupervisor:
    """Start a tree for one test.

    The intensity has no default: a test that kills children on purpose has to say how many restarts
        its tree is to survive. `restarts_needed` computes it from a kill rate, `preflight` checks
        it.

    Args:
        children: the children, in start order.
        max_restarts: how many restarts within `max_seconds` the tree survives.
        max_seconds: the length of that window.
        strategy: as for every supervisor.
        label: what the tree is called, for people; need not be unique.
        registry: one made before, where children take it as an argument; else a fresh one in a
            fresh scope.
        sink: where its events go.

    Raises:
        SpecError: the specification is wrong; every reason is given.
        StartError: a child did not start; those that had are stopped again, and nothing else is
            touched.
    """
    registry = registry or Registry(Scope(label))
    spec = SupervisorSpec(
        strategy=strategy,
        max_restarts=max_restarts,
        max_seconds=max_seconds,
        children=tuple(children),
    )
    supervisor = await start_supervisor(spec, name=label, scope=registry.scope, sink=sink)
    return IsolatedSupervisor(supervisor, registry)
