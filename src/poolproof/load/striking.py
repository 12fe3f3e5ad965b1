"""Faults at set times of a load: parsed from text, and carried out by the nemesis."""

import asyncio
import dataclasses
import time
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from poolproof.chaos.nemesis import Applied, Nemesis
from poolproof.chaos.rig import Rig
from poolproof.errors import UsageError
from poolproof.faults import FAULTS
from poolproof.faults.base import Fault
from poolproof.faults.process import all_workers
from poolproof.load.mix import seconds
from poolproof.plan import FaultSpec

_BY_SIGNAL: Final = {
    **{kind: fault for kind, fault in FAULTS.items() if fault.moment in ("idle", "busy")},
    **{kind: fault for kind, fault in FAULTS.items() if fault.moment == "frozen"},
}
KINDS: Final[dict[str, Fault]] = {
    kind: fault
    for kind, fault in _BY_SIGNAL.items()
    if "processes" in fault.needs and not fault.size
} | {
    "freeze-all": dataclasses.replace(
        FAULTS["freeze-idle"],
        kind="freeze-all",
        does="SIGSTOP of all workers, SIGCONT later",
        victims=all_workers,
        variants=("",),
    )
}
"""The faults that hit workers from outside, at any moment; `check` freezes not all, since no pool could serve then."""
FREEZE_SECONDS: Final = 1.0


class Strike(msgspec.Struct, frozen=True, kw_only=True):
    """One fault: its kind, and from which second of the load for how many it lasts."""

    kind: str
    at: float
    lasts: float


def parse(text: str, load_seconds: float) -> tuple[Strike, ...]:
    """Return the strikes that a text stands for: `kill-busy@5s`, `freeze-all@20s+6s`, `kill-idle@5s/2s`.

    After `+` comes how long it lasts, after `/` how often it is done again until the load ends.

    Raises:
        UsageError: there is no such fault, or it cannot be read.
    """
    kind, sign, rest = text.partition("@")
    if kind not in KINDS or not sign:
        raise UsageError(
            f"expected a fault such as kill-busy@5s or freeze-all@20s+6s, of {', '.join(KINDS)}; got {text!r}"
        )
    rest, _, again = rest.partition("/")
    begin, _, lasting = rest.partition("+")
    at, every = seconds(begin), seconds(again) if again else 0.0
    lasts = seconds(lasting) if lasting else FREEZE_SECONDS if kind.startswith("freeze") else 0.0
    if at >= load_seconds or (again and every <= lasts):
        raise UsageError(
            f"expected a fault within the {load_seconds:g} s of the load, healed before it is done again, got {text!r}"
        )
    times = int((load_seconds - at) / every) if every else 0
    strikes = (Strike(kind=kind, at=at + n * every, lasts=lasts) for n in range(times + 1))
    return tuple(strike for strike in strikes if strike.at < load_seconds)


@dataclasses.dataclass(slots=True, kw_only=True)
class Struck:
    """A strike that was carried out; times of CLOCK_MONOTONIC in nanoseconds."""

    strike: Strike
    at: int
    received: bool
    healed: int | None = None


async def strike_at_times(
    rig: Rig, strikes: Sequence[Strike], zero: int, struck: list[Struck]
) -> None:
    """Carry out each strike when it is due, one after the other, and heal it, whatever happens meanwhile."""
    for number, strike in enumerate(sorted(strikes, key=lambda one: one.at)):
        await _until(zero + int(strike.at * 1e9))
        fault = KINDS[strike.kind]
        spec = FaultSpec(kind=strike.kind, victim="idle:0" if "idle" in strike.kind else "")
        nemesis = Nemesis(rig, [Applied(number, spec, fault)])
        done = Struck(strike=strike, at=time.monotonic_ns(), received=False)
        struck.append(done)
        await nemesis.inject()
        done.received = nemesis.applied[0].received
        try:
            if strike.lasts:
                await _until(done.at + int(strike.lasts * 1e9))
        finally:
            await _heal(nemesis, done)


async def _heal(nemesis: Nemesis, done: Struck) -> None:
    await nemesis.heal()
    if done.strike.lasts:
        done.healed = time.monotonic_ns()


async def _until(due: int) -> None:
    await asyncio.sleep(max(0.0, (due - time.monotonic_ns()) / 1e9))


def unreceived(struck: Sequence[Struck], strikes: Sequence[Strike]) -> list[str]:
    """Return why nothing is known of what a fault does to this pool: it did not take effect."""
    told = [
        f"{done.strike.kind} at {done.strike.at:g} s: no receipt"
        for done in struck
        if not done.received
    ]
    missing: list[Any] = [*strikes][len(struck) :]
    return [*told, *(f"{strike.kind} at {strike.at:g} s: not carried out" for strike in missing)]
