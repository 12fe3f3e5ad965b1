"""What a pool claims beside what it keeps: one line for each invariant, from the rows of a result."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from poolproof.chaos.result import Entry
from poolproof.checkers import CHECKERS, Verdict, combine


class Kept(NamedTuple):
    """One invariant: who claims it, what became of it, and what broke it.

    Attributes:
        invariant: its slug.
        claimed: `of every pool`, `declared`, `declared not to be kept`, or `no`.
        verdict: over all that was tried; `not applicable` where nothing could.
        under: the kinds of fault that broke it.
    """

    invariant: str
    claimed: str
    verdict: Verdict
    under: tuple[str, ...]


def kept(entries: Iterable[Entry], promises: Mapping[str, Any]) -> tuple[Kept, ...]:
    """Return a line for each invariant that there is, what every pool is held to first."""
    rows = list(entries)
    found = [_line(invariant, rows, promises) for invariant in CHECKERS]
    return tuple(sorted(found, key=lambda line: line.claimed == "no"))


def _line(invariant: str, rows: Iterable[Entry], promises: Mapping[str, Any]) -> Kept:
    mine = [row for row in rows if row.invariant == invariant]
    verdicts: list[Verdict] = [row.verdict for row in mine] or ["not applicable"]
    broken = (row.fault for row in mine if row.verdict in ("invalid", "by contract"))
    claimed = _claimed(invariant, promises)
    return Kept(invariant, claimed, combine(verdicts), tuple(dict.fromkeys(broken)))


def _claimed(invariant: str, promises: Mapping[str, Any]) -> str:
    if invariant in promises.get("contract", {}):
        return "declared not to be kept"
    promise = CHECKERS[invariant].promise
    if promise is None:
        return "of every pool"
    given = promises.get(promise)
    if given is None or given is False:
        return "no"
    return "declared" if given is True else f"declared: {promise}={given}"
