"""What one stack is made from, and how everything in it is found: through the environment, never a global."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from poolproof import simulation
from poolproof.config import LAYERS, Config, load
from poolproof.errors import PoolClosedError, UsageError
from poolproof.ledger import Ledger
from poolproof.pool.circuit_breaker import CircuitBreaker
from poolproof.pool.failover import Failover, Step
from poolproof.pool.pool import Pool
from poolproof.pool.settings import PoolSettings
from poolproof.stack.service import Service
from poolproof.supervision import Name, Registry, Scope
from poolproof.transport.base import Layer, Transport, WorkerSpec

Adapter = Callable[[], Transport]


def _mock() -> Transport:
    from poolproof.transport.mock import MockTransport  # noqa: PLC0415 - each layer when it is used

    return MockTransport()


def _bridge_mock() -> Transport:
    from poolproof.transport.bridge import BridgeTransport  # noqa: PLC0415

    return BridgeTransport()


def _full() -> Transport:
    from poolproof.transport.process import ProcessTransport  # noqa: PLC0415

    return ProcessTransport()


ADAPTERS: Final[Mapping[Layer, Adapter]] = MappingProxyType(
    {"mock": _mock, "bridge_mock": _bridge_mock, "full": _full}
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Environment:
    """Everything that a stack is made from, as data; its parts are found through it.

    Attributes:
        test_id: `test_` and a number that no other environment has, here or elsewhere.
        test: the test that it belongs to, for people and log records.
        layer: what was asked for, and so what runs.
        spec: how a worker is made.
        registry: who holds which name; its scope is the environment's own.
        settings: the pool's.
        adapters: how the transport of each layer is made.
        ledger: where the pool's history goes.
        breaker: whether a circuit breaker guards the pool's jobs.
        failover: where the pool may start instead if it cannot where it should; nowhere if None.
        setup_ms: how long the stack may take until it is up; longer is noted and logged.
        log_level: from which level on it logs.
        log: where; its records carry test, pool and worker.
    """

    test_id: str
    test: str
    layer: Layer
    spec: WorkerSpec
    registry: Registry
    settings: PoolSettings
    adapters: Mapping[Layer, Adapter]
    ledger: Ledger
    breaker: bool = False
    failover: Failover | None = None
    setup_ms: int = 2000
    log_level: int = logging.WARNING
    log: logging.Logger = field(default_factory=lambda: logging.getLogger("poolproof.stack"))

    @property
    def scope(self) -> Scope:
        """Whose names these are."""
        return self.registry.scope

    @property
    def pool_name(self) -> Name:
        """What the pool is registered as."""
        return self.scope.name("pool")

    @property
    def registry_name(self) -> Name:
        """What the registry is registered as."""
        return self.scope.name("registry")

    @property
    def breaker_name(self) -> Name:
        """What the circuit breaker is registered as."""
        return self.scope.name("circuit_breaker")

    @property
    def recovery_name(self) -> Name:
        """What the recovery service is registered as."""
        return self.scope.name("error_orchestrator")

    def find(self, name: Name) -> Any:
        """Return the living service of that name.

        Raises:
            PoolClosedError: there is none: it was never started, is being restarted, or has ended.
        """
        process = self.registry.lookup(name)
        if isinstance(process, Service):
            return process.service
        raise PoolClosedError(
            f"expected {name} to be up, got nothing of that name; it is being restarted, or has ended"
        )

    @property
    def pool(self) -> Pool:
        """The pool that is up now; after a restart it is another one."""
        pool = self.find(self.pool_name)
        assert isinstance(pool, Pool)
        return pool

    @property
    def circuit_breaker(self) -> CircuitBreaker:
        """The circuit breaker that is up now."""
        breaker = self.find(self.breaker_name)
        assert isinstance(breaker, CircuitBreaker)
        return breaker

    def records(self) -> Mapping[str, str]:
        """Return what every log record of this environment carries."""
        return {"test": self.test, "pool": str(self.pool_name)}


def build_test_env(
    target: Callable[..., Any] | WorkerSpec,
    *,
    layer: str,
    test: str = "",
    pool: Mapping[str, Any] | PoolSettings | None = None,
    history: Path | None = None,
    breaker: bool = False,
    failover: Sequence[Step] = (),
    config: Config | None = None,
    adapters: Mapping[Layer, Adapter] = ADAPTERS,
) -> Environment:
    """Return the environment of a new stack; nothing is started yet.

    Args:
        target: the worker: a class with `handle`, a function, or a `WorkerSpec`.
        layer: `mock`, `bridge_mock` or `full`.
        test: the name of the test that it is for.
        pool: settings of the pool that differ from those configured for the layer; or all of them.
        history: where the pool's history is written.
        breaker: whether a circuit breaker guards the pool's jobs.
        failover: the declared way down from what is asked for, for a start that fails.
        config: what is configured; what `[tool.poolproof]` says if not given.
        adapters: how the transport of each layer is made.

    Raises:
        UsageError: there is no such layer or setting, or a value that cannot be.
    """
    known = known_layer(layer)
    config = config or load()
    settings = _settings(pool, config.layers[known].pool)
    spec = target if isinstance(target, WorkerSpec) else WorkerSpec(target=target)
    if spec.init_seconds != settings.init_timeout:
        spec = replace(spec, init_seconds=settings.init_timeout)
    test_id = f"test_{int(simulation.token()[:16], 16)}"
    return Environment(
        test_id=test_id,
        test=test or test_id,
        layer=known,
        spec=spec,
        registry=Registry(Scope(test_id)),
        settings=settings,
        adapters=adapters,
        ledger=Ledger(history),
        breaker=breaker,
        setup_ms=config.layers[known].setup_ms,
        log_level=config.level,
        failover=Failover([Step(known, settings.size), *failover]) if failover else None,
    )


def known_layer(name: str) -> Layer:
    """Return the layer of that name.

    Raises:
        UsageError: there is none.
    """
    for layer in LAYERS:
        if name == layer:
            return layer
    raise UsageError(f"expected a layer among {', '.join(LAYERS)}, got {name!r}")


def _settings(
    given: Mapping[str, Any] | PoolSettings | None, configured: PoolSettings
) -> PoolSettings:
    if isinstance(given, PoolSettings):
        return given
    try:
        return replace(configured, **(given or {}))
    except TypeError:
        unknown = sorted(set(given or {}) - {*PoolSettings.__slots__})
        raise UsageError(f"expected settings of PoolSettings, got {', '.join(unknown)}") from None
