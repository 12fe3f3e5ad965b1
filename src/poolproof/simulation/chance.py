"""`buggify`: points in a program at which, under simulation, something rare may happen.

After FoundationDB (Zhou et al., SIGMOD 2021, section 4): a point is first enabled or not for a whole
run, and an enabled one then fires now and then. So runs differ in which rare things are common in them.
"""

import asyncio
import random
from collections import Counter
from typing import Final

ENABLED: Final = 0.25
FIRES: Final = 0.25


class Points:
    """The points of one run, each with randomness of its own.

    A point more, or a draw more at one, changes nothing at another.

    Attributes:
        fired: how often each point did.
    """

    def __init__(self, seed: int) -> None:
        self.fired: Counter[str] = Counter()
        self._seed = seed
        self._points: dict[str, random.Random | None] = {}

    def fires(self, name: str, enabled: float, fires: float) -> bool:
        """Return whether the point fires this time."""
        if name not in self._points:
            rng = random.Random(f"{self._seed}/buggify/{name}")  # noqa: S311 - no secret
            self._points[name] = rng if rng.random() < enabled else None
        rng_or_none = self._points[name]
        hit = rng_or_none is not None and rng_or_none.random() < fires
        self.fired[name] += hit
        return hit


def buggify(name: str, *, enabled: float = ENABLED, fires: float = FIRES) -> bool:
    """Return whether to do the rare thing here; always False but in a simulation that asks for it.

    Args:
        name: of the point, the same at each call.
        enabled: the share of runs in which the point fires at all.
        fires: the share of calls at which it then does.

    Example:
        >>> def size_of_batch() -> int:
        ...     return 1 if buggify("a batch of one") else 100
        >>> size_of_batch()
        100
    """
    try:
        loop: object = asyncio.get_running_loop()
    except RuntimeError:
        return False
    points: Points | None = getattr(loop, "points", None)
    return points is not None and points.fires(name, enabled, fires)
