"""What the operations of a load are, and how often each: parsed from text, drawn by a seed."""

import re
from array import array
from collections.abc import Sequence
from random import Random
from typing import Final

import msgspec

from poolproof.errors import UsageError

DOES: Final = {
    "noop": "nothing",
    "echo": "returns its payload, of so many bytes: echo:100",
    "sleep": "sleeps: sleep:5ms",
    "burn": "computes for so much processor time: burn:1ms",
    "fail": "raises, which the pool must tell",
    "own": "the target's own jobs, in turns",
}
_UNITS: Final = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0}
_TIME: Final = re.compile(r"([0-9]*\.?[0-9]+)(us|ms|s|m)")
MOST_PAYLOAD_BYTES: Final = 16 * 1024 * 1024


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of operation.

    Attributes:
        name: one of `DOES`.
        argument: bytes for echo, seconds for sleep and burn.
        weight: how often, relative to the others.
    """

    name: str
    argument: float = 0.0
    weight: float = 1.0


def seconds(text: str) -> float:
    """Return what `5ms`, `300s` or `2m` is in seconds.

    Raises:
        UsageError: it is no such time.
    """
    found = _TIME.fullmatch(text.strip())
    if found is None:
        raise UsageError(f"expected a time such as 500us, 5ms, 300s or 2m, got {text!r}")
    return float(found[1]) * _UNITS[found[2]]


def parse(text: str) -> tuple[Operation, ...]:
    """Return the operations that a text such as `echo:100=70,sleep:5ms=20,fail=10` stands for.

    Raises:
        UsageError: there is no such operation, or a number is none.
    """
    found = tuple(_operation(part.strip()) for part in text.split(",") if part.strip())
    if not found:
        raise UsageError(f"expected operations, got {text!r}; such as echo:100=70,sleep:5ms=30")
    return found


def _operation(text: str) -> Operation:
    what, _, weight = text.partition("=")
    name, colon, argument = what.partition(":")
    if name not in DOES:
        raise UsageError(f"expected an operation among {', '.join(DOES)}, got {name!r}")
    if bool(colon) != (name in ("echo", "sleep", "burn")):
        raise UsageError(f"expected an operation as in {name}: {DOES[name]}, got {what!r}")
    return Operation(name=name, argument=_argument(name, argument), weight=_weight(weight, text))


def _argument(name: str, text: str) -> float:
    if name != "echo":
        return seconds(text) if text else 0.0
    if not text.isdigit() or int(text) > MOST_PAYLOAD_BYTES:
        raise UsageError(f"expected bytes up to {MOST_PAYLOAD_BYTES}, as in echo:100, got {text!r}")
    return float(text)


def _weight(text: str, whole: str) -> float:
    try:
        weight = float(text) if text else 1.0
    except ValueError:
        weight = -1.0
    if not 0 < weight < float("inf"):
        raise UsageError(f"expected a weight above 0, as in echo:100=70, got {whole!r}")
    return weight


def draw(operations: Sequence[Operation], count: int, seed: int) -> "array[int]":
    """Return which operation each of `count` arrivals is; equal seeds draw alike."""
    rng = Random(seed ^ 0x6D6978)  # noqa: S311 - chance, no secret; not the one of the arrivals
    weights = [one.weight for one in operations]
    return array("B", rng.choices(range(len(operations)), weights, k=count))
