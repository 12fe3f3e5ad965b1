"""From a history to verdicts: pure functions, one for each invariant, and how they combine."""

from poolproof.checkers import (
    admission,
    attempts,
    capacity,
    delivery,
    ordering,
    overlap,
    recovery,
    resources,
)
from poolproof.checkers.base import (
    CHECKERS,
    Charge,
    Claim,
    Finding,
    Verdict,
    accuse,
    checker,
    combine,
    judge,
    unknown,
    valid,
)
from poolproof.checkers.classify import ClassName, PointClass, classify
from poolproof.checkers.promises import PROMISES, check_promises
from poolproof.checkers.recovery import slowness
from poolproof.checkers.trial import Trial

__all__ = [
    "CHECKERS",
    "PROMISES",
    "Charge",
    "Claim",
    "ClassName",
    "Finding",
    "PointClass",
    "Trial",
    "Verdict",
    "accuse",
    "admission",
    "attempts",
    "capacity",
    "check_promises",
    "checker",
    "classify",
    "combine",
    "delivery",
    "judge",
    "ordering",
    "overlap",
    "recovery",
    "resources",
    "slowness",
    "unknown",
    "valid",
]
