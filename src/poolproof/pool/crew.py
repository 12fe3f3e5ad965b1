"""The workers' lives: started, replaced when they die, asked whether they are well, let go."""

import asyncio
import functools
from collections.abc import Coroutine
from typing import Any, Final

from poolproof.errors import CircuitOpenError, HealthCheckFailedError, PoolError
from poolproof.ledger import BIRTH, DEATH, NOTE, POOL, WORKER
from poolproof.pool.dispatch import Clock, Dispatch
from poolproof.pool.recycling import due
from poolproof.pool.settings import NS, PoolSettings
from poolproof.pool.slot import Slot
from poolproof.pool.worker import Worker
from poolproof.transport.base import End, Transport, WorkerSpec

_BARREN_DEATHS: Final = 3
"""So many workers of one place may die without an answer until the next is started with a pause."""
_FIRST_PAUSE: Final = 0.05


class Crew:
    """Keeps as many workers as there should be, by number: one that dies is replaced under its number.

    Numbers below `size` are always filled (once there is work, if lazy), the `overflow` numbers
    after them only while somebody waits.

    Attributes:
        size: how many workers there should be.
        restarts: how many workers were started in the place of one that had ended.
    """

    def __init__(
        self,
        settings: PoolSettings,
        transport: Transport,
        spec: WorkerSpec,
        dispatch: Dispatch,
        *,
        clock: Clock,
    ) -> None:
        self.size = settings.size
        self.restarts = 0
        self._settings, self._transport, self._spec = settings, transport, spec
        self._dispatch, self._clock = dispatch, clock
        self._limits = settings.recycling
        self._loop = asyncio.get_running_loop()
        self._starting: dict[int, asyncio.Task[Any]] = {}
        self._replacing: set[int] = set()
        self._epochs: dict[int, int] = {}
        self._barren: dict[int, int] = {}
        self._empty: dict[int, PoolError] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._closing = False
        self._last: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Start the workers, all at once; return when they are up.

        Raises:
            StartFailedError: one did not start, however often it was tried.
        """
        await self._transport.open()
        if not self._settings.lazy:
            await asyncio.gather(*(self._fill(number) for number in range(self.size)))
            if self._empty:
                raise next(iter(self._empty.values()))
        self.do(self._beat())
        if self._limits.age_ns or self._limits.rss_bytes:
            self.do(self._recycle())

    def do(self, work: Coroutine[Any, Any, Any]) -> "asyncio.Task[Any]":
        """Run something beside, until it is over or the crew is closed."""
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    # Starting.

    def _fill(self, number: int) -> "asyncio.Task[Any]":
        """Have a worker started under this number, unless there is one or it is being started."""
        task = self._starting.get(number)
        if task is None:
            task = self._starting[number] = self.do(self._start(number))
            task.add_done_callback(lambda _: self._starting.pop(number, None))
        return task

    async def _start(self, number: int) -> None:
        pause = self._pause(self._barren.get(number, 0) - _BARREN_DEATHS)
        failed = 0
        while True:
            if pause:
                await asyncio.sleep(pause)
            try:
                slot = await self._spawn(number)
            except PoolError as error:
                failed += 1
                self._note_failure(number, error)
                if failed > self._settings.start_retries:
                    self._leave_empty(number, error)
                    return
                pause = self._pause(failed - 1)
                continue
            if self._take_in(slot):
                return

    def _pause(self, failures: int) -> float:
        """Return the pause before the next start: none at first, then doubling, with a bound."""
        if failures <= 0:
            return 0.0
        return float(min(_FIRST_PAUSE * 2 ** min(failures - 1, 30), self._settings.start_pause))

    async def _spawn(self, number: int) -> Slot:
        epoch = self._epochs[number] = self._epochs.get(number, 0) + 1
        worker = Worker(number=number, epoch=epoch, now_ns=self._clock())
        link = await self._transport.spawn(self._spec, number, epoch, self._dispatch)
        worker.begun(self._clock())
        return Slot(worker, link, self._settings, self._clock())

    def _take_in(self, slot: Slot) -> bool:
        """Give jobs to a new worker; False if it is dead already."""
        if self._dispatch.attach(slot) is not None:
            return False
        self._empty.pop(slot.number, None)
        self._dispatch.refusal = None if not self._closing else self._dispatch.refusal
        data = {"worker": slot.number, "epoch": slot.worker.epoch, "pid": slot.link.pid}
        self._dispatch.note((self._clock(), BIRTH, WORKER, slot.number, data))
        self.restarts += slot.worker.epoch > 1
        self._dispatch.soon()
        return True

    def _note_failure(self, number: int, error: PoolError) -> None:
        event = (self._clock(), NOTE, WORKER, number, {"what": "start failed"})
        self._dispatch.note((*event, type(error).__name__, str(error)[:500]))
        self._dispatch.soon()

    def _leave_empty(self, number: int, error: PoolError) -> None:
        """Give a place up for a while; without any worker the pool says that it is broken."""
        self._empty[number] = error
        self.do(self._refill(number))
        others = set(self._starting) - {number}
        if self._dispatch.slots or others or self._closing:
            return

        def refusal() -> PoolError:
            broken = CircuitOpenError(
                "expected a worker, got none: no start has succeeded, the last failed with "
                f"{error}; the next try is within {self._settings.start_pause:g} s"
            )
            broken.__cause__ = error
            return broken

        self._dispatch.refusal = refusal
        for job in self._dispatch.waiting():
            self._dispatch.forget(job)
            self._dispatch.fail(job, refusal())

    async def _refill(self, number: int) -> None:
        await asyncio.sleep(self._settings.start_pause)
        if not self._closing and number < self.size:
            self._fill_if_empty(number)

    def shortage(self, waiting: int) -> None:
        """Start workers that are not there yet, for those who wait."""
        if self._closing:
            return
        most = self.size + self._settings.overflow
        free = [n for n in range(most) if n not in self._dispatch.slots and n not in self._empty]
        for number in [n for n in free if n not in self._replacing][
            : max(0, waiting - len(self._starting))
        ]:
            self._fill(number)
            if number >= self.size:
                self.do(self._let_go_when_idle(number))

    async def _let_go_when_idle(self, number: int) -> None:
        if (starting := self._starting.get(number)) is not None:
            await starting
        while (slot := self._dispatch.slots.get(number)) is not None and number >= self.size:
            idle = (self._clock() - slot.idle_since_ns) / NS if slot.idle else 0.0
            if slot.idle and idle >= self._settings.overflow_idle:
                await self.retire(slot, "overflow")
                return
            await asyncio.sleep(max(self._settings.overflow_idle - idle, 0.001))

    # Ending.

    def died(self, slot: Slot, end: End, *, unanswered: int) -> None:
        """Note a worker's end, and replace it if nobody had asked for it."""
        now = self._clock()
        slot.worker.died(end.kind, now)
        data = {"worker": slot.number, "epoch": slot.worker.epoch, "pid": slot.link.pid}
        self._dispatch.note((now, DEATH, WORKER, slot.number, data, end.kind, end.detail[:500]))
        barren = slot.worker.jobs <= unanswered
        self._barren[slot.number] = self._barren.get(slot.number, 0) + 1 if barren else 0
        wanted = not slot.worker.retiring and slot.number < self.size and not self._closing
        lazily = self._settings.lazy and not self._dispatch.line
        if wanted and not lazily:
            self._fill_if_empty(slot.number)

    def _fill_if_empty(self, number: int) -> None:
        if number not in self._dispatch.slots and number not in self._replacing:
            self._fill(number)

    async def retire(self, slot: Slot, reason: str) -> None:
        """Give a worker nothing more, let it finish what it holds, and end it."""
        slot.worker.retire()
        self._dispatch.detach(slot)
        if not slot.empty and slot.worker.state != "terminated":
            emptied = self._loop.create_future()
            slot.emptied = functools.partial(emptied.set_result, None)
            await emptied
        await self.end(slot, reason)

    async def end(self, slot: Slot, reason: str) -> None:
        """End a worker: politely, and by force after the grace."""
        slot.worker.terminate(reason, self._clock())
        await slot.link.terminate(self._settings.grace)

    async def replace(self, slot: Slot, reason: str) -> None:
        """Start a worker's replacement first, then retire it: nobody waits in between."""
        number = slot.number
        if number in self._replacing or self._dispatch.slots.get(number) is not slot:
            return
        self._replacing.add(number)
        try:
            new = await self._spawn(number)
            slot.worker.retire()
            self._dispatch.detach(slot)
            self._take_in(new)
        except PoolError as error:
            self._note_failure(number, error)
            return
        finally:
            self._replacing.discard(number)
            if not self._closing:
                self._fill_if_empty(number)
        await self.retire(slot, reason)

    async def resize(self, size: int) -> None:
        """Start or retire workers until there are `size`; those that go finish what they hold."""
        event = (self._clock(), NOTE, POOL, None, {"what": "resize", "from": self.size, "to": size})
        self._dispatch.note(event)
        self.size = size
        gone = [slot for number, slot in self._dispatch.slots.items() if number >= size]
        filled = [self._fill(n) for n in range(size) if n not in self._dispatch.slots]
        await asyncio.gather(*filled, *(self.retire(slot, "resize") for slot in gone))

    async def replace_all(self) -> None:
        """Replace every worker by a new one, one after the other, under load."""
        for slot in list(self._dispatch.slots.values()):
            await self.replace(slot, "rolling replacement")

    def wear(self, slot: Slot, rss_bytes: int | None = None) -> None:
        """Have a worker replaced if it has served long enough."""
        reason = due(slot.worker, self._limits, self._clock(), rss_bytes)
        if reason and not slot.worker.retiring and slot.number not in self._replacing:
            self.do(self.replace(slot, reason))

    # Asking.

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(self._settings.ping_interval)
            slots = [slot for slot in self._dispatch.slots.values() if slot.empty]
            await asyncio.gather(*(self._ask(slot) for slot in slots))

    async def _ask(self, slot: Slot) -> None:
        while slot.empty and slot.worker.state != "terminated":
            try:
                await slot.link.ping(self._settings.ping_timeout)
            except HealthCheckFailedError as error:
                if await self._unwell(slot, error):
                    return
            else:
                if slot.worker.check_passed(self._clock()) == "restored":
                    self._dispatch.restored(slot)
                return

    async def _unwell(self, slot: Slot, error: HealthCheckFailedError) -> bool:
        """Degrade a worker, or end it; return whether it is not to be asked again."""
        if not slot.empty or slot.worker.should_remove():
            return True
        verdict = slot.worker.check_failed(self._clock())
        self._note_failure(slot.number, error)
        if verdict == "remove":
            await self.end(slot, "health_check_failed")
        elif verdict == "degraded":
            await asyncio.sleep(self._settings.ping_timeout)
        return verdict != "degraded"

    async def _recycle(self) -> None:
        while True:
            await asyncio.sleep(self._settings.usage_interval)
            for slot in list(self._dispatch.slots.values()):
                usage = slot.link.usage() if self._limits.rss_bytes else None
                self.wear(slot, usage.rss_bytes if usage else None)

    # The end of all.

    async def close(self) -> None:
        """End every worker and what starts them; nothing is left when it returns."""
        self._closing = True
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        slots = [*self._dispatch.slots.values(), *self._dispatch.leaving]
        await asyncio.gather(*(self.end(slot, "shutdown") for slot in slots))
        await self._transport.close()

    def kill(self) -> None:
        """End every worker at once, without waiting for anything."""
        self._closing = True
        for task in list(self._tasks):
            task.cancel()
        for slot in [*self._dispatch.slots.values(), *self._dispatch.leaving]:
            slot.link.kill()
        # The transport's own end takes a while; nobody has to wait for it.
        self._last = self._loop.create_task(self._transport.close())
