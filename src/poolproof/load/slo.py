"""Bounds on what was measured: parsed from text such as `p99<100ms, errors<0.1%`, and judged."""

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Literal, cast

import msgspec

from poolproof.errors import UsageError

Relation = Literal["<", "<=", ">", ">="]

LATENCIES: Final = ("mean", "p50", "p90", "p95", "p99", "p99.9", "p99.99", "max")
UNITS: Final[Mapping[str, str]] = {
    **dict.fromkeys(LATENCIES, "ms"),
    "recovery": "ms",
    "errors": "%",
    "throughput": "/s",
    "rss": "MB",
    "cpu": "%",
}
"""What can be bounded, and the unit that it is measured in."""
_SCALES: Final[Mapping[str, Mapping[str, float]]] = {
    "ms": {"us": 1e-3, "ms": 1.0, "s": 1e3},
    "%": {"%": 1.0},
    "/s": {"/s": 1.0, "": 1.0},
    "MB": {"KB": 1e-3, "MB": 1.0, "GB": 1e3},
}
_RELATIONS: Final[Mapping[str, Callable[[float, float], bool]]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_BOUND: Final = re.compile(r"([a-z0-9.]+)\s*(<=|>=|<|>)\s*([0-9]*\.?[0-9]+)\s*([a-zA-Z%/]*)")


class Bound(msgspec.Struct, frozen=True, kw_only=True):
    """One bound; `value` is in the unit of `UNITS`."""

    metric: str
    relation: Relation
    value: float

    def __str__(self) -> str:
        return f"{self.metric}{self.relation}{self.value:g}{UNITS[self.metric]}"


class Judged(msgspec.Struct, frozen=True, kw_only=True):
    """What a bound was held against; None was measured where nothing could be, which keeps no bound."""

    bound: Bound
    measured: float | None
    kept: bool

    def __str__(self) -> str:
        unit = UNITS[self.bound.metric]
        measured = "nothing measured" if self.measured is None else f"{self.measured:.4g} {unit}"
        return f"{self.bound}: {measured}"


def parse(text: str) -> tuple[Bound, ...]:
    """Return the bounds in a text, which commas separate.

    Raises:
        UsageError: one of them cannot be read; says what can be bounded.
    """
    return tuple(_bound(part.strip()) for part in text.split(",") if part.strip())


def _bound(text: str) -> Bound:
    found = _BOUND.fullmatch(text)
    if found is None or found[1] not in UNITS:
        raise UsageError(
            f"expected a bound such as p99<100ms on one of {', '.join(UNITS)}, got {text!r}"
        )
    scales = _SCALES[UNITS[found[1]]]
    if found[4] not in scales:
        raise UsageError(f"expected {found[1]} in {', '.join(filter(None, scales))}, got {text!r}")
    value = float(found[3]) * scales[found[4]]
    return Bound(metric=found[1], relation=_relation(found[2]), value=value)


def _relation(text: str) -> Relation:
    return cast("Relation", text)


def judge(bounds: Sequence[Bound], measured: Mapping[str, float | None]) -> tuple[Judged, ...]:
    """Hold each bound against what was measured, by metric."""
    return tuple(_judged(bound, measured.get(bound.metric)) for bound in bounds)


def _judged(bound: Bound, measured: float | None) -> Judged:
    kept = measured is not None and _RELATIONS[bound.relation](measured, bound.value)
    return Judged(bound=bound, measured=measured, kept=kept)
