"""One worker as its pool knows it: its state, its health, its jobs, and how it came to be so.

A worker is `ready` while it has a free slot, and `busy` when all its slots are taken; with one slot
that is the plan's meaning of the two words.
"""

from collections import deque
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, Literal, NamedTuple, get_args

from poolproof.errors import PoolError
from poolproof.supervision.overriding import override

State = Literal["initializing", "ready", "busy", "degraded", "terminating", "terminated"]
Health = Literal["healthy", "unhealthy", "unknown"]
CheckVerdict = Literal["ignored", "restored", "degraded", "remove"]

STATES: Final[tuple[State, ...]] = get_args(State)
# The eleven edges of the plan, and sudden death from ready, busy and degraded.
LEGAL: Final[Mapping[State, frozenset[State]]] = MappingProxyType(
    {
        "initializing": frozenset({"ready", "terminated"}),
        "ready": frozenset({"busy", "degraded", "terminating", "terminated"}),
        "busy": frozenset({"ready", "degraded", "terminating", "terminated"}),
        "degraded": frozenset({"ready", "terminating", "terminated"}),
        "terminating": frozenset({"terminated"}),
        "terminated": frozenset(),
    }
)

HISTORY_LENGTH: Final = 64
FAILED_CHECKS_TO_REMOVE: Final = 3
_Row = tuple[State, State, str, int, int, Mapping[str, object]]
_NS_PER_MS: Final = 1_000_000
_NO_METADATA: Final[Mapping[str, object]] = MappingProxyType({})


class Transition(NamedTuple):
    """A change of state.

    Attributes:
        origin: the state before.
        target: the state after.
        reason: why, in one word.
        duration_ns: how long the worker was in the state before.
        at_ns: when, CLOCK_MONOTONIC.
        metadata: what else is known of it.
    """

    origin: State
    target: State
    reason: str
    duration_ns: int
    at_ns: int
    metadata: Mapping[str, object] = _NO_METADATA

    @property
    def duration_ms(self) -> float:
        """How long the worker was in the state before, in milliseconds."""
        return self.duration_ns / _NS_PER_MS


class InvalidTransitionError(PoolError):
    """A worker was to go from `origin` to `target`, which is no edge of its state machine."""

    def __init__(self, origin: State, target: State) -> None:
        legal = ", ".join(sorted(LEGAL[origin])) or "nothing"
        super().__init__(
            f"expected a transition from {origin} to {legal}, got one from {origin} to {target}"
        )
        self.origin = origin
        self.target = target

    @override
    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.origin, self.target)


class Worker:
    """A worker's state machine; times are `now_ns`, CLOCK_MONOTONIC nanoseconds.

    Attributes:
        number: its place in the pool; a replacement has the same.
        epoch: which worker of that number.
        state: one of `STATES`; only the methods change it.
        health: `healthy` since it has begun or passed a check, `unhealthy` since it failed one.
        accepting: whether it may be given a job: ready and healthy, and neither reserved nor retiring.
        slots: how many jobs it may hold at once.
        in_flight: how many it holds.
        jobs: how many it was ever given.
        failed_checks: health checks failed in a row.
        retiring: it gets no more jobs and is to be terminated when it has none left.
        born_ns: when it was made.
        since_ns: when it came into its state.
        metadata: all that its transitions brought, the latest last.

    Example:
        >>> worker = Worker(number=0, epoch=1, now_ns=0)
        >>> worker.begun(now_ns=5)
        >>> worker.checkout(now_ns=7)
        >>> worker.state, worker.history()[0].duration_ns
        ('busy', 2)
    """

    __slots__ = (
        "_transitions",
        "accepting",
        "born_ns",
        "epoch",
        "failed_checks",
        "health",
        "in_flight",
        "jobs",
        "metadata",
        "number",
        "retiring",
        "since_ns",
        "slots",
        "state",
    )

    def __init__(self, *, number: int, epoch: int, now_ns: int, slots: int = 1) -> None:
        self.number = number
        self.epoch = epoch
        self.state: State = "initializing"
        self.health: Health = "unknown"
        self.accepting = False
        self.slots = slots
        self.in_flight = 0
        self.jobs = 0
        self.failed_checks = 0
        self.retiring = False
        self.born_ns = now_ns
        self.since_ns = now_ns
        self.metadata: dict[str, object] = {}
        self._transitions: deque[_Row] = deque(maxlen=HISTORY_LENGTH)

    def can_accept_work(self) -> bool:
        """Return whether it is ready and healthy (and not retiring)."""
        return self.accepting

    def should_remove(self) -> bool:
        """Return whether it is on its way out, or gone."""
        return self.state in {"terminating", "terminated"}

    def history(self) -> list[Transition]:
        """Return the last transitions, newest first, at most `HISTORY_LENGTH`."""
        return [Transition(*row) for row in reversed(self._transitions)]

    def move(
        self, target: State, reason: str, now_ns: int, metadata: Mapping[str, object] | None = None
    ) -> None:
        """Take one edge of the state machine.

        Raises:
            InvalidTransitionError: there is no such edge; nothing has changed.
        """
        origin = self.state
        if target not in LEGAL[origin]:
            raise InvalidTransitionError(origin, target)
        if metadata:
            self.metadata.update(metadata)
        self._enter(target, reason, now_ns, metadata or _NO_METADATA)

    def _enter(
        self, target: State, reason: str, now_ns: int, metadata: Mapping[str, object] = _NO_METADATA
    ) -> None:
        # A plain tuple, made a `Transition` on reading: this is done twice for each job.
        duration_ns = now_ns - self.since_ns
        self._transitions.append((self.state, target, reason, duration_ns, now_ns, metadata))
        self.state = target
        self.since_ns = now_ns
        self.accepting = target == "ready" and self.health == "healthy" and not self.retiring

    def begun(self, now_ns: int) -> None:
        """Note that `init` has succeeded, which is the first evidence of health."""
        self.health = "healthy"
        self.move("ready", "init_complete", now_ns)

    def checkout(self, now_ns: int, jobs: int = 1) -> None:
        """Give it `jobs` more jobs; it is busy when they take its last free slot.

        Raises:
            InvalidTransitionError: it does not accept work, or not so much.
        """
        held = self.in_flight + jobs
        if not self.accepting or held > self.slots:
            raise InvalidTransitionError(self.state, "busy")
        self.jobs += jobs
        self.in_flight = held
        if held == self.slots:
            self._enter("busy", "checkout", now_ns)

    def checkin(self, now_ns: int, jobs: int = 1, *, ok: bool = True) -> None:
        """Take `jobs` back, in whatever state the worker is by now.

        One that was degraded or terminated meanwhile, or whose slots were changed, only counts them.
        """
        assert self.in_flight >= jobs
        self.in_flight -= jobs
        if self.state == "busy" and self.in_flight < self.slots:
            self._enter("ready", "checkin_success" if ok else "checkin_error", now_ns)

    def set_slots(self, slots: int, now_ns: int) -> None:
        """Change how many jobs it may hold at once; those it holds stay."""
        assert slots > 0
        self.slots = slots
        if self.state == "busy" and self.in_flight < slots:
            self.move("ready", "slots_changed", now_ns)
        elif self.state == "ready" and self.in_flight >= slots:
            self.move("busy", "slots_changed", now_ns)

    def retire(self) -> None:
        """Give it no more jobs; those it holds come to their end."""
        self.retiring = True
        self.accepting = False

    def check_passed(self, now_ns: int) -> CheckVerdict:
        """Note a passed health check; a degraded worker is healthy and ready again."""
        if self.state in {"initializing", "terminating", "terminated"}:
            return "ignored"
        self.failed_checks = 0
        self.health = "healthy"
        if self.state != "degraded":
            return "ignored"
        self.move("ready", "health_restored", now_ns)
        if self.in_flight >= self.slots:
            self.move("busy", "health_restored", now_ns)
        return "restored"

    def check_failed(self, now_ns: int) -> CheckVerdict:
        """Note a failed health check: the first degrades, the third in a row asks for removal."""
        if self.state in {"initializing", "terminating", "terminated"}:
            return "ignored"
        self.failed_checks += 1
        self.health = "unhealthy"
        if self.state != "degraded":
            self.move("degraded", "health_check_failed", now_ns)
        return "remove" if self.failed_checks >= FAILED_CHECKS_TO_REMOVE else "degraded"

    def terminate(self, reason: str, now_ns: int) -> bool:
        """Begin its end; return whether this call did. One that is ending already is left alone."""
        if self.should_remove():
            return False
        self.move("terminated" if self.state == "initializing" else "terminating", reason, now_ns)
        return True

    def died(self, reason: str, now_ns: int) -> bool:
        """Note that it is gone, from whatever state; return whether that was news."""
        if self.state == "terminated":
            return False
        self.move("terminated", reason, now_ns)
        return True
