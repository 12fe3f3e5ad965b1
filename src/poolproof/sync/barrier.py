"""Let several tasks go at one moment, or one after the other in a given order."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator

from poolproof.errors import UsageError
from poolproof.sync.waiter import DEFAULT_TIMEOUT, SyncTimeoutError, Waiter, here, in_words, listed


class Barrier:
    """Holds all who wait until as many as `parties` do; then it lets all go and can be used again.

    The moment of release is one moment: either all parties are let go, or, when the first of them
    has waited for `timeout` seconds, all are told who came and who did not. One that is cancelled
    while it waits has not come.

    Example:
        >>> barrier = Barrier(2)
        >>> await asyncio.gather(barrier.wait(), barrier.wait())
        [0, 1]
    """

    def __init__(
        self, parties: int, *, timeout: float = DEFAULT_TIMEOUT, name: str = "the barrier"
    ) -> None:
        if parties < 1:
            raise UsageError(f"expected a number of parties >= 1, got {parties}")
        self.parties, self.timeout, self.name = parties, timeout, name
        self._round: dict[asyncio.Future[int], Waiter] = {}
        self._timer: asyncio.TimerHandle | None = None

    @property
    def waiting(self) -> tuple[Waiter, ...]:
        """Who is held at this moment."""
        return tuple(who for place, who in self._round.items() if not place.done())

    async def wait(self) -> int:
        """Wait for the others; return how many came before.

        Raises:
            SyncTimeoutError: too few came in time.
        """
        loop = asyncio.get_running_loop()
        place: asyncio.Future[int] = loop.create_future()
        if not self._round:
            self._timer = loop.call_later(self.timeout, self._give_up)
        self._round[place] = here()
        if len(self._round) >= self.parties:
            self._release()
        if place.done():
            await asyncio.sleep(0)  # the last to come goes last
        try:
            return await place
        finally:
            self._leave(place)

    def _release(self) -> None:
        # A cancelled party is still here until its task has taken its step.
        self._round = {place: who for place, who in self._round.items() if not place.done()}
        if len(self._round) >= self.parties:
            for index, place in enumerate(self._end_round()):
                place.set_result(index)

    def _give_up(self) -> None:
        came = self.waiting
        for place in self._end_round():
            if not place.done():
                place.set_exception(
                    SyncTimeoutError(
                        f"expected {self.parties} parties at {self.name} within "
                        f"{self.timeout:g} s, got {len(came)}: {in_words(came)}",
                        waiting=came,
                    )
                )

    def _end_round(self) -> list[asyncio.Future[int]]:
        places, self._round = list(self._round), {}
        if self._timer:
            self._timer.cancel()
        return places

    def _leave(self, place: asyncio.Future[int]) -> None:
        if self._round.pop(place, None) and not self._round:
            self._end_round()
        if not place.cancelled():
            place.exception()  # seen, also if its party was cancelled in the same turn


class Sequencer:
    """Makes blocks of several tasks run in the order of their numbers, from 0, each once.

    If one that waits for its turn is cancelled or runs out of time, all the others are told: the
    order can be kept no more. The idea is trio's.

    Example:
        >>> turn = Sequencer()
        >>> async with turn(0):  # and in another task: async with turn(1)
        ...     await submit_first()
    """

    def __init__(self, *, timeout: float = DEFAULT_TIMEOUT, name: str = "the sequence") -> None:
        self.timeout, self.name = timeout, name
        self._next = 0
        self._claimed: set[int] = set()
        self._turns: dict[int, tuple[asyncio.Future[None], Waiter]] = {}
        self._broken = ""

    @contextlib.asynccontextmanager
    async def __call__(self, position: int) -> AsyncGenerator[None]:
        """Wait until the block of `position - 1` is over, then run this one.

        Raises:
            UsageError: this position was taken before.
            SyncTimeoutError: the turn did not come in time, or not for another.
        """
        if position in self._claimed or position < 0:
            raise UsageError(f"expected a position >= 0 not yet taken, got {position} again")
        self._claimed.add(position)
        if position != self._next or self._broken:
            await self._turn(position)
        try:
            yield
        finally:
            self._next = position + 1
            turn, _ = self._turns.get(self._next, (None, None))
            if turn and not turn.done():
                turn.set_result(None)

    async def _turn(self, position: int) -> None:
        loop = asyncio.get_running_loop()
        turn: asyncio.Future[None] = loop.create_future()
        self._turns[position] = turn, here()
        if self._broken:
            self._break(self._broken)
        timer = loop.call_later(self.timeout, self._give_up, position)
        try:
            await turn
        except asyncio.CancelledError:
            self._break(f"number {position} of {self.name} was cancelled")
            raise
        finally:
            timer.cancel()
            del self._turns[position]

    def _give_up(self, position: int) -> None:
        waiting = listed(
            f"{number} ({who.name} since {who.since:.3f} s)"
            for number, (_, who) in sorted(self._turns.items())
        )
        state = "has not ended" if self._next in self._claimed else "has not come"
        self._break(
            f"expected number {position} of {self.name} to have its turn within "
            f"{self.timeout:g} s, but number {self._next} {state}; waiting: {waiting}"
        )

    def _break(self, reason: str) -> None:
        self._broken = reason
        waiting = [who for _, who in self._turns.values()]
        for turn, _ in self._turns.values():
            if not turn.done():
                turn.set_exception(SyncTimeoutError(reason, waiting=waiting))
