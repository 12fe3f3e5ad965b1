"""Many requests at once, in lists that take about a millisecond, so that none waits behind a slow one."""

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Any, Final

from poolproof.errors import NotCarriedError
from poolproof.pool.dispatch import Dispatch
from poolproof.pool.job import Job
from poolproof.pool.settings import NS

_AHEAD: Final = 2
"""How many lists each worker is given: one that it does, and one that it finds when that is done."""


class Bulk:
    """Requests that are handed out in lists, and their answers in order.

    A worker answers a list when it has done it, or has been at it for a millisecond; what it has not
    done is handed out again, in lists as long as what was done. So lists are long where requests are
    short, and of one request where they are long, and the next request is always for who is free.

    Args:
        dispatch: who gives them to workers.
        requests: what each is.
        deadline: seconds from now until all are to be done.
        workers: how many there are, about.
        longest: how many a list may hold.
        first: how many the first ones do: what was found for requests before these. One that is too long costs a
            millisecond, one that is too short a turn.

    Attributes:
        size: how many requests take about a millisecond, as far as is known.
    """

    def __init__(
        self,
        dispatch: Dispatch,
        requests: Sequence[Any],
        *,
        deadline: float,
        workers: int,
        longest: int,
        first: int = 1,
    ) -> None:
        self._dispatch, self._requests = dispatch, requests
        self._until_ns = dispatch.clock() + int(deadline * NS)
        self._width, self._longest = _AHEAD * workers, longest
        self.size = min(first, longest)
        self._share = -(-len(requests) // self._width)
        self._answers: list[Any] = [None] * len(requests)
        self._first = 0
        self._again: deque[tuple[range, int | None]] = deque()
        self._singly = False
        self._under_way: dict[Job, range] = {}
        self._left = len(requests)
        self._all: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def answers(self) -> list[Any]:
        """Return them, or raise the first error; nothing is under way then."""
        try:
            self._hand_out()
            if self._left:
                await self._all
        finally:
            for job in list(self._under_way):
                job.cancel()
        return self._answers

    def _hand_out(self) -> None:
        while len(self._under_way) < self._width and not self._all.done():
            places, number = self._next()
            if not places:
                return
            seconds = (self._until_ns - self._dispatch.clock()) / NS
            requests = list(self._requests[places.start : places.stop])
            if self._singly:
                job = self._dispatch.submit(requests[0], seconds)
            else:
                job = self._dispatch.submit_list(requests, seconds, number)
            self._under_way[job] = places
            job.add_done_callback(self._ended)

    def _next(self) -> tuple[range, int | None]:
        """Return the places of the next list, and the number of its first, if they have numbers."""
        size = 1 if self._singly else min(self.size, self._share)
        if self._again:
            places, number = self._again.popleft()
            if len(places) > size:
                rest = None if number is None else number + size
                self._again.appendleft((places[size:], rest))
            return places[:size], number
        places = range(self._first, min(self._first + size, len(self._requests)))
        self._first = places.stop
        return places, None

    def _ended(self, job: "asyncio.Future[Any]") -> None:
        assert isinstance(job, Job)
        places = self._under_way.pop(job)
        if self._all.done():
            if not job.cancelled():
                job.exception()  # whoever comes after the first is not asked for
            return
        if job.cancelled():
            self._all.cancel()
            return
        error = job.exception()
        if error is None:
            self._take(places, job)
        elif job.count and isinstance(error, NotCarriedError) and not error.may_have_happened:
            # Too long together, or not for this worker: then each by itself.
            self._singly, self._width = True, len(self._requests)
            self._again.append((places, None))
        else:
            self._all.set_exception(error)
            return
        self._hand_out()
        if not self._left:
            self._all.set_result(None)

    def _take(self, places: range, job: Job) -> None:
        values = job.result() if job.count else [job.result()]
        done = len(values)
        self._answers[places.start : places.start + done] = values
        self._left -= done
        if done < len(places):
            self.size = max(1, min(self.size, done))
            self._again.append((places[done:], job.number + done))
        elif done == self.size:
            self.size = min(2 * self.size, self._longest)
