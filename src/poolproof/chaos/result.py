"""What a check found, as data: the schema of `--json` (docs/json.md), from which every report is made."""

from typing import Literal

import msgspec

from poolproof.checkers import Verdict

RESULT_SCHEMA = 1

Ending = Literal[
    "survived", "reported", "lost", "stopped", "slow", "duplicated", "unreached", "not_tried"
]
ENDINGS: tuple[Ending, ...] = (
    "survived",
    "reported",
    "lost",
    "stopped",
    "slow",
    "duplicated",
    "unreached",
    "not_tried",
)


class Entry(msgspec.Struct, kw_only=True):
    """One row of `checks`: what was found under one invariant, for one kind of fault, with one effect.

    Attributes:
        invariant: the promise, as a slug.
        verdict: of this row.
        fault: the kind of fault, `none` for an unharmed pool, `crash-point:kill` and the like for crash points.
        effect: how the promise was broken, without numbers; "" where it was not.
        reason: why, in one clause.
        evidence: sentences with numbers.
        crash_points: `file:line-line` ranges, for crash points.
        hits, trials: in how many of how many trials it was seen.
        also: other invariants that the same trials broke, as a consequence.
        story: the smallest history that shows it, a line each.
        trial: where the history is that the story tells, from the run's directory on.
        original: where the history is in which it was first seen; the same if nothing smaller shows it.
        repeats: where those are that it was played again in.
        plan: path of the saved plan.
        replay: the command that plays it again.
        accepted: the reason given for it in the file of `--accept`, if it is there.
    """

    invariant: str
    verdict: Verdict
    fault: str
    effect: str = ""
    reason: str = ""
    evidence: tuple[str, ...] = ()
    crash_points: tuple[str, ...] = ()
    hits: int = 0
    trials: int = 0
    also: tuple[str, ...] = ()
    story: tuple[str, ...] = ()
    trial: str | None = None
    original: str | None = None
    repeats: tuple[str, ...] = ()
    plan: str | None = None
    replay: str | None = None
    accepted: str | None = None


class PointEntry(msgspec.Struct, frozen=True, kw_only=True):
    """How one crash point ended; `trial` is where its history is, from the run's directory on."""

    file: str
    line: int
    function: str
    effect: str
    ending: Ending
    effects: tuple[str, ...] = ()
    seconds: float | None = None
    reason: str = ""
    trial: str | None = None


class CrashPoints(msgspec.Struct, kw_only=True):
    """The table of crash points; the classes sum to `total`."""

    total: int = 0
    survived: int = 0
    reported: int = 0
    lost: int = 0
    stopped: int = 0
    slow: int = 0
    duplicated: int = 0
    unreached: int = 0
    not_tried: int = 0
    seconds: float = 0.0
    own: tuple[str, ...] = ()
    points: tuple[PointEntry, ...] = ()


class FaultRow(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the table of everything tried; `histories` is where those are that it was judged by."""

    fault: str
    does: str
    verdict: Verdict | Literal["not tried"]
    trials: int = 0
    note: str = ""
    histories: tuple[str, ...] = ()


class Result(msgspec.Struct, kw_only=True):
    """All that one check found."""

    target: str
    verdict: Verdict
    seed: int
    environment: dict[str, str | int]
    checks: tuple[Entry, ...]
    crash_points: CrashPoints
    faults: tuple[FaultRow, ...]
    run: str
    directory: str
    seconds: float
    promises: dict[str, object] = {}
    schema: int = RESULT_SCHEMA


def counted(points: list[PointEntry], *, seconds: float, own: tuple[str, ...]) -> CrashPoints:
    """Return the table of these points."""
    table = CrashPoints(total=len(points), seconds=round(seconds, 2), own=own, points=tuple(points))
    for ending in ENDINGS:
        setattr(table, ending, sum(point.ending == ending for point in points))
    return table


def ranges(points: list[PointEntry]) -> tuple[str, ...]:
    """Return the places of these points as `file:first-last`, neighbours joined, in order."""
    found: list[str] = []
    for file in dict.fromkeys(point.file for point in points):
        lines = sorted({point.line for point in points if point.file == file})
        start = previous = lines[0]
        for line in [*lines[1:], None]:
            if line is None or line > previous + 1:
                found.append(
                    f"{file}:{start}" if start == previous else f"{file}:{start}-{previous}"
                )
                start = line if line is not None else 0
            previous = line if line is not None else 0
    return tuple(found)
