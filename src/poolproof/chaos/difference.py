"""What two runs differ in: verdicts, broken promises and crash points, and whether anything got worse."""

from collections.abc import Iterable, Mapping
from typing import Final, Literal

import msgspec

from poolproof.chaos.result import Entry, PointEntry, Result

Way = Literal["worse", "better", "changed"]

_GRAVITY: Final = {
    "valid": 0,
    "survived": 0,
    "by contract": 1,
    "reported": 1,
    "slow": 2,
    "unknown": 3,
    "duplicated": 3,
    "lost": 4,
    "stopped": 5,
    "invalid": 5,
}
"""How bad a verdict or an ending is; what is not here (not applicable, not tried, unreached) proves nothing."""
_PROVEN: Final = ("valid", "by contract", "invalid")
NOTHING: Final = "-"
"""Stands for what one of the runs does not have."""


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is not the same: what it is about, what it was and is, and whether that is worse."""

    about: str
    before: str
    after: str
    way: Way


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """All that is not the same in two runs.

    Attributes:
        verdict: of the whole, if it changed.
        violations: broken promises that came, went, or are judged otherwise.
        faults: rows of the table of everything tried.
        points: crash points, by file, function and line.
        notes: what makes the two runs hard to compare.
    """

    verdict: tuple[Change, ...] = ()
    violations: tuple[Change, ...] = ()
    faults: tuple[Change, ...] = ()
    points: tuple[Change, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def changes(self) -> tuple[Change, ...]:
        """All of them, the gravest kind first."""
        return self.verdict + self.violations + self.faults + self.points

    @property
    def worse(self) -> bool:
        """Whether anything got worse."""
        return any(change.way == "worse" for change in self.changes)


def difference(before: Result, after: Result) -> Difference:
    """Compare two results."""
    verdicts = ({"verdict": before.verdict}, {"verdict": after.verdict})
    points = (_endings(before.crash_points.points), _endings(after.crash_points.points))
    return Difference(
        verdict=tuple(_changes(*verdicts)),
        violations=tuple(_violations(before, after)),
        faults=tuple(_changes(_rows(before), _rows(after))),
        points=tuple(_changes(*points)),
        notes=tuple(_notes(before, after)),
    )


def _violations(before: Result, after: Result) -> Iterable[Change]:
    """Yield the promises that are broken in one of the two; it is better only where the fault was tried again."""
    old, new = _broken(before.checks), _broken(after.checks)
    tried = {row.fault for row in after.faults if row.verdict in _PROVEN}
    tried |= {f"crash-point:{point.effect}" for point in after.crash_points.points}
    for key in dict.fromkeys((*new, *old)):
        was, is_ = old.get(key, NOTHING), new.get(key, NOTHING)
        if was != is_:
            gone: Way = "better" if key not in new and key[1] in tried else "changed"
            about = f"{key[0]} under {key[1]}: {key[2]}"
            yield Change(
                about=about, before=was, after=is_, way="worse" if key not in old else gone
            )


def _broken(entries: Iterable[Entry]) -> dict[tuple[str, str, str], str]:
    return {
        (entry.invariant, entry.fault, entry.effect): (
            f"{entry.verdict}, accepted" if entry.accepted else entry.verdict
        )
        for entry in entries
        if entry.verdict in ("invalid", "by contract")
    }


def _rows(result: Result) -> dict[str, str]:
    return {row.fault: row.verdict for row in result.faults}


def _changes(old: Mapping[str, str], new: Mapping[str, str]) -> Iterable[Change]:
    for key in dict.fromkeys((*old, *new)):
        was, is_ = old.get(key, NOTHING), new.get(key, NOTHING)
        if was != is_:
            yield Change(about=key, before=was, after=is_, way=_way(was, is_))


def _way(was: str, is_: str) -> Way:
    """Tell which way it went: what proves nothing, or nothing any more, is never better."""
    now = _GRAVITY.get(is_)
    if now is None or (was, is_) == ("invalid", "unknown"):
        return "changed"
    then = _GRAVITY.get(was)
    if then is None:
        return "worse" if now > _GRAVITY["unknown"] else "changed"
    return "worse" if now > then else "better" if now < then else "changed"


def _endings(points: Iterable[PointEntry]) -> dict[str, str]:
    return {
        f"{point.effect} at {point.file}:{point.line} ({point.function})": point.ending
        for point in points
    }


def _notes(before: Result, after: Result) -> Iterable[str]:
    if before.target != after.target:
        yield f"two targets: {before.target} and {after.target}"
    for key in ("poolproof", "python", "workers", "platform"):
        was, is_ = before.environment.get(key), after.environment.get(key)
        if was != is_:
            yield f"{key}: {was} and {is_}"
