"""The hot path: from a submitted job to a worker, from a worker's answer to its caller.

Long because a job's way through it is one, and each call on that way costs.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from poolproof.errors import PoolError
from poolproof.ledger import CHECKOUT as CHECKOUT_OP
from poolproof.ledger import FAIL, INFO, INVOKE, INVOKES, JOB, NOTE, OKS, WORKER, Ledger
from poolproof.pool.affinity import Affinity
from poolproof.pool.balancing import Strategy
from poolproof.pool.job import CHECKOUT, Job
from poolproof.pool.lookout import Lookout
from poolproof.pool.queueing import Line
from poolproof.pool.reactions import Reactions
from poolproof.pool.retrying import Tries
from poolproof.pool.settings import NS, PoolSettings
from poolproof.pool.slot import Slot
from poolproof.transport.base import End, Reply, WorkerLink

_NEVER: Final = 1 << 62
_UNTRIED: Final = Tries()
_MESSAGE_CHARACTERS: Final = 500
# Seconds until what a worker and we have written in shared memory is surely seen by the other.
_SETTLED: Final = 0.002
Clock = Callable[[], int]


class Dispatch:
    """Who gets which job, once a loop turn; and who gets which answer.

    What is submitted during a turn is sent at its end, each worker's share as one batch. What finds
    no room waits in one line, in the order of arrival; a job of a session whose worker is busy, and
    a checkout for which a worker is being emptied, wait at that worker and hold up nobody.
    """

    def __init__(
        self,
        settings: PoolSettings,
        *,
        clock: Clock,
        ledger: Ledger,
        strategy: Strategy,
        affinity: Affinity,
        reactions: Reactions,
    ) -> None:
        self._settings, self._clock, self._ledger = settings, clock, ledger
        self.clock = clock
        self._loop = asyncio.get_running_loop()
        self._strategy, self._affinity, self._reactions = strategy, affinity, reactions
        self.note = ledger.note
        self._timeout_ns = int(settings.timeout * NS)
        self._fewest_jobs = settings.recycling.fewest_jobs
        self.slots: dict[int, Slot] = {}
        self.leaving: list[Slot] = []
        self.line: Line[Job] = Line(settings.line, limit=settings.most_waiting)
        self.refusal: Callable[[], PoolError] | None = None
        self._by_link: dict[WorkerLink, Slot] = {}
        self._ended_early: dict[WorkerLink, End] = {}
        self._fresh: list[Job] = []
        self._resting: dict[Job, asyncio.TimerHandle] = {}
        # Nobody waits in the line; and whoever does, or comes, may be given to any worker.
        self._plain = self._alike = True
        self._scheduled = False
        self._numbers = self._noted = 0
        self._requests = 0
        self._alarm: asyncio.TimerHandle | None = None
        self._alarm_ns = _NEVER
        self._lookout = Lookout(
            settings, self._by_link.values, unbegun=reactions.on_unbegun, slow=self._stall
        )
        # What is answered for a job that was taken back from its worker: nobody waits for that.
        self._nobody = self._made(None, None, None, idempotent=False)
        self._nobody.set_result(None)
        self._numbers = 0

    # From the callers.

    def submit(
        self,
        payload: Any,
        deadline: float | None = None,
        session: str | None = None,
        idempotent: bool = False,  # noqa: FBT001, FBT002 - internal, and hot
    ) -> Job:
        """Take a job; it is sent at the end of this loop turn, if a worker has room."""
        job = self._made(payload, deadline, session, idempotent=idempotent)
        if session is not None or payload is CHECKOUT:
            self._plain = self._alike = False
        return self._taken(job)

    def _taken(self, job: Job) -> Job:
        if self.refusal is not None:
            self.fail(job, self.refusal())
            return job
        self._fresh.append(job)
        if not self._scheduled:
            self.soon()
        if job.deadline_ns < self._alarm_ns:
            self._set_alarm(job.deadline_ns)
        return job

    def submit_list(self, payloads: Sequence[Any], deadline: float, number: int | None) -> Job:
        """Take a list of payloads, to be done one after the other by one worker; see `bulk`.

        Args:
            payloads: at least one.
            deadline: seconds.
            number: of the first of them, if they have been numbered before.
        """
        job = self._made(payloads, deadline, None, idempotent=False)
        job.count = len(payloads)
        if number is None:
            self._numbers += len(payloads) - 1
        else:
            self._numbers, job.number = self._numbers - 1, number
        return self._taken(job)

    def call(self, slot: Slot, payload: Any, deadline: float | None) -> Job:
        """Send a request of the worker's holder."""
        job = self._made(payload, deadline, None, idempotent=False)
        self._requests += 1
        slot.send_leased((job,), self._requests)
        if job.deadline_ns < self._alarm_ns:
            self._set_alarm(job.deadline_ns)
        self.soon()
        return job

    def refused(self, payload: Any, error: PoolError) -> Job:
        """Return a job that failed before it was sent."""
        job = self._made(payload, None, None, idempotent=False)
        self.fail(job, error)
        return job

    def _made(
        self,
        payload: Any,
        deadline: float | None,
        session: str | None,
        *,
        idempotent: bool,
    ) -> Job:
        now = self._clock()
        job = Job(loop=self._loop)
        self._numbers = number = self._numbers + 1
        job.pool = self
        job.number = number
        job.payload = payload
        job.deadline_ns = now + (self._timeout_ns if deadline is None else int(deadline * NS))
        job.session = session
        job.idempotent = idempotent
        job.attempt = 1
        job.resent = job.request = job.count = 0
        job.tries = _UNTRIED
        job.slot = job.key = None
        job.since_ns = now
        if payload is CHECKOUT:
            self._note_checkout(number, now)
        return job

    def _note_checkout(self, number: int, now: int) -> None:
        self._numbers -= 1
        self._note_jobs()
        self._numbers = self._noted = number
        self.note((now, INVOKE, CHECKOUT_OP, number))

    def _note_jobs(self) -> None:
        """Note the jobs that were submitted since the last time: their numbers are consecutive."""
        new = self._numbers - self._noted
        if new > 0:
            self.note((self._clock(), INVOKES, JOB, self._noted + 1, new))
            self._noted = self._numbers

    def again(self, job: Job) -> None:
        """Take a job back that was sent before and is to be sent again: it is the first in line."""
        job.slot, job.request = None, 0
        self._plain = False
        if job.session is not None or job.is_checkout:
            self._alike = False
        self.line.give_back(job)
        self.soon()

    def rest(self, job: Job, delay_ns: int) -> None:
        """Take a job back that is to be tried again after a while."""
        job.slot, job.request = None, 0
        self._resting[job] = self._loop.call_later(delay_ns / NS, self._rested, job)

    def _rested(self, job: Job) -> None:
        self._resting.pop(job, None)
        if not job.done():
            self.again(job)

    def cancelled(self, job: Job) -> None:
        """Free what a job holds that its caller has given up."""
        self._note_jobs()
        now, op = self._clock(), op_of(job)
        for number in job.numbers:
            self.note((now, INFO, op, number, None, "CancelledError"))
        self.forget(job)
        self.soon()

    def forget(self, job: Job) -> None:
        """Take a job that is over out of wherever it waits; a worker that has it is told."""
        slot = job.slot
        if slot is None:
            self.line.leave(job)
            if (timer := self._resting.pop(job, None)) is not None:
                timer.cancel()
        elif job.request:
            slot.link.cancel(job.request)
        elif slot.wanted_by is job:
            slot.wanted_by = None
            slot.set_window(self._clock())
        else:
            slot.backlog.pop(job.number, None)

    def soon(self) -> None:
        """See to it that there is a turn."""
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._turn)

    # Once a turn.

    def _turn(self) -> None:
        self._scheduled = False
        fresh, self._fresh = self._fresh, []
        now = self._clock()
        if self._numbers > self._noted:
            self._note_jobs()
        if not self._plain:
            self._join(fresh, now)
            self._serve_line(now)
        elif len(fresh) == 1:
            self._place_alone(fresh, now)
        elif fresh:
            self._join(self._spread(fresh, now), now)
        if not self._plain and self.line:
            self._reactions.on_shortage(len(self.line))
        self._ledger.turned()

    def _join(self, jobs: Iterable[Job], now: int) -> None:
        """Have jobs wait in the line; while anybody does, no turn is plain."""
        for job in jobs:
            if job.done():
                continue
            self._plain = False
            if (shed := self.line.join(job, now)) is not None:
                self._reactions.on_shed(shed)

    def _spread(self, jobs: list[Job], now: int) -> list[Job]:
        """Send jobs that any worker may have; return those for which there was no room."""
        if any(job.done() for job in jobs):
            jobs = [job for job in jobs if not job.done()]
        if not jobs:
            return jobs
        sent = 0
        for worker, count in self._strategy.share(len(jobs)):
            batch = jobs[sent : sent + count]
            sent += count
            self._send(self.slots[worker.number], batch, now)
        return jobs[sent:]

    def _place_alone(self, jobs: list[Job], now: int) -> None:
        """Do the same with the only job of a turn."""
        if not jobs[0].done():
            worker = self._strategy.pick()
            if worker is None:
                self._join(jobs, now)
            else:
                self._send(self.slots[worker.number], jobs, now)

    def _send(self, slot: Slot, batch: Sequence[Job], now: int) -> None:
        first = self._requests + 1
        self._requests += len(batch)
        self._lookout.wake()
        slot.send(batch, first, now)

    def _serve_line(self, now: int) -> None:
        """Place those who wait, in order, until one cannot be placed."""
        line = self.line
        if self._alike:
            self._serve_alike(now)
            self._plain = not line
            return
        while (job := line.take(now)) is not None:
            if not job.done() and not self._place(job, now):
                line.give_back(job)
                return
        self._plain = self._alike = True

    def _serve_alike(self, now: int) -> None:
        """Send those who wait, where any worker will do for each: each worker's share as one batch."""
        for worker, count in self._strategy.share(len(self.line)):
            taken = (self.line.take(now) for _ in range(count))
            batch = [job for job in taken if job is not None and not job.done()]
            if batch:
                self._send(self.slots[worker.number], batch, now)

    def _place(self, job: Job, now: int) -> bool:
        """Send a job, or have it wait at a worker; False if it must wait in the line."""
        if job.is_checkout:
            return self._place_checkout(job, now)
        if job.session is not None:
            return self._place_in_session(job, job.session, now)
        worker = self._strategy.pick()
        if worker is None:
            return False
        self._send(self.slots[worker.number], (job,), now)
        return True

    def _place_in_session(self, job: Job, session: str, now: int) -> bool:
        answer, bound = self._affinity.place(session, now)
        if answer in {"lost", "full"}:
            self._reactions.on_session_refused(job, answer)
            return True
        worker = bound if answer == "bound" else None
        if answer == "wait":
            assert bound is not None
            self._wait_for(self.slots[bound.number], job)
            return True
        worker = worker or self._strategy.pick(session)
        if worker is None:
            return False
        self._send_bound(self.slots[worker.number], job, now)
        return True

    def _send_bound(self, slot: Slot, job: Job, now: int) -> None:
        """Send one job, and note whose session it is."""
        if job.session is not None:
            job.binding = self._affinity.use(job.session, slot.worker, now)
        self._send(slot, (job,), now)

    def _wait_for(self, slot: Slot, job: Job) -> None:
        if self.waiting_count() >= self._settings.most_waiting:
            self._reactions.on_shed(job)
            return
        job.slot = slot
        slot.backlog[job.number] = job

    def _place_checkout(self, job: Job, now: int) -> bool:
        free = [slot for slot in self.slots.values() if slot.lease is None and not slot.wanted_by]
        if idle := [slot for slot in free if slot.idle]:
            choose = max if self._settings.order == "lifo" else min
            self._reactions.on_lend(choose(idle, key=lambda slot: slot.idle_since_ns), job)
            return True
        if not (working := [slot for slot in free if slot.worker.state in {"ready", "busy"}]):
            return False
        # Nobody new is sent to it, so that it is empty once, however many jobs come in.
        slot = min(working, key=lambda slot: len(slot.jobs))
        slot.wanted_by, job.slot = job, slot
        slot.set_window(now)
        return True

    # From the workers.

    def attach(self, slot: Slot) -> End | None:
        """Give jobs to a worker from now on; return its end, if it has ended already."""
        if (end := self._ended_early.pop(slot.link, None)) is not None:
            return end
        self._by_link[slot.link] = slot
        self.slots[slot.number] = slot
        self._members_changed()
        return None

    def detach(self, slot: Slot) -> None:
        """Give no more jobs to a worker; those that wait for it wait in the line again."""
        if self.slots.get(slot.number) is slot:
            del self.slots[slot.number]
            self.leaving.append(slot)
            self._members_changed()
        for job in (*slot.backlog.values(), *([slot.wanted_by] if slot.wanted_by else ())):
            self.again(job)
        slot.backlog.clear()
        slot.wanted_by = None

    def _members_changed(self) -> None:
        ordered = [self.slots[number].worker for number in sorted(self.slots)]
        self._strategy.set_members(ordered)
        self.soon()

    def replied(self, link: WorkerLink, replies: Sequence[Reply]) -> None:
        """Hand a batch of answers to their callers."""
        slot = self._by_link[link]
        now, jobs = self._clock(), slot.jobs
        answered: list[int] = []
        recalled: list[Job] = []
        took: list[int] = []
        for request, ok, value in replies:
            job = jobs.pop(request)
            if job.session is not None:
                self._affinity.done(job.session, job.binding, now)
            if job.done():
                continue
            if ok:
                job.set_result(value)
                answered.append(job.number)
                took.append(now - job.since_ns)
                if job.count > 1:
                    answered += job.numbers[1 : len(value)]
                    took += [took[-1]] * (len(value) - 1)
            elif value.kind == "cancelled" and not value.may_have_happened:
                # Its caller has not cancelled it: the worker answers so what was recalled.
                recalled.append(job)
            else:
                self._reactions.on_error(job, slot, value)
        for job in reversed(recalled):
            self.again(job)
        if answered:
            self.note((now, OKS, JOB, slot.number, answered, took))
        slot.answered(len(replies), now)
        if slot.backlog or slot.wanted_by is not None or slot.emptied is not None:
            self._serve_slot(slot, now)
        self._wear(slot)
        self.soon()

    def _wear(self, slot: Slot) -> None:
        if slot.worker.jobs >= self._fewest_jobs:
            self._reactions.on_worn(slot)

    def checkin(self, slot: Slot) -> None:
        """Take back a worker that was checked out."""
        now = self._clock()
        self.note((now, INFO, CHECKOUT_OP, None, slot.number, None, "checkin"))
        slot.checkin(now)
        self._serve_slot(slot, now)
        self.soon()

    def restored(self, slot: Slot) -> None:
        """Give a worker that is well again what has waited for it."""
        self._serve_slot(slot, self._clock())
        self.soon()

    def _serve_slot(self, slot: Slot, now: int) -> None:
        if slot.emptied is not None and slot.empty:
            emptied, slot.emptied = slot.emptied, None
            emptied()
        if (wanted := slot.wanted_by) is not None and not slot.jobs:
            slot.wanted_by = wanted.slot = None
            self._reactions.on_lend(slot, wanted)
        while slot.backlog and slot.worker.accepting:
            _, job = slot.backlog.popitem(last=False)
            self._send_bound(slot, job, now)

    def ended(self, link: WorkerLink, end: End) -> None:
        """Take the end of a worker, expected or not."""
        slot = self._by_link.pop(link, None)
        if slot is None:
            self._ended_early[link] = end
            return
        self.detach(slot)
        self.leaving.remove(slot)
        self._reactions.on_death(slot, end)
        if slot.emptied is not None:
            emptied, slot.emptied = slot.emptied, None
            emptied()
        self.soon()

    def noted(self, link: WorkerLink, what: str, detail: str) -> None:
        """Keep a line of what a transport found strange."""
        self.note((self._clock(), NOTE, WORKER, link.number, {"what": what}, None, detail))
        self.soon()

    # Deadlines: one timer for all of them.

    def waiting(self) -> list[Job]:
        """Return those that no worker has yet."""
        at_slots = (job for slot in self.slots.values() for job in slot.waiting())
        return [*self._fresh, *self.line, *at_slots, *self._resting]

    def waiting_count(self) -> int:
        """Return how many wait: in the line, at a worker, or between two attempts."""
        at_slots = sum(len(slot.backlog) for slot in self.slots.values())
        return len(self.line) + at_slots + len(self._resting)

    def outstanding(self) -> list[Job]:
        """Return all jobs without an outcome."""
        held = (job for slot in self._by_link.values() for job in slot.jobs.values())
        return [job for job in (*self.waiting(), *held) if not job.done()]

    def _set_alarm(self, at_ns: int) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm_ns = at_ns
        delay = max(0, at_ns - self._clock()) / NS
        self._alarm = self._loop.call_later(delay, self._on_alarm)

    def _on_alarm(self) -> None:
        self._alarm, self._alarm_ns = None, _NEVER
        now = self._clock()
        jobs = self.outstanding()
        jobs += self.line.expired(now)
        if expired := [job for job in jobs if job.deadline_ns <= now and not job.done()]:
            self._reactions.on_expired(expired, now)
        if left := [job.deadline_ns for job in jobs if job.deadline_ns > now]:
            self._set_alarm(min(left))
        self.soon()

    def _stall(self, slot: Slot) -> None:
        """Send no more to a worker until it answers; ask back what it has not begun."""
        slot.stall(self._clock())
        through = next(reversed(slot.jobs))
        if len(slot.jobs) > 1 and slot.link.recall(through):
            self._loop.call_later(_SETTLED, self._take_back, slot, through)

    def _take_back(self, slot: Slot, through: int) -> None:
        """Send elsewhere what a worker had not begun when it was recalled, and never will."""
        if slot.link not in self._by_link:
            return
        started, now = slot.link.started(), self._clock()
        for request, job in reversed(list(slot.jobs.items())):
            if started < request <= through and not job.done():
                slot.jobs[request] = self._nobody
                if job.session is not None:
                    self._affinity.done(job.session, job.binding, now)
                self.again(job)

    # How a job ends otherwise.

    def fail(self, job: Job, error: PoolError, worker: int | None = None) -> None:
        """End a job with an error, which is noted with what it says about what happened."""
        if job.done():
            return
        self._note_jobs()
        kind = INFO if error.may_have_happened else FAIL
        said = type(error).__name__, str(error)[:_MESSAGE_CHARACTERS]
        data = worker if error.context is None else error.context.data()
        now, op = self._clock(), op_of(job)
        for number in job.numbers:
            self.note((now, kind, op, number, data, *said))
        job.set_exception(error)
        self.soon()

    def close(self) -> None:
        """Stop the timers; nothing is to be outstanding any more."""
        self._lookout.stop()
        for timer in (self._alarm, *self._resting.values()):
            if timer is not None:
                timer.cancel()
        self._alarm = None
        self._ledger.flush()


def op_of(job: Job) -> int:
    """Return which operation of the ledger a job is."""
    return CHECKOUT_OP if job.is_checkout else JOB
