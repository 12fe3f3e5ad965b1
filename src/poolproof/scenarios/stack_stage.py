"""One of our own stacks under a scenario: `mock` and `bridge_mock` in virtual time or real, `full` on processes."""

import asyncio
import os
import random
from collections.abc import Mapping, Sequence
from typing import Any, Final

from poolproof import simulation
from poolproof.history import Packed
from poolproof.ledger import BIRTH, DEATH
from poolproof.pool.settings import NS
from poolproof.pool.slot import Slot
from poolproof.proxy import OURS, Proxy, Spoiling, Travel
from poolproof.scenarios import actor
from poolproof.scenarios.data import Body, Deed, Step
from poolproof.scenarios.facts import JobFacts, Role
from poolproof.scenarios.harms import Harms, chosen
from poolproof.scenarios.lies import stale
from poolproof.stack import ADAPTERS, Stack, build_test_env, start_stack
from poolproof.stack.environment import Adapter
from poolproof.transport.base import Layer, Transport, WorkerSpec
from poolproof.transport.bridge import BridgeTransport
from poolproof.transport.process import ProcessTransport

CLOSE_SECONDS: Final = 30.0
BODY_BYTES: Final[Mapping[str, int]] = {"leak": 4 << 20, "allocate": 40 << 20}
"""What a job wants of memory; more than 32 MiB is asked of the kernel each time (M_MMAP_THRESHOLD in mallopt(3))."""
LOOK_SECONDS: Final = 0.01
LOOKS: Final = 200
ANOTHER_AFTER: Final = 20
ENDED_AS: Final = 5
"""Where an event of the pool's history says how a worker ended."""
ANYWHERE: Final[frozenset[Deed]] = frozenset(
    {"kill", "pause", "slow", "starve", "replace", "resize"}
)
_MORE: Final[frozenset[Deed]] = frozenset({"partition", "delay", "corrupt", "lie", "disconnect"})
ON_WIRES: Final = ANYWHERE | _MORE
_WHAT: Final[Mapping[str, str]] = {
    "partition": "held",
    "delay": "delayed",
    "corrupt": "corrupt",
    "lie": "rewrite",
    "disconnect": "reset",
}


class StackStage:
    """A whole stack: supervisor, base, pool, actors, and where there are wires, a proxy on each.

    Args:
        layer: which.
        workers: how many.
        pace: how many seconds of the clock one of the scenario's is.
        seed: of the proxy.
        settings: of the pool.
    """

    ours = True

    def __init__(
        self, layer: Layer, workers: int, *, pace: float = 1.0, seed: int = 0, **settings: Any
    ) -> None:
        self.pace = pace
        self._layer: Layer = layer
        self._settings = {"size": workers, **settings}
        self._seed = seed
        self.offers: frozenset[Deed] = ANYWHERE if layer == "mock" else ON_WIRES
        self._jobs: dict[int, JobFacts] = {}
        self._futures: dict[int, asyncio.Future[Any]] = {}
        self._deaths = self._most_rss = 0
        self._workers = workers
        self._living: list[tuple[float, int]] = []
        self._born: list[float] = []
        self._starts: Mapping[int, int] | None = None
        self._watching: asyncio.Task[None] | None = None
        self._memory: int | None = None

    async def open(self) -> None:
        """Start the stack."""
        self._witness = simulation.token()
        if self._layer == "full":
            # No file: it is gone with this process, whatever ends that.
            self._memory = os.memfd_create("poolproof-scenario")
            self._witness = f"/proc/{os.getpid()}/fd/{self._memory}"
        self._loop = asyncio.get_running_loop()
        self.proxy = await Proxy(framing=OURS, seed=self._seed).__aenter__()
        arguments = (self._witness, actor.checksum_of(self._witness))
        spec = WorkerSpec(target=actor.Actor, args=arguments)
        env = build_test_env(
            spec,
            layer=self._layer,
            test="scenario",
            pool=self._settings,
            adapters={**ADAPTERS, self._layer: self._adapter()},
        )
        self._stack: Stack = await start_stack(env)
        self._harms = Harms(self._stack, self._witness)
        self._living.append((self.clock(), self._workers))
        self._unfollow = self._stack.pool.ledger.follow(self._read)
        self._watching = asyncio.create_task(self._watch()) if self._layer == "full" else None

    def _adapter(self) -> Adapter:
        def make() -> Transport:
            if self._layer == "bridge_mock":
                return BridgeTransport(splice=self.proxy.splice)
            return ProcessTransport(splice=self.proxy.splice)

        return ADAPTERS["mock"] if self._layer == "mock" else make

    def _read(self, events: Sequence[Packed]) -> None:
        """Learn of births and deaths from the pool's own history."""
        for event in events:
            if event[1] in (BIRTH, DEATH):
                at, last = event[0] / NS, self._living[-1][1]
                if event[1] == BIRTH:
                    self._born.append(at)
                self._deaths += event[1] == DEATH and event[ENDED_AS] != "terminated"
                self._living.append((at, last + (1 if event[1] == BIRTH else -1)))

    def clock(self) -> float:
        """Return the loop's time."""
        return self._loop.time()

    async def sleep(self, seconds: float) -> None:
        """Let time pass on the loop."""
        await asyncio.sleep(seconds * self.pace)

    def submit(
        self,
        role: Role,
        *,
        body: Body = "echo",
        work: float = 0.0,
        deadline: float = 10.0,
        key: str = "",
        checked: bool = False,
    ) -> JobFacts:
        """Submit one job, and follow its future."""
        number = len(self._jobs) + 1
        content: list[Any] = [number, body, work * self.pace, BODY_BYTES.get(body, 0)]
        request = [*content, actor.checksum_of(content)]
        facts = JobFacts(number=number, role=role, asked=self.clock())
        future = self._stack.submit(
            request, deadline=deadline * self._patience(role), key=key or None
        )
        future.add_done_callback(lambda done: self._note(facts, done, checked=checked))
        self._jobs[number], self._futures[number] = facts, future
        return facts

    def _patience(self, role: Role) -> float:
        """Return how a deadline is scaled: where an error is wanted, with all else; a slow machine is no harm."""
        return self.pace if role == "expected" else 1.0

    def _note(self, facts: JobFacts, done: "asyncio.Future[Any]", *, checked: bool) -> None:
        facts.ended = self.clock()
        error = None if done.cancelled() else done.exception()
        if done.cancelled() or error is not None:
            facts.error = "CancelledError" if error is None else type(error).__name__
            facts.message = str(error)
            facts.happened = getattr(error, "may_have_happened", True)
            return
        value = done.result()
        right = [actor.answer(facts.number), actor.checksum_of(actor.answer(facts.number))]
        facts.right = value == right
        facts.ok = facts.right or not checked
        if not facts.ok:
            facts.error, facts.message = "Corrupted", f"found by the caller's checksum: {value!r}"

    async def settled(self, jobs: Sequence[JobFacts], seconds: float) -> bool:
        """Wait for the futures."""
        open_ = [self._futures[job.number] for job in jobs if job.ended is None]
        if open_:
            _, late = await asyncio.wait(open_, timeout=seconds)
            return not late
        return True

    def starts(self) -> Mapping[int, int]:
        """Return what the actors have said."""
        return actor.starts(self._witness) if self._starts is None else self._starts

    def duplicated(self) -> Sequence[int]:
        """Return the jobs that were begun twice: our pool promises at most once."""
        return [number for number, times in self.starts().items() if times > 1]

    def live(self) -> int:
        """Return how many workers the pool says are well."""
        return self._stack.pool.ready_workers

    def deaths(self) -> int:
        """Return how many ends the pool's history has."""
        self._stack.pool.ledger.flush()
        return self._deaths

    def living(self) -> Sequence[tuple[float, int]]:
        """Return what the pool's history tells."""
        return self._living

    def born(self) -> Sequence[float]:
        """Return what the pool's history tells."""
        return self._born

    def most_rss_bytes(self) -> int | None:
        """Return the most that was seen, by the kernel."""
        return self._most_rss or None

    async def do(self, step: Step, rng: random.Random) -> None:
        """Do one deed."""
        slots = chosen(self._stack.pool.slots(), step, rng)
        if step.do in _WHAT:
            await self._on_wires(step, rng)
        elif step.do == "replace":
            await self._stack.pool.replace_all()
        elif step.do == "resize":
            await self._stack.pool.resize(step.count)
        else:
            await self._harm(step, slots, rng)

    async def _harm(self, step: Step, slots: Sequence[Slot], rng: random.Random) -> None:
        """Harm workers; actors until a job has met it, now and then another one: who was chosen may be cut off."""
        before = self._harms.met(step.do)
        await self._harms.do(step, slots, self.pace, rng)
        if self._layer == "full" or step.do == "kill":
            return
        for look in range(1, LOOKS):
            if self._harms.met(step.do) > before:
                return
            await self.sleep(0.05)
            if look % ANOTHER_AFTER == 0:
                await self._harms.do(step, slots, self.pace, rng)

    async def _on_wires(self, step: Step, rng: random.Random) -> None:
        proxy = self.proxy
        if step.do == "partition":
            # Each connection is one worker's.
            proxy.hold(only=[one.number for one in chosen(proxy.connections, step, rng)])
        elif step.do == "delay":
            least, most = step.seconds * self.pace, step.most * self.pace
            proxy.shape(Travel(latency=least, jitter=most - least))
        elif step.do == "corrupt":
            proxy.spoil(Spoiling(corrupt=step.share))
            await self._effective("corrupt")
        elif step.do == "lie":
            proxy.spoil(Spoiling(rewrite=step.share, instead=stale), "replies")
            await self._effective("rewrite")
        else:
            proxy.refuse()
            proxy.reset()
            await self.sleep(step.most)
            await proxy.heal()

    async def _effective(self, what: str) -> None:
        """Wait, a bounded time, until something that is drawn has happened once: else it might never."""
        before = self.proxy.receipts.times(what)
        for _ in range(LOOKS):
            if self.proxy.receipts.times(what) > before:
                return
            await self.sleep(0.05)

    async def _watch(self) -> None:
        """Look at what memory the workers have, as long as there are any that have their own."""
        while True:
            usages = [slot.link.usage() for slot in self._stack.pool.slots()]
            for usage in filter(None, usages):
                self._most_rss = max(self._most_rss, usage.rss_bytes)
            await asyncio.sleep(LOOK_SECONDS)

    def receipt(self, deed: str) -> str | None:
        """Return what the pool's history, the kernel, the actors or the proxy's pipes say."""
        if (what := _WHAT.get(deed)) is not None:
            return self.proxy.receipts.evidence(what)
        self._stack.pool.ledger.flush()
        if deed in ("kill", "submit die"):
            ended = f"the pool's history tells the end of {self._deaths} workers"
            return ended if self._deaths else None
        if deed == "submit leak":
            return f"a worker had {self._most_rss} bytes" if self._most_rss else None
        if deed in ("replace", "resize"):
            begun = f"the pool's history tells the start of {len(self._born)} more workers"
            return begun if self._born else None
        return self._harms.receipt(deed)

    async def heal(self) -> None:
        """Undo everything."""
        await self.proxy.heal()
        self._harms.heal()

    async def healed(self) -> str | None:
        """Return what proxy and kernel say."""
        told = [await self.proxy.healed(), self._harms.healed()]
        return "; ".join(filter(None, told)) if None not in told else None

    async def close(self) -> bool:
        """Stop the stack and everything around it."""
        if self._watching is not None:
            self._watching.cancel()
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._stack.stop()
        except TimeoutError:
            return False
        finally:
            self._unfollow()
            await self.proxy.__aexit__(None, None, None)
            self._starts = self.starts()
            actor.forget(self._witness)
            if self._memory is not None:
                os.close(self._memory)
        return True
