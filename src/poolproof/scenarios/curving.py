"""The curve of recovery of a play: what its load's callers, and its workers, show of what was done to the pool."""

from collections import Counter
from collections.abc import Iterator
from typing import Final

import msgspec

from poolproof.load.recovery import SLICE_NS, Curve, curve
from poolproof.scenarios.data import LASTING, Scenario
from poolproof.scenarios.facts import Facts, JobFacts

NS: Final = 1e9
MS: Final = 1e3
_TIMES: Final = ("at_ms", "heal_ms", "detected_ms", "repaired_ms", "dip_ms", "slice_ms")


def curve_of(scenario: Scenario, facts: Facts, pace: float) -> Curve | None:
    """Return the curve of all deeds of a play together; None where there was none, or no load.

    Reckoned in the scenario's seconds, told in the stage's: at a pace of a tenth, everything lasts a tenth. The last
    deed, or what undid it, counts as the heal. What is only undone after the load was repaired when the pool was
    steady again.

    Args:
        scenario: what was played.
        facts: what has come to be known.
        pace: how many seconds of the stage's clock one of the scenario's is.
    """
    load = facts.role("load")
    if not load or not facts.deeds:
        return None

    def since(moment: float) -> int:
        return int((moment - facts.began) / pace * NS)

    at, over = facts.deeds[0][0], _over(facts)
    until = since(facts.over)
    found = curve(
        scenario.name,
        since(at),
        since(over) if over > at else None,
        good=_good(load, facts, pace),
        failed=[since(job.ended) for job in load if job.ended is not None and job.error],
        live=[(since(moment), living) for moment, living in facts.living],
        births=[since(moment) for moment in facts.born],
        workers=facts.wanted,
        until=until,
    )
    told = {name: getattr(found, name) for name in _TIMES}
    scaled = {name: None if ms is None else ms * pace for name, ms in told.items()}
    if since(over) >= until:
        steady = facts.recovery_seconds
        scaled["repaired_ms"] = None if steady is None else steady * MS
    return msgspec.structs.replace(found, **scaled)


def _over(facts: Facts) -> float:
    """Return when the last deed was done, or if it lasts, undone."""
    at, _ = facts.deeds[-1]
    lasting = [moment for moment, deed in facts.deeds if deed in LASTING]
    undone = (heal for heal in facts.heals if lasting and heal >= lasting[-1])
    return max(at, next(undone, at))


def _good(load: list[JobFacts], facts: Facts, pace: float) -> Counter[int]:
    right = (job.ended for job in load if job.ended is not None and job.ok and job.right)
    return Counter(int((ended - facts.began) / pace * NS) // SLICE_NS for ended in right)


def goodput(facts: Facts, pace: float, found: Curve) -> tuple[int, ...]:
    """Return how many right answers the load's jobs got in each slice of a curve, while it lasted."""
    wide = round(found.slice_ms / pace * 1e6) // SLICE_NS
    lasted = int((facts.over - facts.began) / pace * NS) // SLICE_NS
    return tuple(_in_slices(_good(facts.role("load"), facts, pace), wide, lasted))


def _in_slices(good: Counter[int], wide: int, slices: int) -> Iterator[int]:
    for first in range(0, slices, wide):
        yield sum(good[n] for n in range(first, first + wide))
