"""What a circuit breaker must do, told from the trace of what happened to it; and breakers that do not."""

# ruff: noqa: ARG002 (an ablation does not look at what it should)

from dataclasses import dataclass, field
from typing import ClassVar, Final

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from poolproof.pool.circuit_breaker import REFUSED, CircuitBreaker, Limits
from poolproof.supervision.overriding import override

LIMITS: Final = Limits(failures_to_open=3, open_ns=100, successes_to_close=2, probes_in_flight=2)


@dataclass
class Model:
    """The trace of one era, the time between two changes of position, gives the position."""

    position: str = "closed"
    era: int = 0
    began_ns: int = 0
    probed_ns: int = 0
    outcomes: list[bool] = field(default_factory=list)
    probes: int = 0

    def change(self, position: str, now_ns: int) -> None:
        self.__init__(position, self.era + 1, now_ns, now_ns)  # type: ignore[misc]

    def admits(self, now_ns: int) -> bool:
        if self.position == "open" and now_ns - self.began_ns >= LIMITS.open_ns:
            self.change("half_open", now_ns)
        elif (
            self.position == "half_open"
            and self.probes >= LIMITS.probes_in_flight
            and now_ns - self.probed_ns >= LIMITS.open_ns
        ):
            self.change("open", now_ns)
        if self.position == "half_open" and self.probes < LIMITS.probes_in_flight:
            self.probes += 1
            self.probed_ns = now_ns
            return True
        return self.position == "closed"

    def outcome(self, era: int, *, ok: bool, now_ns: int) -> None:
        if era != self.era:
            return
        self.outcomes.append(ok)
        self.probes -= 1
        if self.position == "closed":
            last = self.outcomes[-LIMITS.failures_to_open :]
            if len(last) == LIMITS.failures_to_open and not any(last):
                self.change("open", now_ns)
        elif not ok:
            self.change("open", now_ns)
        elif len(self.outcomes) == LIMITS.successes_to_close:
            self.change("closed", now_ns)

    def released(self, era: int) -> None:
        if era == self.era:
            self.probes -= 1


class Breaker(RuleBasedStateMachine):
    """Breaker against the model; `kind` is what is played."""

    kind: ClassVar[type[CircuitBreaker]]

    def __init__(self) -> None:
        super().__init__()
        self.real = self.kind(LIMITS)
        self.model = Model()
        self.now_ns = 0
        self.out: list[tuple[int, int]] = []

    @rule(delay=st.sampled_from([1, LIMITS.open_ns - 1, LIMITS.open_ns]))
    def wait(self, delay: int) -> None:
        self.now_ns += delay

    @rule(jobs=st.integers(1, LIMITS.failures_to_open))
    def admit(self, jobs: int) -> None:
        for _ in range(jobs):
            permit = self.real.admit(self.now_ns)
            assert (permit != REFUSED) == self.model.admits(self.now_ns)
            if permit != REFUSED:
                self.out.append((permit, self.model.era))

    @precondition(lambda self: self.out)
    @rule(place=st.integers(0, 5), ok=st.booleans(), jobs=st.integers(1, 3))
    def answer(self, place: int, jobs: int, *, ok: bool) -> None:
        for _ in range(min(jobs, len(self.out))):
            permit, era = self.out.pop(place % len(self.out))
            (self.real.succeeded if ok else self.real.failed)(permit, self.now_ns)
            self.model.outcome(era, ok=ok, now_ns=self.now_ns)

    @precondition(lambda self: self.out)
    @rule(place=st.integers(0, 5))
    def release(self, place: int) -> None:
        permit, era = self.out.pop(place % len(self.out))
        self.real.released(permit)
        self.model.released(era)

    @invariant()
    def same_position(self) -> None:
        assert self.real.position == self.model.position
        assert self.real.changes == self.model.era

    @invariant()
    def history_tells_how_it_came_to_it(self) -> None:
        chain = [change.target for change in reversed(self.real.history())]
        assert ([*chain] or ["closed"])[-1] == self.real.position

    @invariant()
    def retry_after_is_no_promise_it_breaks(self) -> None:
        waits = self.model.began_ns + LIMITS.open_ns - self.now_ns
        expected = max(0, waits) if self.model.position == "open" else 0
        assert self.real.retry_after_ns(self.now_ns) == expected


def machine_for(kind: type[CircuitBreaker]) -> type[RuleBasedStateMachine]:
    """Return the machine that plays this kind against the model."""
    return type(kind.__name__, (Breaker,), {"kind": kind})


class TotalOfFailures(CircuitBreaker):
    """A success does not break a row of failures."""

    @override
    def succeeded(self, permit: int, now_ns: int) -> None:
        row = self._in_a_row
        super().succeeded(permit, now_ns)
        if self.position == "closed" and permit == self.changes:
            self._in_a_row = row


class ErrorsAreSuccesses(CircuitBreaker):
    """A returned error counts as a success: the plan's own breaker did that."""

    @override
    def failed(self, permit: int, now_ns: int) -> None:
        self.succeeded(permit, now_ns)


class ProbesBoundedBySuccesses(CircuitBreaker):
    """The bound of half open counts successes, not what is in flight: as in the plan."""

    @override
    def admit(self, now_ns: int) -> int:
        if self.position == "half_open":
            self._probes = self._in_a_row
        return super().admit(now_ns)


class ForgivingProbes(CircuitBreaker):
    """One failed probe does not open it again."""

    @override
    def failed(self, permit: int, now_ns: int) -> None:
        if self.position == "half_open":
            self.released(permit)
        else:
            super().failed(permit, now_ns)


class LateAnswersCount(CircuitBreaker):
    """An answer from before the circuit opened is taken for a probe's."""

    @override
    def succeeded(self, permit: int, now_ns: int) -> None:
        super().succeeded(self.changes, now_ns)


class LateFailuresCount(CircuitBreaker):
    """A failure from before the circuit opened is taken for a probe's."""

    @override
    def failed(self, permit: int, now_ns: int) -> None:
        super().failed(self.changes, now_ns)


class CancelledProbesStay(CircuitBreaker):
    """A probe that was cancelled keeps its place for ever."""

    @override
    def released(self, permit: int) -> None:
        pass


class OpensTooLate(CircuitBreaker):
    """One failure more than it may take."""

    @override
    def failed(self, permit: int, now_ns: int) -> None:
        if self._in_a_row + 1 == self._limits.failures_to_open:
            self._in_a_row -= 1
        super().failed(permit, now_ns)


class HalfOpensTooEarly(CircuitBreaker):
    """One nanosecond is enough to be off by one."""

    @override
    def _waited(self, now_ns: int) -> bool:
        return super()._waited(now_ns + 1)


class NeverHalfOpens(CircuitBreaker):
    """Once open, open for ever."""

    @override
    def _waited(self, now_ns: int) -> bool:
        return False


class WaitsForLostProbes(CircuitBreaker):
    """Probes that are never answered hold it half open for ever."""

    @override
    def _waited(self, now_ns: int) -> bool:
        return self.position == "open" and super()._waited(now_ns)


class ClosesAtOnce(CircuitBreaker):
    """One success of a probe closes it."""

    @override
    def succeeded(self, permit: int, now_ns: int) -> None:
        if self.position == "half_open":
            self._in_a_row = self._limits.successes_to_close - 1
        super().succeeded(permit, now_ns)


ABLATIONS: Final = (
    TotalOfFailures,
    ErrorsAreSuccesses,
    ProbesBoundedBySuccesses,
    ForgivingProbes,
    LateAnswersCount,
    LateFailuresCount,
    CancelledProbesStay,
    OpensTooLate,
    HalfOpensTooEarly,
    NeverHalfOpens,
    WaitsForLostProbes,
    ClosesAtOnce,
)
