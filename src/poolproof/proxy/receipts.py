"""What a proxy did, to which bytes of which connection: told by the pipes that did it, not by who asked for it."""

from collections import Counter, deque
from dataclasses import dataclass
from typing import Final, NamedTuple

MOST_RECEIPTS: Final = 10_000
"""How many single receipts are kept; the counts know of all."""


class Done(NamedTuple):
    """What a pipe tells: what it did, from which byte on, to how many, and more; see `Receipt`."""

    what: str
    start: int = 0
    length: int = 0
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """One thing that was done.

    Attributes:
        at: when, on the clock of the loop, in seconds.
        connection: on which connection of the proxy.
        direction: requests, replies or both.
        what: what was done: delayed, sliced, held, released, swallowed, drop, duplicate, reorder, ...
        start: from which byte of that direction on.
        length: to how many bytes.
        detail: more, for people.
    """

    at: float
    connection: int
    direction: str
    what: str
    start: int
    length: int
    detail: str


class Receipts:
    """All that a proxy did so far.

    Attributes:
        last: the last `MOST_RECEIPTS` receipts.
        counts: how often, by (what, direction).
        amounts: to how many bytes, the same.
    """

    def __init__(self) -> None:
        self.last: deque[Receipt] = deque(maxlen=MOST_RECEIPTS)
        self.counts: Counter[tuple[str, str]] = Counter()
        self.amounts: Counter[tuple[str, str]] = Counter()

    def add(self, receipt: Receipt) -> None:
        """Keep a receipt."""
        key = (receipt.what, receipt.direction)
        self.last.append(receipt)
        self.counts[key] += 1
        self.amounts[key] += receipt.length

    def times(self, what: str) -> int:
        """Return how often something was done, in either direction."""
        return sum(count for (done, _), count in self.counts.items() if done == what)

    def evidence(self, what: str) -> str | None:
        """Return the evidence that something was done, as a sentence with numbers; None if it was not."""
        told = [
            f"{way}: {count} times, {self.amounts[done, way]} bytes"
            for (done, way), count in sorted(self.counts.items())
            if done == what and count
        ]
        return f"{what}, {'; '.join(told)}" if told else None
