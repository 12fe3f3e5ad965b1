"""Which worker a session belongs to, and what happens when that worker cannot take its job.

    the bound worker is        `hint`                      `strict`
    ready                      bound: it gets the job      bound: it gets the job
    busy                       spill: another, this once   wait for it
    degraded                   any: another from then on   wait for it
    retiring, ending, gone     any: another from then on   lost, said once; then a new beginning

A session that is not bound, or whose time has run out, takes any worker and is bound to it. The
time to live is counted from the last use, and does not run out while one of its jobs runs.
"""

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Final, Literal

from poolproof.pool.worker import State, Worker

Mode = Literal["hint", "strict"]
Answer = Literal["any", "bound", "spill", "wait", "lost", "full"]

TTL_NS: Final = 300_000_000_000
SWEEP_NS: Final = 60_000_000_000
MAX_SESSIONS: Final = 10_000

ANSWERS: Final[Mapping[Mode, Mapping[State, Answer]]] = MappingProxyType(
    {
        "hint": {
            "initializing": "spill",
            "ready": "bound",
            "busy": "spill",
            "degraded": "any",
            "terminating": "any",
            "terminated": "any",
        },
        "strict": {
            "initializing": "wait",
            "ready": "bound",
            "busy": "wait",
            "degraded": "wait",
            "terminating": "lost",
            "terminated": "lost",
        },
    }
)


class Binding:
    """A session's worker.

    Attributes:
        worker: the very worker, not its number: a replacement has none of the session's state.
        used_ns: when a job of the session was last asked for, given out, or done.
        in_flight: its jobs that run.
    """

    __slots__ = ("in_flight", "used_ns", "worker")

    def __init__(self, worker: Worker, used_ns: int) -> None:
        self.worker = worker
        self.used_ns = used_ns
        self.in_flight = 0


class Affinity:
    """The table of sessions: `place` whenever a job could be given out, `use` when it is, then `done`.

    Attributes:
        mode: `hint` prefers the bound worker, `strict` insists on it.
        hits: jobs that went to the worker which their session was bound to.
        misses: jobs of bound sessions that went elsewhere, or were lost.
        evicted: sessions forgotten before their time, to make room.

    Example:
        >>> affinity = Affinity("strict")
        >>> affinity.place("s", now_ns=0)
        ('any', None)
        >>> binding = affinity.use("s", Worker(number=1, epoch=1, now_ns=0), now_ns=0)
        >>> affinity.done("s", binding, now_ns=5)
    """

    __slots__ = ("_answers", "_bindings", "_limit", "_ttl_ns", "evicted", "hits", "misses", "mode")

    def __init__(
        self, mode: Mode = "hint", *, ttl_ns: int = TTL_NS, limit: int = MAX_SESSIONS
    ) -> None:
        assert ttl_ns > 0
        assert limit > 0
        self.mode: Mode = mode
        self.hits = 0
        self.misses = 0
        self.evicted = 0
        self._answers = ANSWERS[mode]
        self._ttl_ns = ttl_ns
        self._limit = limit
        # The least recently used first: what has run out is in front.
        self._bindings: OrderedDict[str, Binding] = OrderedDict()

    def __len__(self) -> int:
        return len(self._bindings)

    def __iter__(self) -> Iterator[str]:
        return iter(self._bindings)

    @property
    def hit_rate(self) -> float:
        """The share of the jobs of bound sessions that went to their worker; 1 if there were none."""
        jobs = self.hits + self.misses
        return self.hits / jobs if jobs else 1.0

    def sessions_of(self, worker: Worker) -> list[str]:
        """Return the sessions that are bound to this worker."""
        return [name for name, binding in self._bindings.items() if binding.worker is worker]

    def place(self, session: str, now_ns: int) -> tuple[Answer, Worker | None]:
        """Return what is to become of a session's job, and the worker that it stays bound to.

        Asking is a use. `any`: let the strategy choose. `spill`: the same, but the session stays
        where it is. `wait`: for the bound worker. `lost`: raise, the session is forgotten. `full`:
        raise, no more sessions can be promised anything.
        """
        binding = self._living(session, now_ns)
        if binding is None:
            full = self.mode == "strict" and len(self._bindings) >= self._limit
            return ("full" if full and not self.sweep(now_ns) else "any"), None
        worker = binding.worker
        answer = self._answers["terminating" if worker.retiring else worker.state]
        if answer == "lost":
            del self._bindings[session]
            self.misses += 1
            return answer, None
        self._touch(session, binding, now_ns)
        return answer, None if answer == "any" else worker

    def use(self, session: str, worker: Worker, now_ns: int) -> Binding:
        """Note that a job of the session is given to `worker`, after `place` allowed it."""
        binding = self._living(session, now_ns)
        if binding is None:
            binding = self._bind(session, worker, now_ns)
        elif binding.worker is worker:
            self.hits += 1
        else:
            assert self.mode == "hint"
            self.misses += 1
            home = binding.worker
            if home.retiring or self._answers[home.state] == "any":
                binding = self._bind(session, worker, now_ns)
        binding.in_flight += 1
        self._touch(session, binding, now_ns)
        return binding

    def done(self, session: str, binding: Binding, now_ns: int) -> None:
        """Note that a job which `use` gave this binding is over, however it ended."""
        binding.in_flight -= 1
        if self._bindings.get(session) is binding:
            self._touch(session, binding, now_ns)

    def sweep(self, now_ns: int) -> list[str]:
        """Forget the sessions whose time has run out, and return them."""
        swept: list[str] = []
        while self._bindings:
            session, binding = next(iter(self._bindings.items()))
            if now_ns - binding.used_ns < self._ttl_ns:
                break
            if binding.in_flight:
                self._touch(session, binding, now_ns)
            else:
                del self._bindings[session]
                swept.append(session)
        return swept

    def _living(self, session: str, now_ns: int) -> Binding | None:
        binding = self._bindings.get(session)
        if binding is None or binding.in_flight or now_ns - binding.used_ns < self._ttl_ns:
            return binding
        del self._bindings[session]
        return None

    def _bind(self, session: str, worker: Worker, now_ns: int) -> Binding:
        binding = self._bindings[session] = Binding(worker, now_ns)
        if len(self._bindings) > self._limit:
            self._bindings.popitem(last=False)
            self.evicted += 1
        return binding

    def _touch(self, session: str, binding: Binding, now_ns: int) -> None:
        binding.used_ns = now_ns
        self._bindings.move_to_end(session)
