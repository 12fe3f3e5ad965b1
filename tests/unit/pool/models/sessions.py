"""What affinity must do, told from when each session was last used; and tables of sessions that do not."""

# ruff: noqa: ARG002 (an ablation does not look at what it should)

from dataclasses import dataclass
from typing import ClassVar, Final

from hypothesis import assume
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from poolproof.pool.affinity import Affinity, Answer, Binding, Mode
from poolproof.pool.worker import Worker
from poolproof.supervision.overriding import override
from tests.unit.pool.closed_loop import born

TTL_NS: Final = 10
LIMIT: Final = 2
WORKERS: Final = 2
NAMES: Final = ("a", "b", "c")


@dataclass
class Session:
    home: Worker
    used_ns: int
    jobs: int = 0


class Sessions(RuleBasedStateMachine):
    """Sessions against the model; `kind` is what is played."""

    kind: ClassVar[type[Affinity]]

    @initialize(mode=st.sampled_from(["hint", "strict"]))
    def begin(self, mode: Mode) -> None:
        self.real = self.kind(mode, ttl_ns=TTL_NS, limit=LIMIT)
        self.mode = mode
        self.now_ns = 0
        self.workers = [born(number) for number in range(WORKERS)]
        self.sessions: dict[str, Session] = {}
        self.running: list[tuple[str, Session, Binding]] = []
        self.hits = self.misses = 0

    def living(self, name: str) -> Session | None:
        session = self.sessions.get(name)
        if session and not session.jobs and self.now_ns - session.used_ns >= TTL_NS:
            del self.sessions[name]
            return None
        return session

    def expected(self, name: str) -> tuple[Answer, Worker | None]:
        """The table of the charter, row by row."""
        session = self.living(name)
        if session is None:
            for other in list(self.sessions):
                self.living(other)
            full = self.mode == "strict" and len(self.sessions) >= LIMIT
            return ("full" if full else "any"), None
        home, strict = session.home, self.mode == "strict"
        if home.retiring or home.should_remove():
            return ("lost" if strict else "any"), None
        if home.state == "degraded":
            return ("wait", home) if strict else ("any", None)
        if home.state == "busy":
            return ("wait" if strict else "spill"), home
        return "bound", home

    @rule(delay=st.sampled_from([1, TTL_NS - 1, TTL_NS]))
    def wait(self, delay: int) -> None:
        self.now_ns += delay

    @rule(name=st.sampled_from(NAMES), elsewhere=st.integers(0, WORKERS - 1))
    def place(self, name: str, elsewhere: int) -> None:
        """A job comes; it is given out if its answer allows that, else it waits or is refused."""
        before = len(self.sessions)
        answer, worker = self.expected(name)
        assert self.real.place(name, self.now_ns) == (answer, worker)
        if answer == "lost":
            del self.sessions[name]
            self.misses += 1
            return
        if name in self.sessions:
            self.sessions[name].used_ns = self.now_ns
        other = self.workers[elsewhere]
        if answer in {"wait", "full"} or (answer != "bound" and not other.accepting):
            return
        # Who of several idle ones has to go for a newcomer is told by another test.
        assume(name in self.sessions or before < LIMIT)
        self.give(name, answer, worker if answer == "bound" and worker else other)

    def give(self, name: str, answer: Answer, worker: Worker) -> None:
        session = self.sessions.get(name)
        binding = self.real.use(name, worker, self.now_ns)
        if session is not None:
            self.hits += answer == "bound"
            self.misses += answer != "bound"
        if session is None or answer == "any":
            session = self.sessions[name] = Session(worker, self.now_ns)
        session.jobs += 1
        session.used_ns = self.now_ns
        worker.checkout(self.now_ns)
        self.running.append((name, session, binding))

    @precondition(lambda self: self.running)
    @rule(place=st.integers(0, 5))
    def done(self, place: int) -> None:
        name, session, binding = self.running.pop(place % len(self.running))
        self.real.done(name, binding, self.now_ns)
        session.jobs -= 1
        session.used_ns = self.now_ns

    @rule(number=st.integers(0, WORKERS - 1), what=st.sampled_from(["busy", "ready", "ill"]))
    def worker_changes(self, number: int, what: str) -> None:
        worker = self.workers[number]
        if what == "ill":
            worker.check_failed(self.now_ns)
        else:
            worker.check_passed(self.now_ns)
            worker.set_slots(max(1, worker.in_flight) if what == "busy" else 64, self.now_ns)
            if what == "busy" and worker.accepting:
                worker.set_slots(1, self.now_ns)

    @rule(number=st.integers(0, WORKERS - 1), sudden=st.booleans())
    def replace(self, number: int, *, sudden: bool) -> None:
        """The worker ends or is about to; another with its number takes over."""
        worker = self.workers[number]
        worker.died("killed", self.now_ns) if sudden else worker.retire()
        self.workers[number] = born(number, epoch=worker.epoch + 1, now_ns=self.now_ns)

    @rule()
    def sweep(self) -> None:
        expected = [name for name in list(self.sessions) if self.living(name) is None]
        before = set(self.real)
        swept = self.real.sweep(self.now_ns)

        assert set(swept) == before - set(self.real)
        assert set(self.real) == set(self.sessions)
        assert not expected or swept

    @invariant()
    def never_more_than_its_limit(self) -> None:
        if hasattr(self, "real"):
            assert len(self.real) <= LIMIT

    @invariant()
    def counts_what_went_home(self) -> None:
        if hasattr(self, "real"):
            assert (self.real.hits, self.real.misses) == (self.hits, self.misses)
            jobs = self.hits + self.misses
            assert self.real.hit_rate == (self.hits / jobs if jobs else 1)


def machine_for(kind: type[Affinity]) -> type[RuleBasedStateMachine]:
    """Return the machine that plays this kind against the model."""
    return type(kind.__name__, (Sessions,), {"kind": kind})


class TimeFromBinding(Affinity):
    """The time to live is counted from the binding: as in the plan."""

    @override
    def _touch(self, session: str, binding: Binding, now_ns: int) -> None:
        pass


class ExpiresAtWork(Affinity):
    """A session expires while its job runs."""

    @override
    def _living(self, session: str, now_ns: int) -> Binding | None:
        binding = self._bindings.get(session)
        if binding and now_ns - binding.used_ns >= self._ttl_ns:
            del self._bindings[session]
            return None
        return binding


class NeverExpires(Affinity):
    """A session lives for ever."""

    @override
    def _living(self, session: str, now_ns: int) -> Binding | None:
        return self._bindings.get(session)


class BoundToTheDead(Affinity):
    """A session stays bound to a worker that is gone: the plan had no rule for it."""

    @override
    def place(self, session: str, now_ns: int) -> tuple[Answer, Worker | None]:
        answer, worker = super().place(session, now_ns)
        binding = self._bindings.get(session)
        if answer == "any" and binding is not None:
            return "bound", binding.worker
        return answer, worker


class BoundToTheBusy(Affinity):
    """A session's job is pushed upon a busy worker: the plan had no rule for it."""

    @override
    def place(self, session: str, now_ns: int) -> tuple[Answer, Worker | None]:
        answer, worker = super().place(session, now_ns)
        return ("bound" if answer in {"spill", "wait"} else answer), worker


class StrictOnlyInName(Affinity):
    """A strict session goes elsewhere when its worker is busy."""

    @override
    def place(self, session: str, now_ns: int) -> tuple[Answer, Worker | None]:
        answer, worker = super().place(session, now_ns)
        return ("spill" if answer == "wait" else answer), worker


class LossUnsaid(Affinity):
    """A strict session whose worker is gone begins anew without a word."""

    @override
    def place(self, session: str, now_ns: int) -> tuple[Answer, Worker | None]:
        answer, worker = super().place(session, now_ns)
        return ("any" if answer == "lost" else answer), worker


class LostForEver(Affinity):
    """A lost session is lost each time it asks."""

    @override
    def place(self, session: str, now_ns: int) -> tuple[Answer, Worker | None]:
        binding = self._bindings.get(session)
        answer, worker = super().place(session, now_ns)
        if answer == "lost" and binding:
            self._bindings[session] = binding
        return answer, worker


class HomeForgottenAtOnce(Affinity):
    """One busy moment of its worker, and the session lives elsewhere."""

    @override
    def use(self, session: str, worker: Worker, now_ns: int) -> Binding:
        binding = self._bindings.get(session)
        if binding and binding.worker is not worker:
            self.misses += 1
            del self._bindings[session]
        return super().use(session, worker, now_ns)


class Unbounded(Affinity):
    """Any number of strict sessions."""

    @override
    def place(self, session: str, now_ns: int) -> tuple[Answer, Worker | None]:
        answer, worker = super().place(session, now_ns)
        return ("any" if answer == "full" else answer), worker


class EveryJobAHit(Affinity):
    """The hit rate is 1, whatever happens: the plan's last threshold was >= 0.0."""

    @property
    @override
    def hit_rate(self) -> float:
        return 1.0


class SweepsNothing(Affinity):
    """What has run out is never forgotten."""

    @override
    def sweep(self, now_ns: int) -> list[str]:
        return []


class SweepsTheBusy(Affinity):
    """A session is swept away while its job runs."""

    @override
    def sweep(self, now_ns: int) -> list[str]:
        old = [
            name
            for name, binding in self._bindings.items()
            if now_ns - binding.used_ns >= self._ttl_ns
        ]
        for name in old:
            del self._bindings[name]
        return old


ABLATIONS: Final = (
    TimeFromBinding,
    ExpiresAtWork,
    NeverExpires,
    BoundToTheDead,
    BoundToTheBusy,
    StrictOnlyInName,
    LossUnsaid,
    LostForEver,
    HomeForgottenAtOnce,
    Unbounded,
    EveryJobAHit,
    SweepsNothing,
    SweepsTheBusy,
)
