"""An asyncio loop in virtual time.

Nothing waits, the clock jumps to the next timer, in whole nanoseconds.
"""

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

from poolproof.errors import PoolproofError

T = TypeVar("T")

if TYPE_CHECKING:
    from typing_extensions import override
else:

    def override(method: T) -> T:
        """Stand in for `typing.override`, which Python 3.11 does not have yet."""
        return method


_NS = 1_000_000_000


class SimulationStalledError(PoolproofError):
    """Nothing is ready and no timer is set: in virtual time this wait would never end."""


class _JumpingSelector(selectors.PollSelector):
    """A selector that never sleeps.

    Where the stock loop would wait, `jump` moves the clock instead.
    """

    jump: Callable[[float | None], None]

    @override
    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready and (timeout is None or timeout > 0):
            self.jump(timeout)
        return ready


class SimulationLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock moves only when everything waits, straight to the next timer.

    Real files, sockets, threads and processes do not belong on it: a wait for them stalls, and that
    is an error.

    Example:
        >>> run(asyncio.sleep(3600))  # returns at once
    """

    def __init__(self, *, start_ns: int = 0) -> None:
        selector = _JumpingSelector()
        selector.jump = self._jump
        self.now_ns = start_ns
        super().__init__(selector)
        self._clock_resolution = 1 / _NS

    @override
    def time(self) -> float:
        """Return the virtual time in seconds."""
        return self.now_ns / _NS

    def _jump(self, timeout: float | None) -> None:
        if timeout is None:
            raise SimulationStalledError(
                "expected something ready or a timer, got neither: every task waits for something "
                "that nobody in the simulation will do; look at asyncio.all_tasks()"
            )
        scheduled: list[asyncio.TimerHandle] = vars(self)["_scheduled"]
        self.now_ns = max(self.now_ns, round(scheduled[0].when() * _NS))


async def advance(seconds: float) -> None:
    """Let virtual time pass; it takes no real time, and so is refused where it would.

    Raises:
        RuntimeError: the running loop is not in virtual time.
    """
    if not isinstance(asyncio.get_running_loop(), SimulationLoop):
        raise RuntimeError("expected a loop in virtual time, got a real one; see simulation.run")  # noqa: TRY004
    await asyncio.sleep(seconds)


def run(main: Coroutine[Any, Any, T], *, start_ns: int = 0) -> T:
    """Run `main` to its end in virtual time, starting at `start_ns` nanoseconds.

    Raises:
        SimulationStalledError: everything waits, and no timer is set.
    """
    with asyncio.Runner(loop_factory=lambda: SimulationLoop(start_ns=start_ns)) as runner:
        return runner.run(main)
