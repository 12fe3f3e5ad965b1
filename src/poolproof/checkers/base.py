"""The seam for checkers: what a verdict is, how a checker is registered, how all judge a trial.

A stranger's checker is one function under `@checker("its-invariant")` in one file: a pure function
from a trial to claims. What holds for every invariant alike is decided here: no receipt is unknown,
a declared weakness is `by contract`, a checker that raises is unknown.
"""

import dataclasses
import traceback
from collections.abc import Callable, Iterable, Sequence
from typing import Final, Literal

import msgspec

from poolproof.checkers.receipts import unproven
from poolproof.checkers.trial import Trial

Verdict = Literal["valid", "invalid", "unknown", "not applicable", "by contract"]

# The worst first. What cannot apply says nothing as soon as anything else was said.
_WORST: Final[tuple[Verdict, ...]] = (
    "invalid",
    "unknown",
    "by contract",
    "valid",
    "not applicable",
)

MAX_EVIDENCE: Final = 8


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """What a checker says.

    Attributes:
        verdict: one of `Verdict`.
        reason: why, in one clause.
        evidence: sentences with numbers, for somebody who knows neither the pool nor poolproof.
        jobs: the numbers of the jobs that it is about.
        effect: how the promise was broken, without numbers: one effect is one violation.
    """

    verdict: Verdict
    reason: str
    evidence: tuple[str, ...] = ()
    jobs: tuple[int, ...] = ()
    effect: str = ""


class Finding(Claim, frozen=True, kw_only=True):
    """A claim about one trial, under the invariant that it is about."""

    invariant: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """Evidence that the invariant was broken: how (without numbers), the sentence, the job."""

    effect: str
    text: str
    job: int | None = None


Check = Callable[[Trial], Sequence[Claim]]
Need = Callable[[Trial], str | None]
"""Returns why an invariant cannot apply to a trial, or None if it can."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Checker:
    """A registered checker.

    Attributes:
        invariant: what it judges.
        promise: the declaration without which no pool is held to it; None where every pool is.
        needs: what else it needs in order to apply.
        check: the function.
    """

    invariant: str
    promise: str | None
    needs: tuple[Need, ...]
    check: Check

    def inapplicable(self, trial: Trial) -> str | None:
        """Return why the invariant cannot apply to a trial, or None if it can."""
        given = trial.promises.get(self.promise) if self.promise else True
        if given is None or given is False:  # 0 is a promise, too
            return f"{self.promise} is not promised"
        return next((reason for need in self.needs if (reason := need(trial))), None)


CHECKERS: dict[str, Checker] = {}


def checker(
    invariant: str, *, promise: str | None = None, needs: Iterable[Need] = ()
) -> Callable[[Check], Check]:
    """Register the decorated function for `invariant`; raise ValueError if it has a checker."""

    def register(check: Check) -> Check:
        if invariant in CHECKERS:
            raise ValueError(f"expected a new invariant, got {invariant!r} again")
        CHECKERS[invariant] = Checker(
            invariant=invariant, promise=promise, needs=tuple(needs), check=check
        )
        return check

    return register


def valid(reason: str, *, evidence: Sequence[str] = ()) -> tuple[Claim, ...]:
    """Claim that the invariant held; `evidence` holds remarks."""
    return (Claim(verdict="valid", reason=reason, evidence=_bounded(evidence)),)


def unknown(reason: str, *, evidence: Sequence[str] = ()) -> tuple[Claim, ...]:
    """Claim that it cannot be told: among others, that the trial holds no relevant operation."""
    return (Claim(verdict="unknown", reason=reason, evidence=_bounded(evidence)),)


def accuse(charges: Iterable[Charge], *, context: Sequence[str] = ()) -> tuple[Claim, ...]:
    """Claim that the invariant was broken, once for each effect; `context` precedes evidence."""
    effects: dict[str, list[Charge]] = {}
    for charge in charges:
        effects.setdefault(charge.effect, []).append(charge)
    return tuple(_accusation(effect, group, context) for effect, group in effects.items())


def _accusation(effect: str, group: list[Charge], context: Sequence[str]) -> Claim:
    jobs = tuple(sorted({charge.job for charge in group if charge.job is not None}))
    return Claim(
        verdict="invalid",
        reason=f"{effect} ({named(jobs)})" if jobs else effect,
        evidence=_bounded([*context, *(charge.text for charge in group)]),
        jobs=jobs,
        effect=effect,
    )


def named(jobs: Sequence[int]) -> str:
    """Return the jobs in words: `job 5`, `jobs 5, 6 and 9`."""
    numbers = [str(number) for number in jobs]
    if len(numbers) < 2:  # noqa: PLR2004 - one or none
        return f"job {''.join(numbers)}"
    return f"jobs {', '.join(numbers[:-1])} and {numbers[-1]}"


def _bounded(evidence: Sequence[str]) -> tuple[str, ...]:
    if len(evidence) <= MAX_EVIDENCE:
        return tuple(evidence)
    return (*evidence[:MAX_EVIDENCE], f"and {len(evidence) - MAX_EVIDENCE} more of the same")


def judge(trial: Trial, reference: Trial | None = None) -> tuple[Finding, ...]:
    """Run every registered checker over a trial and return at least one finding for each.

    Args:
        trial: what happened.
        reference: the same plan with nothing broken; what that leaves behind is no leak.
    """
    whole = trial if reference is None else dataclasses.replace(trial, reference=reference)
    doubt = unproven(whole)
    return tuple(
        _settle(one.invariant, claim, whole, doubt)
        for one in CHECKERS.values()
        for claim in _claims(one, whole)
    )


def _claims(one: Checker, trial: Trial) -> Sequence[Claim]:
    try:
        if why_not := one.inapplicable(trial):
            return (Claim(verdict="not applicable", reason=why_not),)
        return one.check(trial) or unknown("the checker said nothing")
    except Exception as error:  # noqa: BLE001 - a stranger's checker may raise anything
        line = traceback.format_exception_only(error)[-1].strip()
        return unknown(f"the checker itself failed: {line}")


def _settle(invariant: str, claim: Claim, trial: Trial, doubt: str | None) -> Finding:
    verdict, reason = claim.verdict, claim.reason
    quote = trial.promises.get("contract", {}).get(invariant)
    if doubt and verdict in ("valid", "invalid"):
        verdict, reason = "unknown", f"{doubt}; what was seen: {reason}"
    elif verdict == "invalid" and quote:
        verdict, reason = "by contract", f'{reason}; declared: "{quote}"'
    return Finding(
        invariant=invariant,
        verdict=verdict,
        reason=reason,
        evidence=claim.evidence,
        jobs=claim.jobs,
        effect=claim.effect,
    )


def combine(verdicts: Iterable[Verdict]) -> Verdict:
    """Return the worst; unknown if there is none at all.

    The order is invalid > unknown > by contract > valid > not applicable.
    """
    given = tuple(verdicts)
    return min(given, key=_WORST.index) if given else "unknown"
