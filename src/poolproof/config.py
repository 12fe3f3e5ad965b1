"""What `[tool.poolproof]` says of the stack: each layer's sizes and time-outs, thresholds, log level."""

import difflib
import logging
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, cast, get_args

from poolproof.errors import UsageError
from poolproof.pool.settings import PoolSettings
from poolproof.transport.base import Layer

LAYERS: Final[tuple[Layer, ...]] = get_args(Layer)
LEVELS: Final = ("debug", "info", "warning", "error", "critical")
#: Tables of other parts of poolproof, which they check themselves.
OTHERS: Final = frozenset({"bench", "chaos", "isolation", "load"})


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerConfig:
    """How stacks of one layer are built.

    What each is kept apart by is no setting: on every layer it has a tree, names and workers of its own.

    Attributes:
        pool: the pool's settings.
        setup_ms: how long a stack may take until it is up, in milliseconds; one that takes longer is
            noted in its history, and logged as a warning.
    """

    pool: PoolSettings
    setup_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds:
    """What counts as good enough for `assertions.assert_thresholds`; the plan's numbers.

    Attributes:
        mean_ms: mean latency, in milliseconds.
        p99_ms: its 99th percentile.
        jobs_per_second: throughput, at least.
        error_rate: share of jobs that fail, at most.
    """

    mean_ms: float = 100.0
    p99_ms: float = 500.0
    jobs_per_second: float = 1000.0
    error_rate: float = 0.01


_DEFAULTS: Final[Mapping[Layer, LayerConfig]] = MappingProxyType(
    {
        "mock": LayerConfig(
            pool=PoolSettings(size=1, overflow=0, timeout=1.0),
            setup_ms=10,
        ),
        "bridge_mock": LayerConfig(
            pool=PoolSettings(size=2, overflow=1, timeout=5.0),
            setup_ms=100,
        ),
        "full": LayerConfig(
            pool=PoolSettings(size=3, overflow=2, timeout=10.0, init_timeout=15.0),
            setup_ms=2000,
        ),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """All that is configured; without a table, the plan's numbers.

    Attributes:
        layers: how stacks are built, by layer.
        thresholds: what counts as good enough.
        log_level: from which level on the stack logs; its records carry test, pool and worker.
    """

    layers: Mapping[Layer, LayerConfig] = field(default_factory=lambda: _DEFAULTS)
    thresholds: Thresholds = field(default_factory=Thresholds)
    log_level: str = "warning"

    @property
    def level(self) -> int:
        """The log level as a number of `logging`."""
        return logging.getLevelNamesMapping()[self.log_level.upper()]


def load(directory: Path | None = None) -> Config:
    """Return what the nearest pyproject.toml with a table `[tool.poolproof]` says.

    Args:
        directory: where to look first, then in those above it; the working directory if not given.

    Raises:
        UsageError: the table has a key that is not known, or a value that cannot be.
    """
    start = (directory or Path.cwd()).resolve()
    for place in (start, *start.parents):
        file = place / "pyproject.toml"
        if file.is_file():
            table = tomllib.loads(file.read_text(encoding="utf-8")).get("tool", {}).get("poolproof")
            if table is not None:
                return parse(table, f"{file}: [tool.poolproof]")
    return Config()


def parse(table: Mapping[str, Any], where: str = "[tool.poolproof]") -> Config:
    """Return the configuration that a table stands for.

    Raises:
        UsageError: as `load`.
    """
    _refuse_unknown(table, {*LAYERS, *OTHERS, "thresholds", "log_level"}, where)
    layers: dict[Layer, LayerConfig] = {
        layer: _layer(layer, table.get(layer, {}), where) for layer in LAYERS
    }
    level = table.get("log_level", "warning")
    if level not in LEVELS:
        raise UsageError(f"{where}.log_level: expected one of {', '.join(LEVELS)}, got {level!r}")
    thresholds = _table(table.get("thresholds", {}), f"{where}.thresholds")
    _refuse_unknown(thresholds, {one.name for one in fields(Thresholds)}, f"{where}.thresholds")
    for name, value in thresholds.items():
        if not isinstance(value, int | float) or isinstance(value, bool) or value < 0:
            raise UsageError(f"{where}.thresholds.{name}: expected a number >= 0, got {value!r}")
    return Config(layers=layers, thresholds=Thresholds(**thresholds), log_level=level)


def _layer(layer: Layer, given: object, where: str) -> LayerConfig:
    where = f"{where}.{layer}"
    table = _table(given, where)
    settings = {one.name for one in fields(PoolSettings)}
    _refuse_unknown(table, settings | {"setup_ms"}, where)
    config = _DEFAULTS[layer]
    try:
        changes = {name: value for name, value in table.items() if name in settings}
        pool = replace(config.pool, **changes)
    except UsageError as error:
        raise UsageError(f"{where}: {error}") from None
    setup_ms = _count(table.get("setup_ms", config.setup_ms), f"{where}.setup_ms")
    return LayerConfig(pool=pool, setup_ms=setup_ms)


def _count(value: object, where: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise UsageError(f"{where}: expected a whole number from 1 on, got {value!r}")
    return value


def _table(value: object, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise UsageError(f"{where}: expected a table, got {value!r}")
    return cast("dict[str, Any]", value)


def _refuse_unknown(table: Mapping[str, Any], known: Iterable[str], where: str) -> None:
    names = sorted(known)
    for name in table:
        if name not in names:
            near = difflib.get_close_matches(name, names, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(names)}"
            raise UsageError(f"{where}: expected a known key, got {name!r}; {hint}")
