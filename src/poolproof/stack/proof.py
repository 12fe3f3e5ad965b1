"""The layer that was asked for is the layer that ran: proven by the kernel's list of processes."""

import os
from collections.abc import Collection

from poolproof.errors import PoolproofError
from poolproof.stack.tree import Stack
from poolproof.watch import procfs


class LayerProofError(PoolproofError):
    """A stack did not run on the layer that it was asked for, or nothing shows that it did."""


def descendants() -> frozenset[int]:
    """Return the processes below this one, as the kernel lists them."""
    return frozenset(procfs.descendants(os.getpid())) - {os.getpid()}


def prove_layer(stack: Stack, before: Collection[int]) -> None:
    """Check, while the stack is up, that it runs where it should.

    On `full`, every worker is a living process of its own below this one; on the others no process
    has come since.

    Args:
        stack: with its workers up.
        before: `descendants()` of before it was started.

    Raises:
        LayerProofError: it is not so.
    """
    asked, ran = stack.env.layer, stack.pool.layer
    if ran != asked:
        raise LayerProofError(f"expected the layer {asked}, got a stack on {ran}")
    now, pids = descendants(), stack.pids()
    if asked == "full":
        _prove_foreign(pids, len(stack.pool.slots()), now)
    elif new := sorted((now - frozenset(before)) | frozenset(pids)):
        raise LayerProofError(
            f"expected no process on the layer {asked}, got {len(new)} new: {_described(new)}"
        )


def _prove_foreign(pids: Collection[int], workers: int, living: Collection[int]) -> None:
    foreign = set(pids) & set(living)
    if not workers or len(foreign) < workers:
        raise LayerProofError(
            f"expected each of {workers} workers of the layer full to be a process below this one, "
            f"got {len(foreign)} such (they say {sorted(pids)}, the kernel lists {sorted(living)})"
        )


def _described(pids: Collection[int]) -> str:
    return ", ".join(f"{pid} ({' '.join(procfs.cmdline(pid))[:80]})" for pid in pids)
