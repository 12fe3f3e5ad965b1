"""What the tests of the tree share: virtual time, and a record of its events."""

from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from poolproof import simulation
from poolproof.supervision import TreeEvent


@pytest.fixture
def simulated() -> Callable[[Coroutine[Any, Any, Any]], Any]:
    """Run a coroutine to its end in virtual time."""
    return simulation.run


class Record(list[TreeEvent]):
    """A sink that keeps what it is told."""

    def __call__(self, event: TreeEvent) -> None:
        self.append(event)

    def names(self, child: str | None = None) -> list[str]:
        """Return the names of the events, of all or of one child."""
        return [
            one.name for one in self if child is None or (one.offender and one.offender.id == child)
        ]


@pytest.fixture
def record() -> Record:
    """A sink that keeps what it is told."""
    return Record()
