"""One worker's requests on an event loop: done one at a time, in their order, and answered in batches.

The mock layer, the peer of the bridge and a process whose handler is a coroutine function are all
this, with another way out.
"""

import asyncio
import inspect
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from poolproof.transport import actor as acting
from poolproof.transport import describe
from poolproof.transport.actor import Actor, Clock, Mark, Room
from poolproof.transport.base import Each, Reply, Request

TURN_NS: Final = 1_000_000
"""How long requests may be done in a row before what is finished is sent and others have a turn."""


@dataclass(frozen=True, slots=True)
class Errand:
    """What is asked of an actor beside its requests; `done` is told the problem there was, or None."""

    method: Callable[[], Any] | None
    done: Callable[[str | None], None]


def loop_clock() -> Clock:
    """Return the running loop's clock in nanoseconds; in virtual time it is virtual."""
    loop = asyncio.get_running_loop()
    simulated: Any = loop
    if hasattr(loop, "now_ns"):
        return lambda: simulated.now_ns
    if type(loop).time is asyncio.BaseEventLoop.time:
        return time.monotonic_ns  # what that is made of
    return lambda: round(loop.time() * 1e9)


class Mailbox:
    """Requests wait here and are done by one actor.

    Args:
        actor: whose requests they are; its `init` has succeeded.
        emit: takes a batch of replies, and how many nanoseconds their handlers took.
        crashed: takes what ended the worker: SystemExit, or what no handler may raise.
        mark: where it writes what it begins, and reads what is recalled.
    """

    def __init__(
        self,
        actor: Actor,
        *,
        emit: Callable[[list[Reply], int], None],
        crashed: Callable[[BaseException], None],
        mark: Mark,
    ) -> None:
        self.epoch = 0
        self._actor, self._crashed, self._mark = actor, crashed, mark
        self._emit = emit
        self._loop = asyncio.get_running_loop()
        self._clock = loop_clock()
        self._queue: deque[Request | Errand] = deque()
        self._replies: list[Reply] = []
        self._since = 0
        self._cancelled: set[int] = set()
        self._turning = False
        self._task: asyncio.Task[None] | None = None
        self._awaiting = 0
        self._giving_up = False
        self._open = True

    def put(self, requests: Sequence[Request]) -> None:
        """Have requests done; what comes after the end is dropped."""
        if self._open:
            self._queue.extend(requests)
            if not self._turning:
                self._wake()

    def ask(self, method: Callable[[], Any] | None, done: Callable[[str | None], None]) -> None:
        """Have `method` called between two requests, once those before it are done."""
        self._queue.append(Errand(method, done))
        self._wake()

    def cancel(self, request_id: int) -> None:
        """Skip the request if it has not begun, cancel it if it awaits; harmless if it is not here."""
        if self._task is not None and self._awaiting == request_id:
            self._giving_up = True
            self._task.cancel()
        elif any(not isinstance(item, Errand) and item[0] == request_id for item in self._queue):
            self._cancelled.add(request_id)

    def close(self) -> None:
        """Drop what has not begun, and take nothing more; errands are still done."""
        self._open = False
        self._queue = deque(item for item in self._queue if isinstance(item, Errand))

    def crash(self) -> None:
        """Stop at once: nothing is answered any more."""
        self._open = False
        self._queue.clear()
        self._replies.clear()
        self._emit = _nowhere
        if self._task is not None:
            self._task.cancel()

    def _wake(self) -> None:
        if self._turning:
            return
        self._turning = True
        if self._actor.asynchronous:
            self._task = self._loop.create_task(self._run())
        else:
            self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        """Do what is here, for a while; the other way of `_run`, for an actor that never awaits."""
        self._turning = False
        clock = self._clock
        self._since = clock()
        until = self._since + TURN_NS
        try:
            while self._queue:
                self._one(self._queue.popleft())
                if clock() > until:
                    break
        except KeyboardInterrupt:
            raise
        except BaseException as end:  # noqa: BLE001 - it ends this worker, not the loop it is a guest of
            self._flush()
            self._crashed(end)
            return
        self._flush()
        if self._queue:
            self._wake()

    def _one(self, item: Request | Errand) -> None:
        if isinstance(item, Errand):
            self._flush()
            item.done(acting.problem(item.method))
            return
        mark = self._mark
        mark[acting.BEGUN] = item[0]
        if item[0] in self._cancelled or item[0] <= mark[acting.RECALLED]:
            self._skip(item[0])
        else:
            answer = acting.answer_each if isinstance(item, Each) else acting.answer
            self._replies.append(answer(self._actor, item, self.epoch, self._clock))  # type: ignore[arg-type]

    async def _run(self) -> None:
        """Do what is here until nothing is left; replies go out whenever the loop turns."""
        self._since = self._clock()
        until = self._since + TURN_NS
        try:
            while self._queue:
                await self._one_async(self._queue.popleft())
                if self._queue and self._clock() > until:
                    self._flush()
                    await asyncio.sleep(0)
                    until = self._clock() + TURN_NS
        except (KeyboardInterrupt, asyncio.CancelledError):
            raise  # the second: by crash(), or by the end of the loop
        except BaseException as end:  # noqa: BLE001 - as in _turn
            self._flush()
            self._crashed(end)
        finally:
            self._turning, self._task = False, None

    async def _one_async(self, item: Request | Errand) -> None:
        if isinstance(item, Errand):
            self._flush()
            item.done(await acting.problem_async(item.method))
            return
        if self._called_off(item[0]):
            self._skip(item[0])
            self._flush()
            return
        reply = None
        if item[4] != self.epoch or item[2]:
            reply = acting.refusal(item, self.epoch, self._clock)
        if reply is None:
            self._awaiting = item[0]
            try:
                if isinstance(item, Each):
                    value = await self._values(item[1])
                else:
                    value = await self._value(item[1])
                reply = (item[0], True, value)
            except asyncio.CancelledError as error:
                reply = self._given_up(item[0], error)
            except Exception as error:  # noqa: BLE001 - it belongs to the caller
                reply = (item[0], False, describe.raised(error))
            finally:
                self._awaiting = 0
        self._reply(reply)

    async def _value(self, payload: Any) -> Any:
        value = self._actor.handle(payload)
        return await value if inspect.isawaitable(value) else value

    async def _values(self, payloads: Sequence[Any]) -> list[Any]:
        """Do what there is room for; see `Each`."""
        room, values = Room(self._clock), list[Any]()
        for payload in payloads:
            values.append(await self._value(payload))
            if room.used_by(values[-1]):
                break
        return values

    def _given_up(self, request_id: int, error: asyncio.CancelledError) -> Reply:
        """Return the reply to a request whose handler was cancelled, by `cancel` or by itself."""
        task = self._task
        if self._giving_up and task is not None:
            self._giving_up = False
            task.uncancel()
            return (request_id, False, describe.cancelled(begun=True))
        if task is not None and task.cancelling():
            raise error
        return (request_id, False, describe.raised(error))

    def _reply(self, reply: Reply) -> None:
        """Send a reply with all before it: now if no other follows at once, else when the loop turns."""
        self._replies.append(reply)
        if not self._queue:
            self._flush()
        elif len(self._replies) == 1:
            self._loop.call_soon(self._flush)

    def _called_off(self, request_id: int) -> bool:
        """Mark a request as begun; tell whether it was cancelled or recalled before."""
        self._mark[acting.BEGUN] = request_id
        return request_id in self._cancelled or request_id <= self._mark[acting.RECALLED]

    def _skip(self, request_id: int) -> None:
        self._cancelled.discard(request_id)
        self._replies.append((request_id, False, describe.cancelled(begun=False)))

    def _flush(self) -> None:
        if not self._replies:
            return
        replies, self._replies = self._replies, []
        now = self._clock()
        busy, self._since = now - self._since, now
        self._emit(replies, busy)


def _nowhere(_replies: list[Reply], _busy_ns: int) -> None:
    """Take the replies of a worker that is dead."""
