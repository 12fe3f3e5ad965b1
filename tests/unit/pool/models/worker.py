"""What a worker's state machine must do, told from the plan's list of edges; and workers that do not."""

from itertools import pairwise
from typing import ClassVar, Final

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from poolproof.pool.worker import (
    HISTORY_LENGTH,
    CheckVerdict,
    InvalidTransitionError,
    State,
    Transition,
    Worker,
)
from poolproof.supervision.overriding import override

EDGES: Final = frozenset(
    [
        ("initializing", "ready"),
        ("initializing", "terminated"),
        ("ready", "busy"),
        ("ready", "degraded"),
        ("ready", "terminating"),
        ("ready", "terminated"),
        ("busy", "ready"),
        ("busy", "degraded"),
        ("busy", "terminating"),
        ("busy", "terminated"),
        ("degraded", "ready"),
        ("degraded", "terminating"),
        ("degraded", "terminated"),
        ("terminating", "terminated"),
    ]
)
ENDING: Final = frozenset({"terminating", "terminated"})


class Life(RuleBasedStateMachine):
    """Worker against the model; `kind` is what is played."""

    kind: ClassVar[type[Worker]]

    def __init__(self) -> None:
        super().__init__()
        self.now_ns = 0
        self.spawn()

    def spawn(self) -> None:
        self.real = self.kind(number=3, epoch=1, now_ns=self.now_ns, slots=2)
        self.began = False
        self.end: State | None = None
        self.failed_in_a_row = 0
        self.ill = False
        self.retiring = False
        self.slots = 2
        self.held = 0
        self.given = 0

    def state(self) -> State:
        """The state follows from what has happened, whatever the order."""
        if self.end:
            return self.end
        if not self.began:
            return "initializing"
        if self.ill:
            return "degraded"
        return "busy" if self.held >= self.slots else "ready"

    @initialize(begins=st.sampled_from([True, True, True, False]))
    def first(self, *, begins: bool) -> None:
        """Most begin their life: those who do not have few edges."""
        if begins:
            self.begun()

    @precondition(lambda self: not self.began and not self.end)
    @rule()
    def begun(self) -> None:
        self.real.begun(self.now_ns)
        self.began = True

    @rule(jobs=st.integers(0, 3))
    def checkout(self, jobs: int) -> None:
        """So many jobs, or, for 0, as many as there is room for."""
        jobs = jobs or max(1, self.slots - self.held)
        self.now_ns += 3
        accepts = self.state() == "ready" and not self.retiring
        if accepts and self.held + jobs <= self.slots:
            self.real.checkout(self.now_ns, jobs)
            self.held += jobs
            self.given += jobs
            return
        try:
            self.real.checkout(self.now_ns, jobs)
        except InvalidTransitionError:
            return
        raise AssertionError("a worker that accepts no work took it")

    @precondition(lambda self: self.held)
    @rule(ok=st.booleans())
    def checkin(self, *, ok: bool) -> None:
        self.now_ns += 2
        self.real.checkin(self.now_ns, ok=ok)
        self.held -= 1

    @rule(slots=st.integers(1, 3))
    def set_slots(self, slots: int) -> None:
        self.real.set_slots(slots, self.now_ns)
        self.slots = slots

    @precondition(lambda self: not self.began or self.given)
    @rule()
    def retire(self) -> None:
        self.real.retire()
        self.retiring = True

    @rule(checks=st.sampled_from([[True], [False], [False] * 3, [False, True]]))
    def check(self, checks: list[bool]) -> None:
        for passed in checks:
            self.check_once(passed=passed)

    def check_once(self, *, passed: bool) -> None:
        serves = self.began and not self.end
        expected: CheckVerdict = "ignored"
        if serves and passed:
            expected = "restored" if self.ill else "ignored"
            self.ill, self.failed_in_a_row = False, 0
        elif serves:
            self.ill, self.failed_in_a_row = True, self.failed_in_a_row + 1
            expected = "remove" if self.failed_in_a_row >= 3 else "degraded"
        check = self.real.check_passed if passed else self.real.check_failed

        assert check(self.now_ns) == expected

    @precondition(lambda self: self.end == "terminated" or self.retiring)
    @rule()
    def replace(self) -> None:
        """So that no step is wasted on the dead, and few on those who take no more work."""
        self.spawn()
        self.begun()

    @precondition(lambda self: self.end or not self.began or self.given or self.ill)
    @rule(suddenly=st.booleans())
    def ends(self, *, suddenly: bool) -> None:
        if suddenly:
            assert self.real.died("killed", self.now_ns) == (self.end != "terminated")
            self.end = "terminated"
            return
        assert self.real.terminate("shutdown", self.now_ns) == (self.end is None)
        if self.end is None:
            self.end = "terminating" if self.began else "terminated"

    @invariant()
    def state_is_what_happened(self) -> None:
        assert self.real.state == self.state()
        assert self.real.should_remove() == (self.real.state in ENDING)

    @invariant()
    def accepts_only_ready_and_healthy(self) -> None:
        expected = self.state() == "ready" and not self.retiring
        assert self.real.can_accept_work() == self.real.accepting == expected
        if self.began and not self.end:
            assert self.real.health == ("unhealthy" if self.ill else "healthy")

    @invariant()
    def counts_its_jobs(self) -> None:
        assert (self.real.in_flight, self.real.jobs) == (self.held, self.given)

    @invariant()
    def history_is_a_chain_of_legal_edges(self) -> None:
        chain = self.real.history()[::-1]
        assert len(chain) <= HISTORY_LENGTH
        assert {(step.origin, step.target) for step in chain} <= EDGES
        for step, following in pairwise(chain):
            assert step.target == following.origin
            assert step.at_ns + following.duration_ns == following.at_ns
        if chain:
            assert chain[-1].target == self.real.state
            assert chain[0].at_ns - chain[0].duration_ns == self.real.born_ns or (
                len(chain) == HISTORY_LENGTH
            )


def machine_for(kind: type[Worker]) -> type[RuleBasedStateMachine]:
    """Return the machine that plays this kind against the model."""
    return type(kind.__name__, (Life,), {"kind": kind})


class RestoredButIll(Worker):
    """A restored worker's health stays unhealthy: as in the plan."""

    @override
    def check_passed(self, now_ns: int) -> CheckVerdict:
        verdict = super().check_passed(now_ns)
        if verdict == "restored":
            self.health = "unhealthy"
        return verdict


class NeverRestored(Worker):
    """A degraded worker is not asked for its health any more: as in the plan."""

    @override
    def check_passed(self, now_ns: int) -> CheckVerdict:
        return "ignored" if self.state == "degraded" else super().check_passed(now_ns)


class TerminatedTwice(Worker):
    """To terminate what is terminating is an error: as in the plan."""

    @override
    def terminate(self, reason: str, now_ns: int) -> bool:
        self.move("terminated" if self.state == "initializing" else "terminating", reason, now_ns)
        return True


class ImmortalWhenBusy(Worker):
    """There is no sudden death from busy: as in the plan."""

    @override
    def died(self, reason: str, now_ns: int) -> bool:
        return self.state != "busy" and super().died(reason, now_ns)


class HealedByItsJob(Worker):
    """A degraded worker is ready as soon as it brings a job back."""

    @override
    def checkin(self, now_ns: int, jobs: int = 1, *, ok: bool = True) -> None:
        super().checkin(now_ns, jobs, ok=ok)
        if self.state == "degraded":
            self.move("ready", "checkin_success", now_ns)


class AcceptsWhenRetiring(Worker):
    """A worker that is to go gets more jobs."""

    @override
    def retire(self) -> None:
        self.retiring = True


class AcceptsAgainAfterACheck(Worker):
    """A retiring worker that is restored gets jobs again."""

    @override
    def check_passed(self, now_ns: int) -> CheckVerdict:
        verdict = super().check_passed(now_ns)
        if verdict == "restored" and self.state == "ready":
            self.accepting = True
        return verdict


class RemembersOldFailures(Worker):
    """Failed checks count even if one between them passed."""

    @override
    def check_passed(self, now_ns: int) -> CheckVerdict:
        failed = self.failed_checks
        verdict = super().check_passed(now_ns)
        self.failed_checks = failed
        return verdict


class NeverRemoved(Worker):
    """However many checks fail, it stays degraded."""

    @override
    def check_failed(self, now_ns: int) -> CheckVerdict:
        verdict = super().check_failed(now_ns)
        return "degraded" if verdict == "remove" else verdict


class TakesTooMuch(Worker):
    """It takes more jobs than it has slots."""

    @override
    def checkout(self, now_ns: int, jobs: int = 1) -> None:
        if self.accepting and self.in_flight + jobs > self.slots:
            self.slots = self.in_flight + jobs
        super().checkout(now_ns, jobs)


class RestoredBeyondItsSlots(Worker):
    """A worker that was restored with all slots taken is ready."""

    @override
    def check_passed(self, now_ns: int) -> CheckVerdict:
        slots, self.slots = self.slots, 1000
        verdict = super().check_passed(now_ns)
        self.slots = slots
        return verdict


class DurationsFromBirth(Worker):
    """The duration of a state is counted from the worker's birth."""

    @override
    def history(self) -> list[Transition]:
        return [step._replace(duration_ns=step.at_ns - self.born_ns) for step in super().history()]


class Resurrected(Worker):
    """The dead end once more."""

    @override
    def died(self, reason: str, now_ns: int) -> bool:
        super().died(reason, now_ns)
        return True


ABLATIONS: Final = (
    RestoredButIll,
    NeverRestored,
    TerminatedTwice,
    ImmortalWhenBusy,
    HealedByItsJob,
    AcceptsWhenRetiring,
    AcceptsAgainAfterACheck,
    RemembersOldFailures,
    NeverRemoved,
    TakesTooMuch,
    RestoredBeyondItsSlots,
    DurationsFromBirth,
    Resurrected,
)
