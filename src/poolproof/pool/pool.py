"""The pool: jobs in, answers out, whatever happens to the workers.

Long because every way in and out of a pool is here, with the reactions that bind them.
"""

import asyncio
import inspect
import time
from collections.abc import Callable, Hashable, Sequence
from random import Random
from types import TracebackType
from typing import Any, Final, Self

from poolproof.errors import (
    CheckoutTimeoutError,
    CircuitOpenError,
    DeadlineExceededError,
    PoolClosedError,
    PoolError,
    PoolExhaustedError,
    QuarantinedError,
    SessionLostError,
)
from poolproof.ledger import BREAKER, HELD, JOB, NOTE, OK, SESSION, WORKER, Ledger
from poolproof.ledger import CHECKOUT as CHECKOUT_OP
from poolproof.pool import balancing
from poolproof.pool.affinity import Affinity
from poolproof.pool.bulk import Bulk
from poolproof.pool.circuit_breaker import REFUSED, CircuitBreaker, counts_as_failure
from poolproof.pool.crew import Crew
from poolproof.pool.dispatch import Clock, Dispatch
from poolproof.pool.failures import died, error_of
from poolproof.pool.job import CHECKOUT, Job
from poolproof.pool.lease import Checkout, Lease
from poolproof.pool.quarantine import Quarantine
from poolproof.pool.retrying import Decision, Delays, decide
from poolproof.pool.settings import NS, PoolSettings
from poolproof.pool.slot import Slot
from poolproof.pool.worker import Worker
from poolproof.simulation import SimulationLoop
from poolproof.transport.base import Command, End, Transport, WireError, WorkerSpec
from poolproof.transport.protocol import GOOD_BYTES, MOST_ITEMS

_SERVING: Final = frozenset({"ready", "busy"})
# A list of values is a little longer than its last; where that is much, there are no lists.
_LEAST_BYTES: Final = 8 * GOOD_BYTES


def clock_of(loop: asyncio.AbstractEventLoop) -> Clock:
    """Return the loop's clock in nanoseconds: virtual on a loop in virtual time."""
    if isinstance(loop, SimulationLoop):
        return lambda: loop.now_ns
    return time.monotonic_ns


class Pool:
    """A pool of workers on one layer; made by `start_pool`, or entered by `async with`.

    Example:
        >>> async with Pool(WorkerSpec(target=Squares), MockTransport()) as pool:
        ...     await pool.submit(3, deadline=1.0)
        9

    Args:
        spec: how a worker is made.
        transport: the layer, for this pool alone.
        settings: sizes, bounds and patience.
        ledger: where its history goes.
        breaker: asked before each job and told of each outcome; none if not given.
        seed: of all its chance.
    """

    def __init__(
        self,
        spec: WorkerSpec,
        transport: Transport,
        settings: PoolSettings | None = None,
        *,
        ledger: Ledger | None = None,
        breaker: CircuitBreaker | None = None,
        seed: int = 0,
    ) -> None:
        self.settings = settings or PoolSettings()
        self.layer = transport.layer
        self.ledger = ledger or Ledger()
        self.clock = clock_of(asyncio.get_running_loop())
        self._loop = asyncio.get_running_loop()
        self._rng = Random(seed)  # noqa: S311 - chance, not secrecy
        self.affinity = Affinity(
            self.settings.affinity,
            ttl_ns=int(self.settings.session_ttl * NS),
            limit=self.settings.most_sessions,
        )
        self._dispatch = Dispatch(
            self.settings,
            clock=self.clock,
            ledger=self.ledger,
            strategy=balancing.make(self.settings.balancing, self._rng),
            affinity=self.affinity,
            reactions=self,
        )
        self._crew = Crew(self.settings, transport, spec, self._dispatch, clock=self.clock)
        self._delays = Delays(base_ns=int(self.settings.retry_base * NS))
        self._quarantine = Quarantine(deaths=self.settings.most_deaths)
        self._breaker = breaker
        self._closed: asyncio.Future[None] | None = None
        self._submit = self._dispatch.submit
        self._list_size = 1
        self._in_lists = spec.most_payload_bytes >= _LEAST_BYTES and not isinstance(
            spec.target, Command
        )
        self._release = self._hold_history()

    def _hold_history(self) -> Callable[[], None]:
        """In virtual time, let the history wait: the loop stops before its process ends or anybody reads."""
        if not isinstance(self._loop, SimulationLoop):
            return _nothing
        ledger, leave = self.ledger, self._loop.when_at_rest(self.ledger.flush)
        ledger.hold = HELD

        def release() -> None:
            ledger.hold = 0
            leave()

        return release

    # Life.

    async def open(self) -> Self:
        """Start the workers.

        Raises:
            StartFailedError: they did not start; nothing is left of them.
        """
        try:
            await self._crew.open()
            self._crew.do(self._sweep())
        except GeneratorExit:
            self.kill()
            raise
        except BaseException:
            await self.close(drain=False)
            raise
        return self

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(self.settings.session_sweep)
            self.affinity.sweep(self.clock())

    async def close(self, *, drain: bool = True) -> None:
        """Let nobody in, wait for those who are in (each has a deadline), and end every worker.

        Args:
            drain: False fails at once what is not done yet, as something that may have happened.
        """
        if self._closed is not None:
            await asyncio.shield(self._closed)
            return
        self._closed = self._loop.create_future()
        self._dispatch.refusal = _closed
        try:
            if drain and (left := self._dispatch.outstanding()):
                await asyncio.wait(left)
        finally:
            try:
                await self._end()
            finally:
                self._closed.set_result(None)

    async def _end(self) -> None:
        self._abandon()
        await self._crew.close()
        self._dispatch.close()
        self._release()

    def _abandon(self) -> None:
        for job in self._dispatch.outstanding():
            error = _closed()
            error.may_have_happened = job.request > 0
            self._dispatch.forget(job)
            self._dispatch.fail(job, error)

    def kill(self) -> None:
        """End at once: every job fails, every worker is killed, nothing is waited for."""
        self._dispatch.refusal = _closed
        self._abandon()
        self._crew.kill()
        self._dispatch.close()
        self._release()

    async def __aenter__(self) -> Self:
        return await self.open()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close(drain=kind is None)

    # Jobs.

    def submit(
        self,
        request: Any,
        *,
        deadline: float | None = None,
        session: str | None = None,
        idempotent: bool = False,
        key: Hashable | None = None,
    ) -> Job:
        """Hand a request to a worker; return the future of its answer, to await or to cancel.

        Args:
            request: what the worker's `handle` gets: anything that msgpack carries.
            deadline: seconds until it is over in any case; the setting `timeout` if not given.
            session: requests of one session go to one worker (see the setting `affinity`).
            idempotent: it may be run again although it may have happened.
            key: what the job is quarantined by if it ends its workers; by default only itself is.

        Returns:
            A future. Of the errors that it may raise, each says by `may_have_happened` whether the
            job may have been done; what the worker's own code raised is a `RemoteError`.
        """
        if key is None and self._breaker is None:
            return self._submit(request, deadline, session, idempotent)
        if key is not None and key in self._quarantine:
            return self._dispatch.refused(request, _quarantined(key, self.settings.most_deaths))
        job = self._admitted(request, deadline, session, idempotent)
        if key is not None:
            job.key = key
            job.add_done_callback(self._cleared)
        return job

    def _admitted(
        self,
        request: Any,
        deadline: float | None = None,
        session: str | None = None,
        idempotent: bool = False,  # noqa: FBT001, FBT002 - as `Dispatch.submit`
    ) -> Job:
        """Submit what the circuit breaker admits, and tell it how that ends."""
        if self._breaker is None:
            return self._submit(request, deadline, session, idempotent)
        permit = self._breaker.admit(self.clock())
        if permit == REFUSED:
            return self._dispatch.refused(request, _circuit_open(self._breaker, self.clock()))
        job = self._submit(request, deadline, session, idempotent)
        job.add_done_callback(lambda job: self._told(permit, job))
        return job

    def _cleared(self, job: "asyncio.Future[Any]") -> None:
        """Suspect a job no more that was answered, so that its worker lives."""
        assert isinstance(job, Job)
        if not job.cancelled() and job.exception() is None:
            self._quarantine.survived(job.key)

    def _told(self, permit: int, job: "asyncio.Future[Any]") -> None:
        """Tell the breaker how a job ended."""
        breaker, now = self._breaker, self.clock()
        assert breaker is not None
        changes = breaker.changes
        error = None if job.cancelled() else job.exception()
        if job.cancelled() or (error is not None and not counts_as_failure(error)):
            breaker.released(permit)
        elif error is None:
            breaker.succeeded(permit, now)
        else:
            breaker.failed(permit, now)
        if breaker.changes != changes:
            change = breaker.history()[0]
            data = {"what": change.target, "from": change.origin, "reason": change.reason}
            self.ledger.note((now, NOTE, BREAKER, None, data))
            self._dispatch.soon()

    async def map(self, requests: Sequence[Any], *, deadline: float | None = None) -> list[Any]:
        """Submit all requests and return their answers in order; the first error is raised.

        Without a circuit breaker, which would have to be asked for each, they travel in lists: see
        `bulk`. Each must be done by the deadline, and none is begun twice.
        """
        if self._breaker is None and self._in_lists:
            bulk = Bulk(
                self._dispatch,
                requests,
                deadline=self.settings.timeout if deadline is None else deadline,
                workers=self._crew.size + self.settings.overflow,
                longest=min(self.settings.most_ahead, MOST_ITEMS),
                first=self._list_size,
            )
            try:
                return await bulk.answers()
            finally:
                self._list_size = bulk.size
        jobs = [self._admitted(request, deadline) for request in requests]
        try:
            return [await job for job in jobs]
        finally:
            for job in jobs:
                if job.done() and not job.cancelled():
                    job.exception()  # whoever comes after the first is not asked for
                job.cancel()

    def checkout(self, *, deadline: float | None = None) -> Checkout:
        """Have a worker alone: `async with` the result, or await it and check it in yourself.

        Raises:
            CheckoutTimeoutError: on waiting, if none was free within `deadline` seconds.
        """
        return Checkout(self._admitted(CHECKOUT, deadline))

    async def transaction(
        self, function: Callable[[Lease], Any], *, deadline: float | None = None
    ) -> Any:
        """Call `function` with a worker that is its own for as long; await what it returns if need be."""
        async with self.checkout(deadline=deadline) as lease:
            result = function(lease)
            return await result if inspect.isawaitable(result) else result

    # Workers.

    async def resize(self, size: int) -> None:
        """Start or retire workers until there are `size`; no job is lost."""
        assert size > 0
        await self._crew.resize(size)

    async def replace_all(self) -> None:
        """Replace all workers by new ones, one after the other, while they serve."""
        await self._crew.replace_all()

    def workers(self) -> list[Worker]:
        """Return the state machines of the workers that are given jobs, by number."""
        return [slot.worker for _, slot in sorted(self._dispatch.slots.items())]

    def slots(self) -> list[Slot]:
        """Return the workers that are given jobs, with their links."""
        return [slot for _, slot in sorted(self._dispatch.slots.items())]

    @property
    def ready_workers(self) -> int:
        """How many workers are up and well."""
        return sum(worker.health == "healthy" for worker in self.workers())

    @property
    def closing(self) -> bool:
        """Whether it lets nobody in any more."""
        return self._closed is not None

    @property
    def waiting(self) -> int:
        """How many jobs no worker has yet."""
        return len(self._dispatch.waiting())

    @property
    def queue_depth(self) -> int:
        """How many jobs stand in the line: any worker would do, and none has room."""
        return len(self._dispatch.line)

    @property
    def restarts(self) -> int:
        """How many workers were started in the place of one that had ended."""
        return self._crew.restarts

    # What happens beside the plain way of a job (`Reactions`).

    def on_lend(self, slot: Slot, job: Job) -> None:
        """Give a worker that holds nothing to a checkout."""
        lease, now = Lease(self._dispatch, slot), self.clock()
        slot.lend(lease, now)
        self.ledger.note((now, OK, CHECKOUT_OP, job.number, slot.number))
        job.set_result(lease)

    def on_error(self, job: Job, slot: Slot, error: WireError) -> None:
        """Give a worker's error to its own caller."""
        self._fail(job, slot, error_of(error))

    def on_death(self, slot: Slot, end: End) -> None:
        """Settle what a dead worker held, and have it replaced."""
        held, slot.jobs = slot.jobs, {}
        leased, slot.lease = slot.lease is not None, None
        begun = frozenset(end.begun)
        self._crew.died(slot, end, unanswered=len(held))
        now = self.clock()
        for request, job in reversed(held.items()):
            if job.session is not None:
                self.affinity.done(job.session, job.binding, now)
            if not job.done():
                self._settle(job, slot, end, begun=request in begun, leased=leased)

    def _settle(self, job: Job, slot: Slot, end: End, *, begun: bool, leased: bool) -> None:
        if not begun and not leased and job.resent < self.settings.resends:
            # Nothing was tried, so this is no retry.
            job.resent += 1
            self._dispatch.again(job)
            return
        error: PoolError = died(slot, end, begun=begun)
        key = ("job", job.number) if job.key is None else job.key
        if begun and self._quarantine.died(key):
            error = _quarantined(key, self.settings.most_deaths)
        self._fail(job, slot, error, retry=not leased)

    def _fail(self, job: Job, slot: Slot, error: PoolError, *, retry: bool = True) -> None:
        decision = decide(
            error,
            job.tries,
            now_ns=self.clock(),
            deadline_ns=job.deadline_ns,
            rng=self._rng,
            idempotent=job.idempotent,
            all_workers=not any(worker.state in _SERVING for worker in self.workers()),
            delays=self._delays,
        )
        error = error.at(
            attempt=job.attempt,
            severity=decision.severity,
            layer=self.layer,
            worker=slot.number,
            epoch=slot.worker.epoch,
            session=job.session,
        )
        room = self._dispatch.waiting_count() < self.settings.most_waiting
        if retry and decision.verdict == "retry" and room and not self.closing:
            self._retry(job, error, decision)
        else:
            self._dispatch.fail(job, error, slot.number)

    def _retry(self, job: Job, error: PoolError, decision: Decision) -> None:
        assert error.context is not None
        data = {"what": "retry", "delay_ns": decision.delay_ns, **error.context.data()}
        kind = type(error).__name__
        self.ledger.note((self.clock(), NOTE, JOB, job.number, data, kind, str(error)[:500]))
        job.tries = decision.tries
        job.attempt += 1
        self._dispatch.rest(job, decision.delay_ns)

    def on_expired(self, jobs: Sequence[Job], now_ns: int) -> None:
        """Tell callers that their time is over; a worker that is stuck on such a job is ended."""
        for job in jobs:
            slot, request = job.slot, job.request
            self._dispatch.forget(job)
            if slot is None or not request:
                self._dispatch.fail(job, _never_sent(job, now_ns))
                continue
            begun = request <= slot.link.started()
            error = DeadlineExceededError(
                f"expected job {job.number} to be done by its deadline, "
                f"got no answer from worker {slot.number}",
                may_have_happened=begun,
            )
            self._fail(job, slot, error, retry=False)
            self._loop.call_later(self.settings.grace, self._end_if_stuck, slot, request)

    def _end_if_stuck(self, slot: Slot, request: int) -> None:
        if next(iter(slot.jobs), None) == request and slot.worker.state != "terminated":
            self._end_stuck(slot, "past its deadline")

    def _end_stuck(self, slot: Slot, why: str) -> None:
        data = {"what": "stuck", "why": why, "request": next(iter(slot.jobs), 0)}
        self.ledger.note((self.clock(), NOTE, WORKER, slot.number, data))
        slot.worker.terminate("timeout", self.clock())
        slot.link.kill()

    def on_unbegun(self, slot: Slot) -> None:
        """End a worker that does nothing with what it was sent; that goes to another one."""
        self._end_stuck(slot, "not begun")

    def on_shed(self, job: Job) -> None:
        """Refuse who finds no room in the line."""
        most = self.settings.most_waiting
        text = (
            f"expected at most {most} waiting jobs, got one more; submit less, or have more workers"
        )
        self._dispatch.fail(job, PoolExhaustedError(text))

    def on_session_refused(self, job: Job, answer: str) -> None:
        """Refuse a job whose strict session has no worker."""
        session = job.session
        if answer == "full":
            most = self.settings.most_sessions
            text = f"expected at most {most} strict sessions, got one more ({session!r})"
            self._dispatch.fail(job, PoolExhaustedError(text))
            return
        text = (
            f"expected the worker of session {session!r} to be there, but it has ended, and the "
            "session's state with it; its next request begins anew on another worker"
        )
        self.ledger.note((self.clock(), NOTE, SESSION, None, {"what": "lost", "session": session}))
        self._dispatch.fail(job, SessionLostError(text))

    def on_shortage(self, waiting: int) -> None:
        """Start the workers that may be started for those who wait."""
        self._crew.shortage(waiting)

    def on_worn(self, slot: Slot) -> None:
        """Recycle a worker, if it has done its jobs."""
        self._crew.wear(slot)


def _nothing() -> None:
    """Release nothing: on a real loop the history does not wait."""


def _closed() -> PoolClosedError:
    return PoolClosedError("expected an open pool, got one that is closing or closed")


def _quarantined(key: Hashable, deaths: int) -> QuarantinedError:
    return QuarantinedError(
        f"expected job {key!r} to leave its workers alive, got {deaths} deaths under it; "
        "it is in quarantine and not tried again"
    )


def _circuit_open(breaker: CircuitBreaker, now_ns: int) -> CircuitOpenError:
    left = breaker.retry_after_ns(now_ns) / NS
    return CircuitOpenError(
        f"expected a closed circuit, got one that is {breaker.position.replace('_', ' ')} after "
        f"{breaker.failures} failures; try again in {left:.1f} s"
    )


def _never_sent(job: Job, now_ns: int) -> CheckoutTimeoutError:
    late = (now_ns - job.deadline_ns) / NS
    what = "a worker to be free" if job.is_checkout else f"job {job.number} to be sent"
    return CheckoutTimeoutError(
        f"expected {what} by its deadline, got none {late:.3f} s after it; "
        "all are busy: give it a longer deadline, or the pool more workers"
    )
