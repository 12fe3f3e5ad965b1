"""One cause is one violation: which broken promises of a trial are told, and which only follow from a stuck pool."""

from collections.abc import Sequence

from poolproof.checkers import Finding

CONSEQUENCES = ("unresolved-job", "shutdown-hang", "leak", "starvation")
"""What a pool that serves nobody any more breaks besides: told in `also`, not as violations of their own."""
CAUSES = ("no-recovery", "starvation", "unresolved-job")
"""The invariants whose violation leaves a pool stuck, the gravest first."""


def telling(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """Return the findings of one trial without those that only follow from a pool that is stuck."""
    causes = [finding for finding, _ in primary(findings)]
    causes += [f for f in findings if f.invariant in CAUSES and f.verdict == "unknown"]
    if not any(cause.invariant in CAUSES for cause in causes):
        return tuple(findings)
    return tuple(f for f in findings if f in causes or f.invariant not in CONSEQUENCES)


def primary(findings: Sequence[Finding]) -> list[tuple[Finding, tuple[str, ...]]]:
    """Return the broken promises of one trial, each with what only follows from it.

    A pool that serves nobody any more leaves jobs unresolved and hangs in shutdown, of course; and so does, to a
    lesser degree, one that has lost a job: one cause is one violation.
    """
    broken = [finding for finding in findings if finding.verdict in ("invalid", "by contract")]
    for first in CAUSES:
        causes = [finding for finding in broken if finding.invariant == first]
        if causes:
            consequences = [
                f for f in broken if f.invariant in CONSEQUENCES and f.invariant != first
            ]
            also = tuple(dict.fromkeys(f.invariant for f in consequences))
            rest = [(f, ()) for f in broken if f not in causes and f not in consequences]
            return [(cause, also) for cause in causes] + rest
    return [(finding, ()) for finding in broken]
