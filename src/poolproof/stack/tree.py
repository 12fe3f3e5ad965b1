"""The supervision tree of a stack: the base first, then the layer, which requires all of it."""

import contextlib
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self, cast

from poolproof.errors import PoolError
from poolproof.pool.circuit_breaker import CircuitBreaker
from poolproof.pool.job import Job
from poolproof.pool.lease import Checkout
from poolproof.pool.pool import Pool
from poolproof.stack.environment import Environment
from poolproof.stack.orchestrator import Orchestrator
from poolproof.stack.service import ServiceStarter
from poolproof.supervision import (
    ChildSpec,
    ExitReason,
    IsolatedSupervisor,
    Registry,
    Sink,
    StartError,
    start_isolated_supervisor,
)

BASE = ("registry", "error_orchestrator", "circuit_breaker")


def build_supervision_tree(env: Environment) -> tuple[ChildSpec, ...]:
    """Return the children of the environment's supervisor: the base, then the layer.

    The pool requires the whole base, so that under `rest_for_one` it is started anew when a part of
    the base was.
    """
    return (*_base(env), _layer(env))


def _base(env: Environment) -> Sequence[ChildSpec]:
    async def registry() -> Registry:
        return env.registry

    async def orchestrator() -> Orchestrator:
        return Orchestrator(env.ledger, env.log, env.records())

    async def breaker() -> CircuitBreaker:
        return CircuitBreaker()

    async def end(service: Orchestrator) -> None:
        service.close()

    return (
        ChildSpec(id="registry", start=ServiceStarter(env.registry_name, env.registry, registry)),
        ChildSpec(
            id="error_orchestrator",
            start=ServiceStarter(
                env.recovery_name, env.registry, orchestrator, close=end, kill=Orchestrator.close
            ),
            requires=("registry",),
        ),
        ChildSpec(
            id="circuit_breaker",
            start=ServiceStarter(env.breaker_name, env.registry, breaker),
            requires=("registry",),
        ),
    )


def _layer(env: Environment) -> ChildSpec:
    async def pool() -> Pool:
        made = Pool(
            env.spec,
            env.adapters[env.layer](),
            env.settings,
            ledger=env.ledger,
            breaker=env.circuit_breaker if env.breaker else None,
        )
        return await made.open()

    async def close(made: Pool) -> None:
        await made.close(drain=False)

    start = ServiceStarter(env.pool_name, env.registry, pool, close=close, kill=Pool.kill)
    return ChildSpec(id="pool", start=start, requires=BASE, shutdown=env.settings.grace + 10.0)


class Stack:
    """A running stack: a supervisor, its base, and a pool on one layer.

    Attributes:
        env: what it is made from, and how its parts are found.
        tree: its supervisor.
    """

    def __init__(self, env: Environment, tree: IsolatedSupervisor) -> None:
        self.env, self.tree = env, tree

    @property
    def layer(self) -> str:
        """The layer that runs."""
        return self.pool.layer

    @property
    def pool(self) -> Pool:
        """The pool that is up now.

        Raises:
            PoolClosedError: it is being restarted, or the stack has ended.
        """
        return self.env.pool

    @property
    def orchestrator(self) -> Orchestrator:
        """What went wrong so far."""
        found = self.env.find(self.env.recovery_name)
        assert isinstance(found, Orchestrator)
        return found

    def submit(self, request: Any, **options: Any) -> Job:
        """See `Pool.submit`."""
        return self.pool.submit(request, **options)

    def checkout(self, *, deadline: float | None = None) -> Checkout:
        """See `Pool.checkout`."""
        return self.pool.checkout(deadline=deadline)

    def pids(self) -> list[int]:
        """Return the process ids of the workers; none where they are no processes."""
        return [slot.link.pid for slot in self.pool.slots() if slot.link.pid is not None]

    async def stop(self) -> None:
        """Finish what was submitted, then end everything; harmless where it has ended."""
        with contextlib.suppress(PoolError):
            await self.pool.close()
        await self.tree.stop()
        self.env.ledger.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()


async def start_stack(
    env: Environment, *, max_restarts: int = 3, max_seconds: float = 5.0, sink: Sink | None = None
) -> Stack:
    """Start an environment's stack; return when its workers are up.

    Args:
        env: what to build.
        max_restarts: how many restarts of its parts (not of workers, which the pool replaces)
            within `max_seconds` it survives.
        max_seconds: the length of that window.
        sink: where the events of the tree go.

    Raises:
        StartFailedError: a worker did not start, as its cause says; nothing is left of the others.
        StartError: a part of the base did not start; the same.
    """
    try:
        tree = await start_isolated_supervisor(
            build_supervision_tree(env),
            max_restarts=max_restarts,
            max_seconds=max_seconds,
            strategy="rest_for_one",
            label=env.test_id,
            registry=env.registry,
            sink=sink,
        )
    except StartError as error:
        env.ledger.close()
        root = _pool_error_in(error.reason)
        if root is None:
            raise
        raise root from root.__cause__
    except BaseException:
        env.ledger.close()
        raise
    return Stack(env, tree)


def _pool_error_in(reason: object) -> PoolError | None:
    """Return the pool's own error within the reason of a supervisor's failed start."""
    if isinstance(reason, PoolError):
        return reason
    if isinstance(reason, ExitReason):
        return _pool_error_in(reason.detail)
    if isinstance(reason, tuple):
        parts = cast("tuple[object, ...]", reason)
        return next(filter(None, map(_pool_error_in, parts)), None)
    return None
