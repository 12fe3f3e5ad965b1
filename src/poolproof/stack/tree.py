"""The supervision tree of a stack: the base first, then the layer, which requires all of it."""

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import replace
from types import TracebackType
from typing import Any, Self, cast

from poolproof.errors import PoolError, PoolproofError, StartFailedError, UsageError
from poolproof.ledger import NOTE, PHASE, POOL
from poolproof.pool.circuit_breaker import CircuitBreaker
from poolproof.pool.failover import Fallback, Step
from poolproof.pool.job import Job
from poolproof.pool.lease import Checkout
from poolproof.pool.pool import Pool, clock_of
from poolproof.pool.settings import MS
from poolproof.stack.environment import Environment, known_layer
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
        return Orchestrator(env.ledger, env.log, env.log_level, env.records())

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
        while True:
            step = Step(env.layer, env.settings.size) if env.failover is None else env.failover.step
            try:
                return await _pool_on(env, step).open()
            except StartFailedError as error:
                if not _fallen(env, error):
                    raise

    async def close(made: Pool) -> None:
        await made.close(drain=False)

    start = ServiceStarter(env.pool_name, env.registry, pool, close=close, kill=Pool.kill)
    return ChildSpec(id="pool", start=start, requires=BASE, shutdown=env.settings.grace + 10.0)


def _pool_on(env: Environment, step: Step) -> Pool:
    return Pool(
        env.spec,
        env.adapters[known_layer(step.layer)](),
        replace(env.settings, size=step.size),
        ledger=env.ledger,
        breaker=env.circuit_breaker if env.breaker else None,
    )


def _fallen(env: Environment, error: StartFailedError) -> bool:
    """Take the declared way down, in the sight of everybody; False if there is none further."""
    now = _now_ns()
    fallback = None if env.failover is None else env.failover.fall(str(error), now)
    if fallback is None:
        return False
    data = {"what": "fallback", "from": list(fallback.origin), "to": list(fallback.target)}
    env.ledger.note((now, NOTE, POOL, None, data, type(error).__name__, str(error)[:500]))
    env.ledger.flush()
    return True


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
        """The layer that runs; another than `env.layer` only after a fallback."""
        return self.pool.layer

    @property
    def fallbacks(self) -> Sequence[Fallback]:
        """The fallbacks that took place: none, unless they were declared."""
        return () if self.env.failover is None else tuple(self.env.failover.fallbacks)

    async def switch(self, layer: str) -> None:
        """Finish what was submitted, then go on with a pool on another layer; the base stays.

        Raises:
            UsageError: there is no such layer, or it is the one that runs.
            StartFailedError: the pool does not start there; the stack then has none.
        """
        known = known_layer(layer)
        if known == self.layer:
            raise UsageError(f"expected another layer than {known}, got that one; it runs already")
        data = {"what": "switch", "from": self.layer, "to": known}
        await self.pool.close()
        await self.tree.supervisor.terminate_child("pool")
        await self.tree.supervisor.delete_child("pool")
        self.env.ledger.note((_now_ns(), PHASE, POOL, None, data))
        self.env = replace(self.env, layer=known, failover=None)
        try:
            await self.tree.supervisor.start_child(_layer(self.env))
        except StartError as error:
            raise _own_error_in(error.reason) or error from error

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
        UsageError: what was asked for cannot be done on this layer.
        StartError: a part of the base did not start; the same.
    """
    begun = _now_ns()
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
        root = _own_error_in(error.reason)
        if root is None:
            raise
        raise root from root.__cause__
    except BaseException:
        env.ledger.close()
        raise
    _note_setup(env, (_now_ns() - begun) // MS)
    return Stack(env, tree)


def _now_ns() -> int:
    return clock_of(asyncio.get_running_loop())()


def _note_setup(env: Environment, took_ms: int) -> None:
    """Say so, if a stack took longer than it may."""
    if took_ms <= env.setup_ms:
        return
    data = {"what": "slow setup", "took_ms": took_ms, "setup_ms": env.setup_ms}
    text = f"expected the stack to be up within {env.setup_ms} ms, got {took_ms} ms"
    # Whoever reads the history is told: the orchestrator, which logs it.
    env.ledger.note((_now_ns(), NOTE, POOL, None, data, None, text))
    env.ledger.flush()


def _own_error_in(reason: object) -> PoolproofError | None:
    """Return the error of ours within the reason of a supervisor's failed start."""
    if isinstance(reason, PoolproofError):
        return reason
    if isinstance(reason, ExitReason):
        return _own_error_in(reason.detail)
    if isinstance(reason, tuple):
        parts = cast("tuple[object, ...]", reason)
        return next(filter(None, map(_own_error_in, parts)), None)
    return None
