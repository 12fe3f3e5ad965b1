"""One of our own stacks under the pool machine: `mock` and `bridge_mock` in virtual time, `full` in real time."""

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from poolproof import probe, simulation
from poolproof.errors import HealthCheckFailedError, PoolError
from poolproof.pool.job import Job
from poolproof.stack import Stack, build_test_env, start_stack
from poolproof.stateful.model import Outcome
from poolproof.stateful.pipe import Pipe
from poolproof.transport import bridge
from poolproof.transport.base import Layer, WorkerSpec

if TYPE_CHECKING:
    from poolproof.pool.lease import Lease
    from poolproof.stateful.subject import Offer

JOB_SECONDS: Final = 5.0
CHECKOUT_SECONDS: Final = 0.5
CLOSE_SECONDS: Final = 30.0
DELAY_SECONDS: Final = 0.3
PINGS: Final = 20
"""Heartbeats come each 30 s, and end a worker after a few that fail: well within so many times `JOB_SECONDS`."""
_TRICKS: Final = {
    "duplicate": bridge.duplicate,
    "delay": bridge.delay(DELAY_SECONDS),
    "drop": bridge.drop,
    "truncate": bridge.truncate(5),
    "corrupt": bridge.corrupt(9),
}


@dataclass(slots=True, eq=False)
class Held:
    """A checked-out worker, and the task that holds it."""

    granted: "asyncio.Future[Lease | None]"
    over: asyncio.Event
    task: "asyncio.Task[None] | None" = None


class StackSubject:
    """A whole stack: supervisor, base, pool, and probes as its workers."""

    recovers = True

    def __init__(
        self, layer: Layer, workers: int, *, seconds: float = 0.0, **settings: Any
    ) -> None:
        self._layer: Layer = layer
        self._seconds = seconds
        self._settings: dict[str, Any] = {"size": workers, "timeout": JOB_SECONDS, **settings}
        self.simulated = layer != "full"
        offers: set[Offer] = {"cancel", "checkout", "kill", "pause", "resize"}
        offers |= {"advance"} if self.simulated else set()
        offers |= {"spoil"} if layer == "bridge_mock" else set()
        self.offers = frozenset(offers)
        self._jobs: dict[int, Job] = {}
        self._held: list[Held] = []
        self._frozen: list[int] = []
        self._spoiled: list[bridge.BridgeLink] = []
        self._pipe: Pipe | None = None
        self._tell: Callable[[], None] | None = None
        self._running: Stack | None = None

    async def open(self) -> None:
        """Start the stack; its probes write to a pipe only where they are other processes."""
        self._pipe = None if self.simulated else Pipe()
        self._witness = self._pipe.path if self._pipe else simulation.token()
        if self._tell is not None:
            probe.on_start(self._witness, self._tell)
        spec = WorkerSpec(target=probe.Probe, args=(self._witness, self._seconds))
        env = build_test_env(spec, layer=self._layer, test="machine", pool=self._settings)
        try:
            self._running = await start_stack(env)
        except BaseException:
            self._forget()
            raise

    @property
    def _stack(self) -> Stack:
        assert self._running is not None
        return self._running

    def on_start(self, tell: Callable[[], None]) -> None:
        """Have `tell` called whenever a probe has begun a job."""
        self._tell = tell

    def _forget(self) -> None:
        """Drop what the probes have said, and the pipe through which they did."""
        probe.forget(self._witness)
        pipe, self._pipe = self._pipe, None
        if pipe is not None:
            pipe.close()

    async def submit(self, job: int) -> None:
        """Hand a job over, with the pool's own deadline."""
        self._jobs[job] = self._stack.submit(job)
        await asyncio.sleep(0)

    def outcomes(self) -> dict[int, Outcome]:
        """Return the outcome of each future that is done."""
        return {number: _outcome(number, job) for number, job in self._jobs.items() if job.done()}

    def starts(self) -> dict[int, int]:
        """Return what the probes have said."""
        if self._pipe is not None:
            self._pipe.read()
        return probe.starts(self._witness)

    async def settled(self, jobs: Sequence[int]) -> bool:
        """Wait for the futures: each has a deadline, so three of those are enough for all."""
        futures = [self._jobs[job] for job in jobs]
        if not futures:
            return True
        _, late = await asyncio.wait(futures, timeout=3 * self._settings["timeout"])
        return not late

    async def cancel(self, job: int) -> bool:
        """Cancel the future; certain is only what no worker had been sent."""
        future = self._jobs[job]
        unsent = future.request == 0
        return future.cancel() and unsent

    def workers(self) -> int:
        """Return how many workers the pool has."""
        return len(self._stack.pool.slots())

    async def kill(self, worker: int) -> None:
        """Kill it, as a fault does."""
        self._stack.pool.slots()[worker].link.kill()
        await asyncio.sleep(0)

    async def pause(self, worker: int) -> None:
        """Stop its process, or let its probe wait."""
        link = self._stack.pool.slots()[worker].link
        if link.pid is not None:
            # It may have ended, and the pool has yet to see it.
            with contextlib.suppress(ProcessLookupError):
                os.kill(link.pid, signal.SIGSTOP)
                self._frozen.append(link.pid)
        elif probes := probe.living(self._witness):
            probes[worker % len(probes)].pause(paused=True)

    async def heal(self) -> None:
        """Let all go on; a process that has been ended meanwhile was the pool's own child, and is gone."""
        alive = set(self._stack.pids())
        for pid in self._frozen:
            if pid in alive:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)
        self._frozen.clear()
        for one in probe.living(self._witness):
            one.pause(paused=False)
        spoiled, self._spoiled = self._spoiled, []
        for link in spoiled:
            link.misbehave()
            await self._come_to_light(link)

    async def _come_to_light(self, link: bridge.BridgeLink) -> None:
        """Wait, a bounded time, until the worker has answered, or the pool has ended it.

        A frame that was lost is missed when the next one comes, and not before. And of a stream that a changed length
        has brought out of step nothing comes any more: that is for the pool's heartbeats to see, which leave a worker
        alone that is checked out.
        """
        for _ in range(PINGS):
            if link.number in {number for number, _ in self.lent()}:
                link.kill()
            with contextlib.suppress(HealthCheckFailedError):
                await link.ping(JOB_SECONDS)
                return
            if link.ended:
                return

    async def checkout(self) -> "Held | None":
        """Check a worker out in a task of its own, which holds it until it is told to give it back."""
        held = Held(asyncio.get_running_loop().create_future(), asyncio.Event())
        held.task = asyncio.create_task(self._hold(held))
        if await held.granted is None:
            await held.task
            return None
        self._held.append(held)
        return held

    async def _hold(self, held: "Held") -> None:
        try:
            async with self._stack.checkout(deadline=CHECKOUT_SECONDS) as lease:
                held.granted.set_result(lease)
                await held.over.wait()
        except PoolError:
            held.granted.set_result(None)

    def lent(self) -> list[tuple[int, int]]:
        """Return the workers that are held and live."""
        living = {(slot.number, slot.worker.epoch) for slot in self._stack.pool.slots()}
        leases = [lease for held in self._held if (lease := held.granted.result()) is not None]
        return [who for lease in leases if (who := (lease.number, lease.epoch)) in living]

    async def checkin(self, lease: "Held") -> None:
        """Have the holder give it back, and wait until it has."""
        self._held.remove(lease)
        lease.over.set()
        assert lease.task is not None
        await lease.task

    async def resize(self, size: int) -> None:
        """Resize the pool; one whose workers stand still takes until their deadline."""
        await self._stack.pool.resize(size)

    async def spoil(self, worker: int, how: str) -> None:
        """Spoil the next frame from that worker."""
        link = self._stack.pool.slots()[worker].link
        assert isinstance(link, bridge.BridgeLink)
        self._spoiled.append(link)
        link.misbehave(_TRICKS[how])

    async def advance(self, seconds: float) -> None:
        """Let virtual time pass."""
        await simulation.advance(seconds)

    async def close(self) -> bool:
        """Stop the stack, if it was started, and drop what the probes have said."""
        if self._running is None:
            return True
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._stack.stop()
        except TimeoutError:
            return False
        finally:
            self.outcomes()  # an error that nobody looked at would be told by the loop
            self._forget()
        return True


def _outcome(number: int, job: Job) -> Outcome:
    if job.cancelled():
        return Outcome("cancelled", text="cancelled")
    if (error := job.exception()) is not None:
        happened = getattr(error, "may_have_happened", True)
        with contextlib.suppress(Exception):
            return Outcome("error", text=f"{type(error).__name__}: {error}", happened=happened)
        return Outcome("error", text=type(error).__name__, happened=happened)
    value: Any = job.result()
    return Outcome("ok", right=value == probe.answer(number), text=repr(value))
