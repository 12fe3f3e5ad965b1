"""What is done with each pool of the corpus, and what is watched from outside while it is done.

Nothing here draws at random and no time matters but by its order: the schedule of steps decides
alone. First in, first out, those who take part come one after the other and seldom meet.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from types import ModuleType
from typing import Any, Final

from tests.chaos.races import invariants

FOR_EVER_S: Final = 60.0  # of virtual time: everything here is over in two seconds


async def turns(number: int) -> None:
    for _ in range(number):
        await asyncio.sleep(0)


class Watch:
    """Keeps the first promise that was broken; what is raised inside a pool may be lost there."""

    def __init__(self) -> None:
        self.broken: invariants.BrokenPromiseError | None = None

    def accuse(self, error: invariants.BrokenPromiseError) -> None:
        self.broken = self.broken or error

    def settle(self) -> None:
        if self.broken:
            raise self.broken

    async def over(
        self, tasks: Iterable[asyncio.Task[Any]], stuck: Callable[[], Exception]
    ) -> None:
        """Wait for all; raise what was broken, or what `stuck` says if some never end."""
        everyone = list(tasks)
        _, waiting = await asyncio.wait(everyone, timeout=FOR_EVER_S)
        stuck_then = stuck() if waiting else None
        for task in waiting:
            task.cancel()
        ends = await asyncio.gather(*everyone, return_exceptions=True)
        self.settle()
        if stuck_then:
            raise stuck_then
        for end in ends:
            if isinstance(end, Exception):
                raise end


class Worker:
    """Is in use by one client, or resets itself, or is idle."""

    def __init__(self, site: "Site") -> None:
        self.site = site
        self.busy = False

    async def reset(self) -> None:
        self.busy = True
        try:
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            self.site.open -= 1
            raise
        self.busy = False


class Site(Watch):
    """Opens workers, and knows who asks for one and who has one."""

    def __init__(self, module: ModuleType, size: int) -> None:
        super().__init__()
        self.size, self.open, self.held = size, 0, 0
        self.asking: set[asyncio.Task[Any] | None] = set()
        self.pool = module.Leases(self.open_worker, size)

    async def open_worker(self) -> Worker:
        self.open += 1
        if self.open > self.size:
            self.accuse(invariants.OverCapacityError(f"{self.open} open of {self.size}"))
        try:
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            self.open -= 1
            raise
        return Worker(self)

    async def take(self) -> Worker:
        ahead = self.held + sum(not task.cancelling() for task in self.asking if task)
        me, at_once = asyncio.current_task(), True

        def later() -> None:
            nonlocal at_once
            at_once = False

        asyncio.get_running_loop().call_soon(later)
        self.asking.add(me)
        try:
            worker: Worker = await self.pool.checkout()
        finally:
            self.asking.discard(me)
        if at_once and ahead >= self.size:
            self.accuse(invariants.UnfairError(f"{ahead} were ahead for {self.size} workers"))
        if worker.busy:
            self.accuse(invariants.DoubleGrantError("the worker was in use"))
        worker.busy = True
        self.held += 1
        return worker

    async def give(self, worker: Worker) -> None:
        worker.busy = False
        try:
            await self.pool.checkin(worker)
        finally:
            self.held -= 1

    async def client(self, pause: int, rounds: int) -> None:
        await turns(pause)
        for _ in range(rounds):
            worker = await self.take()
            try:
                await turns(1)
            finally:
                await self.give(worker)

    def stuck(self) -> Exception:
        if self.pool.idle:
            return invariants.LostWakeUpError("a worker is idle while clients wait")
        return invariants.LostPlaceError("clients wait, nobody has a worker")


async def lend(module: ModuleType) -> None:
    """Five clients, two workers; two of the clients are cancelled on the way."""
    site = Site(module, 2)
    clients = [
        asyncio.create_task(site.client(5 * number, 3), name=f"client {number}")
        for number in range(5)
    ]
    for number, pause in ((3, 22), (1, 4)):
        await turns(pause)
        clients[number].cancel()
    await site.over(clients, site.stuck)
    last = [asyncio.create_task(site.take(), name=f"last {number}") for number in range(2)]
    await site.over(last, site.stuck)


class Tenure(Watch):
    """Holders of one shard, each of whom writes while another of its tasks may release."""

    def __init__(self, module: ModuleType) -> None:
        super().__init__()
        self.module = module
        self.shard = module.Shard(self.disk, 1.0)
        self.released: set[int] = set()
        self.live: list[Any] = []

    def disk(self, lease: Any) -> None:
        if self.shard.lease != lease:
            self.accuse(invariants.ZombieWriteError(f"epoch {lease.epoch} was over"))

    async def acquire(self, name: str) -> Any:
        lease = await self.shard.acquire(name)
        now = asyncio.get_running_loop().time()
        for other in self.live:
            if other.epoch not in self.released and other.until > now:
                self.accuse(invariants.DoubleGrantError(f"{other} and {lease}"))
        self.live.append(lease)
        return lease

    def release(self, lease: Any) -> None:
        self.released.add(lease.epoch)
        self.shard.release(lease)

    async def write(self, lease: Any, times: int) -> None:
        for _ in range(times):
            try:
                await self.shard.write(lease)
            except self.module.StaleLeaseError:
                now = asyncio.get_running_loop().time()
                if lease.epoch not in self.released and now < lease.until:
                    self.accuse(invariants.LostLeaseError(f"{lease} at {now}"))
                return

    async def hold(self, name: str, pause: int) -> None:
        await turns(pause)
        lease = await self.acquire(name)
        writing = asyncio.create_task(self.write(lease, 2), name=f"{name} writes")
        await turns(9)
        self.release(lease)
        await writing

    async def oversleep(self, name: str) -> None:
        """Come back when the term is just over, and release what is no longer one's own."""
        late = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_later(1.0, late.set_result, None)
        lease = await self.acquire(name)
        await late
        self.release(lease)


async def hold(module: ModuleType) -> None:
    """Three holders, one after the other."""
    tenure = Tenure(module)
    tasks = [
        asyncio.create_task(tenure.hold(name, 20 * number), name=name)
        for number, name in enumerate("abc")
    ]
    await tenure.over(tasks, lambda: invariants.LostWakeUpError("a holder waits for ever"))


async def crowd(module: ModuleType) -> None:
    """Four holders, of whom two wait at the same time."""
    tenure = Tenure(module)
    tasks = [
        asyncio.create_task(tenure.hold(name, pause), name=name)
        for name, pause in zip("abcd", (0, 8, 18, 40), strict=True)
    ]
    await tenure.over(tasks, lambda: invariants.LostWakeUpError("a holder waits for ever"))


async def come_back(module: ModuleType) -> None:
    """A holder oversleeps its term, and has been started anew under the same name."""
    tenure = Tenure(module)
    old = asyncio.create_task(tenure.oversleep("a"), name="old a")
    await turns(3)
    new = asyncio.create_task(tenure.hold("a", 0), name="new a")
    await tenure.over([old, new], lambda: invariants.LostWakeUpError("a holder waits for ever"))


class Shift(Watch):
    """Jobs, the attempts at them that are under way, and those that were cancelled in time."""

    def __init__(self, module: ModuleType, workers: int) -> None:
        super().__init__()
        self.pool = module.Jobs(workers)
        self.attempts: dict[int, list[asyncio.Task[Any]]] = {}
        self.cancelled: set[int] = set()
        self.jobs = [self.pool.submit(self.job(number)) for number in range(5)]

    def job(self, number: int) -> Callable[[], Awaitable[int]]:
        async def run() -> int:
            if number in self.cancelled:
                self.accuse(invariants.CancelledJobRanError(f"job {number}"))
            attempts = self.attempts.setdefault(number, [])
            if any(not task.done() and not task.cancelling() for task in attempts):
                self.accuse(invariants.OverlapError(f"job {number}"))
            task = asyncio.current_task()
            assert task
            attempts.append(task)
            await turns(2)
            attempts.remove(task)
            return number

        return run

    def cancel(self, number: int) -> None:
        if self.pool.cancel(self.jobs[number]):
            self.cancelled.add(number)

    async def join(self) -> None:
        await self.pool.join()
        if not all(job.outcome.done() for job in self.jobs):
            self.accuse(invariants.EarlyJoinError("a job has no outcome yet"))

    async def close(self) -> None:
        await self.pool.close()
        if not all(job.outcome.done() for job in self.jobs):
            self.accuse(invariants.UnresolvedJobError("the pool is closed"))
        for job in self.jobs:
            if job.outcome.done() and not job.outcome.cancelled():
                job.outcome.exception()


async def shift(module: ModuleType) -> None:
    """Five jobs, two workers; one job is cancelled, a worker is killed twice; join, then close."""
    work = Shift(module, 2)
    joining = asyncio.create_task(work.join(), name="join")

    async def disturb() -> None:
        await turns(6)
        work.cancel(3)
        await turns(2)
        work.pool.kill(0)
        await turns(3)
        work.pool.kill(0)

    disturbing = asyncio.create_task(disturb(), name="disturb")
    await work.over([joining, disturbing], lambda: invariants.UnresolvedJobError("join hangs"))
    await work.close()
    work.settle()


async def close_early(module: ModuleType) -> None:
    """Five jobs, two workers; the pool is closed while they run."""
    work = Shift(module, 2)
    await turns(7)
    closing = asyncio.create_task(work.close(), name="close")
    await work.over([closing], lambda: invariants.UnresolvedJobError("close hangs"))


class Source(Watch):
    """A slow source of values behind a cache, and those who ask for them."""

    def __init__(self, module: ModuleType) -> None:
        super().__init__()
        self.value, self.forgotten, self.loading = 1, 0, list[int]()
        self.flights = module.Flights(self.load)
        self.leaving: set[asyncio.Task[Any] | None] = set()

    async def load(self, key: str) -> int:
        if self.forgotten in self.loading:
            self.accuse(invariants.DoubleLoadError(key))
        generation, value = self.forgotten, self.value
        self.loading.append(generation)
        await turns(3)
        self.loading.remove(generation)
        return value

    async def ask(self, pause: int) -> None:
        await turns(pause)
        newest = self.value
        try:
            value = await self.flights.get("key")
        except asyncio.CancelledError:
            if asyncio.current_task() not in self.leaving:
                self.accuse(invariants.PoisonedError("a caller that nobody cancelled"))
            raise
        if value < newest:
            self.accuse(invariants.StaleValueError(f"got {value}, expected {newest}"))

    def change(self) -> None:
        self.value += 1
        self.forgotten += 1
        self.flights.forget("key")


async def ask_the_cache(module: ModuleType) -> None:
    """Four callers of one key; one is cancelled, and the value changes on the way."""
    source = Source(module)
    asking = [
        asyncio.create_task(source.ask(pause), name=f"caller {number}")
        for number, pause in enumerate((0, 2, 12, 24))
    ]
    await turns(9)
    source.leaving.add(asking[0])
    asking[0].cancel()
    await turns(11)
    source.change()
    await source.over(asking, lambda: invariants.LostReplyError("a caller waits for ever"))


async def talk(module: ModuleType) -> None:
    """Four ask over one channel, two at a time; the other end answers after some turns."""
    watch = Watch()
    answering = set[asyncio.Task[Any]]()

    async def send(number: int, question: str) -> None:
        async def answer() -> None:
            await turns(3)
            channel.heard(number, f"answer to {question}")

        answering.add(asyncio.create_task(answer(), name=f"answer {number}"))
        await asyncio.sleep(0)

    async def ask(number: int) -> None:
        await turns(3 * number)
        answer = await channel.ask(f"question {number}")
        if answer != f"answer to question {number}":
            watch.accuse(invariants.WrongReplyError(f"to question {number}: {answer}"))

    channel = module.Channel(send, 2)
    asking = [asyncio.create_task(ask(number), name=f"asks {number}") for number in range(4)]
    await watch.over(asking, lambda: invariants.LostReplyError("somebody waits for an answer"))


async def cut_and_heal(module: ModuleType) -> None:
    """A worker is cut off and healed, twice, while jobs are given out."""
    watch = Watch()
    health = module.Health(["w1", "w2"])
    messages = [(False, 1), (True, 2), (False, 3), (True, 4)]

    async def hear(up: bool, number: int) -> None:  # noqa: FBT001 - as in the message
        await turns(9 * number)
        await health.heard("w1", up=up, number=number)

    async def assign(number: int) -> None:
        await turns(9 * number + 5)
        await health.assign("w1", f"job {number}")

    tasks = [asyncio.create_task(hear(*message), name=f"hears {message}") for message in messages]
    tasks += [asyncio.create_task(assign(number), name=f"assigns {number}") for number in range(4)]
    await watch.over(tasks, lambda: invariants.DeadlockedError("handlers wait for each other"))
    if not health.up["w1"]:
        raise invariants.MissedHealError("w1 was healed, and is down")
