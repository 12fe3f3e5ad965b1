"""The full layer: workers are operating-system processes, forked from a warm zygote, and leave nothing behind."""

import asyncio
import signal
import socket
import sys
import uuid
from collections.abc import Callable
from typing import ClassVar, Final

from poolproof.errors import StartFailedError, UsageError
from poolproof.isolation import leases
from poolproof.isolation.containment import send_signal
from poolproof.transport import actor as acting
from poolproof.transport import describe, packing
from poolproof.transport.base import (
    Command,
    EndKind,
    Layer,
    Usage,
    WireError,
    WorkerEvents,
    WorkerSpec,
)
from poolproof.transport.keeping import Slab, Zygote
from poolproof.transport.link import farewell
from poolproof.transport.remote import RemoteLink
from poolproof.transport.starting import connected, start_failed, start_lost
from poolproof.transport.wire import Splice
from poolproof.watch import procfs

MOST_WORKERS: Final = 4096
CLOSE_SECONDS: Final = 0.25
LINGER_SECONDS: Final = 0.5
"""How long a process may take to end once its connection is closed."""
BURY_SECONDS: Final = 2.0
"""How long a zygote may take to tell the end of a worker that was killed, before it is killed itself."""

Note = Callable[[str, str], None]


class ProcessTransport:
    """Processes for one pool. Linux only.

    Args:
        spares: how many workers are kept ready beyond those that the pool has, so that a
            replacement need not be awaited; their `init` has run.
        splice: puts something between a worker and the pool, as `Proxy.splice` does.
        note: told (what, detail) of the zygote's life, and of spares that could not be started.
    """

    layer: ClassVar[Layer] = "full"

    def __init__(
        self, *, spares: int = 0, note: Note | None = None, splice: Splice | None = None
    ) -> None:
        self._splice = splice
        self._wanted_spares, self._note = spares, note or _unheard
        self._spares: list[tuple[WorkerSpec, ProcessLink]] = []
        self._links: set[ProcessLink] = set()
        self._late: set[str] = set()
        self._settled: set[str] = set()
        self._zygote: Zygote | None = None
        self._retired: list[Zygote] = []
        self._starting, self._preparing = asyncio.Lock(), asyncio.Lock()
        self._breeding: asyncio.Task[None] | None = None
        self._lease: leases.Lease | None = None
        self._slab: Slab | None = None

    async def open(self) -> None:
        """Start the zygote.

        Raises:
            StartFailedError: it cannot be started.
            UsageError: it is not Linux, which has pidfds and /proc.
        """
        if not sys.platform.startswith("linux"):
            raise UsageError(
                f"expected Linux for the layer full, got {sys.platform}; use mock or bridge_mock"
            )
        self._lease = leases.take(f"pool-{uuid.uuid4().hex[:12]}")
        self._slab = Slab(MOST_WORKERS)
        try:
            await self._living_zygote()
        except BaseException:
            await self.close()
            raise

    async def spawn(
        self, spec: WorkerSpec, number: int, epoch: int, events: WorkerEvents
    ) -> "ProcessLink":
        """Fork a worker, or take a spare; see `Transport.spawn`."""
        acting.check(spec)
        link = self._spare(spec)
        if link is None:
            link = await self._born(spec, number, epoch)
        else:
            link.assign(number, epoch)
        link.adopt(events)
        self._breed(spec)
        return link

    async def close(self) -> None:
        """End every worker, by force after a quarter of a second; then the zygote and its keeper."""
        if self._breeding is not None:
            self._breeding.cancel()
            await asyncio.gather(self._breeding, return_exceptions=True)
        await asyncio.gather(*(link.terminate(CLOSE_SECONDS) for link in list(self._links)))
        zygotes = [*self._retired, *filter(None, [self._zygote])]
        self._zygote, self._retired = None, []
        await asyncio.gather(*(zygote.close() for zygote in zygotes))
        if self._lease is not None:
            leases.end(self._lease)
            leases.release(self._lease)
            self._lease = None
        if self._slab is not None:
            self._slab.close()
            self._slab = None

    async def _living_zygote(self) -> Zygote:
        async with self._starting:
            if self._zygote is not None and self._zygote.deaf:
                await self._zygote.gone()
            if self._zygote is None:
                if self._lease is None or self._slab is None:
                    raise UsageError("expected an open transport, got a closed one; open it first")
                self._settled = set()
                zygote = Zygote(self._lease.run, self._slab, self._zygote_lost)
                self._zygote = zygote
                try:
                    await zygote.started()
                except BaseException:
                    await zygote.close()
                    raise
                self._note("zygote_started", f"keeper {zygote.pid}")
            return self._zygote

    def _zygote_lost(self, lost: Zygote, detail: str) -> None:
        """Note it; the next start of a worker starts another."""
        if self._zygote is lost:
            self._zygote = None
            self._note("zygote_lost", detail)
            if self._lease is not None:
                for line in leases.end(self._lease):
                    self._note("zygote_left", line)

    async def _zygote_for(self, spec: WorkerSpec) -> Zygote:
        """Return a zygote that has imported what the worker needs, unless that would give it threads.

        Raises:
            StartFailedError: the import raised.
        """
        zygote = await self._living_zygote()
        if isinstance(spec.target, Command):
            return zygote
        where = packing.home(spec)
        if where.module in self._settled:
            return zygote
        late = where.module in self._late
        done = await zygote.prepare(None if late else where)
        if done.problem is not None:
            raise start_failed(spec) from describe.remote(WireError(*done.problem))
        if done.threads == 1:
            self._settled.add(where.module)
            return zygote
        return await self._without(zygote, where.module, done.threads)

    async def _without(self, zygote: Zygote, module: str, threads: int) -> Zygote:
        """Return a zygote that has not imported `module`: a fork beside other threads may stop for ever."""
        self._late.add(module)
        self._retired.append(zygote)
        self._zygote = None
        self._note("imported_late", f"{module} starts {threads - 1} threads when it is imported")
        zygote = await self._living_zygote()
        await zygote.prepare(None)
        self._settled.add(module)
        return zygote

    async def _born(self, spec: WorkerSpec, number: int, epoch: int) -> "ProcessLink":
        packed = packing.packed(spec)
        async with self._preparing:
            zygote = await self._zygote_for(spec)
        slab = self._slab
        assert slab is not None
        place, mark = slab.take()
        try:
            ours, theirs = connected(spec, self._splice)
        except BaseException:
            slab.give_back(place)
            raise
        link = ProcessLink(ours, spec, number, epoch, mark=mark, zygote=zygote)
        self._links.add(link)
        link.when_ended(self._links.discard)
        link.when_ended(lambda _link: slab.give_back(place))
        argv = spec.target.argv if isinstance(spec.target, Command) else None
        try:
            with theirs:
                zygote.fork(link, theirs, place, argv)
            await link.greet(packed)
            await link.known()
            link.must_live()
        except BaseException:
            link.kill()
            raise
        return link

    def _spare(self, spec: WorkerSpec) -> "ProcessLink | None":
        fit = [pair for pair in self._spares if pair[0] is spec and pair[1].usable]
        if not fit:
            return None
        self._spares.remove(fit[0])
        return fit[0][1]

    def _breed(self, spec: WorkerSpec) -> None:
        """Make as many spares as are wanted, beside everything else."""
        if self._wanted_spares and (self._breeding is None or self._breeding.done()):
            self._breeding = asyncio.get_running_loop().create_task(self._make_spares(spec))

    async def _make_spares(self, spec: WorkerSpec) -> None:
        self._spares = [pair for pair in self._spares if pair[1].usable]
        missing = self._wanted_spares - sum(pair[0] is spec for pair in self._spares)
        for _ in range(missing):
            try:
                link = await self._born(spec, 0, 0)
            except (StartFailedError, UsageError, OSError) as error:
                self._note("spare_failed", str(error))
                return
            self._spares.append((spec, link))


class ProcessLink(RemoteLink):
    """A worker process, from outside."""

    def __init__(
        self,
        sock: socket.socket,
        spec: WorkerSpec,
        number: int,
        epoch: int,
        *,
        mark: memoryview,
        zygote: Zygote,
    ) -> None:
        super().__init__(sock, spec, number, epoch, mark)
        self._zygote = zygote
        self._who: procfs.Identity | None = None
        self._known = asyncio.Event()
        self._verdict: tuple[EndKind, str] | None = None
        self._doomed = False

    async def known(self) -> None:
        """Wait until the zygote has said which process it is, or that there is none."""
        await self._known.wait()

    def must_live(self) -> None:
        """Refuse to be the result of a start if its end was told while nobody had adopted it.

        Raises:
            StartFailedError: it has ended.
        """
        if self.ended:
            raise start_lost(self._spec, self._end.result().detail)

    @property
    def usable(self) -> bool:
        """Whether nothing is known of its end."""
        return not self._broken

    def forked(self, who: procfs.Identity) -> None:
        """Take which process it is; it is ended at once if that was wished before."""
        self._who, self.pid = who, who.pid
        self._known.set()
        if self._doomed:
            self._end_process()

    def buried(self, status: int | None, detail: str) -> None:
        """Take its end, once all it had said is read."""
        self.wire.drain()
        self._mark = list(self._mark)  # its place is given to another
        self._known.set()
        self._finish(*self._judged(status, detail), status)

    def _judged(self, status: int | None, detail: str) -> tuple[EndKind, str]:
        if self._verdict is not None:
            return self._verdict
        if status is None:
            return "lost", detail
        if status < 0:
            return "signalled", f"signal {signal.Signals(-status).name}"
        return "exited", f"exit status {status}"

    def usage(self) -> Usage | None:
        """See `WorkerLink.usage`."""
        if self._who is None or self.ended:
            return None
        found, rss_bytes = procfs.stat(self._who.pid), procfs.rss_bytes(self._who.pid)
        if found is None or rss_bytes is None or found.born != self._who.born:
            return None
        cpu_seconds = found.cpu_ticks / procfs.TICKS_PER_SECOND
        return Usage(rss_bytes=rss_bytes, cpu_seconds=cpu_seconds)

    def _process(self, pid: int) -> int | None:  # noqa: ARG002 - its parent knows better than itself
        return self.pid

    def _left(self, problem: str | None) -> None:
        self._verdict = ("terminated", farewell(problem))

    def _gone(self, kind: EndKind, detail: str) -> None:
        if kind == "lost":
            self._loop.call_later(LINGER_SECONDS, self._end_process)
            return
        if self._verdict is None:
            self._verdict = (kind, detail)
        self._end_process()

    def _end_process(self) -> None:
        """Kill exactly this process; what else it leaves is ended when it is buried."""
        if self.ended:
            return
        self._doomed = True
        if self._who is not None:
            send_signal(self._who, signal.SIGKILL)
        self._loop.call_later(BURY_SECONDS, self._unburied)

    def _unburied(self) -> None:
        """End the zygote if it has not told yet: it is stopped, or stuck, and all its workers with it."""
        if not self.ended:
            self._zygote.kill()


def _unheard(_what: str, _detail: str) -> None:
    """Take a note that nobody wants."""
