"""Each decision does what its model does, whatever happens; and each ablated one is told from it."""

from collections.abc import Callable
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, Phase, Verbosity, seed, settings
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test

from poolproof.pool.affinity import Affinity
from poolproof.pool.circuit_breaker import CircuitBreaker
from poolproof.pool.queueing import Line
from poolproof.pool.worker import InvalidTransitionError, State, Worker
from tests.unit.pool.models import balance, breaker, line, sessions, worker
from tests.unit.stateful.rules import all_taken

pytestmark = [pytest.mark.unit, pytest.mark.hypothesis]

Machine = Callable[[Any], type[RuleBasedStateMachine]]
SOUND: Final[list[tuple[Machine, type]]] = [
    (worker.machine_for, Worker),
    (breaker.machine_for, CircuitBreaker),
    (sessions.machine_for, Affinity),
    (line.machine_for, Line),
    *((balance.machine_for, strategy) for strategy in balance.SOUND),
]
ABLATED: Final[list[tuple[Machine, type]]] = [
    (module.machine_for, ablation)
    for module in (worker, breaker, sessions, line, balance)
    for ablation in module.ABLATIONS
]
STEPS: Final = 25
EXAMPLES: Final = 40
SEEDS: Final = range(1, 26)
# Most ablations are caught under the first seed; these sooner under another.
SOONER: Final = {
    "worker-RestoredButIll": 2,
    "worker-ImmortalWhenBusy": 5,
    "worker-HealedByItsJob": 10,
    "worker-NeverRemoved": 2,
    "worker-TakesTooMuch": 2,
    "worker-RestoredBeyondItsSlots": 2,
    "worker-DurationsFromBirth": 2,
    "breaker-TotalOfFailures": 4,
    "breaker-ProbesBoundedBySuccesses": 2,
    "breaker-ForgivingProbes": 2,
    "breaker-LateAnswersCount": 2,
    "breaker-LateFailuresCount": 2,
    "breaker-CancelledProbesStay": 2,
    "breaker-HalfOpensTooEarly": 2,
    "breaker-NeverHalfOpens": 3,
    "breaker-WaitsForLostProbes": 2,
    "breaker-ClosesAtOnce": 5,
    "sessions-TimeFromBinding": 2,
    "sessions-ExpiresAtWork": 3,
    "sessions-NeverExpires": 3,
    "sessions-HomeForgottenAtOnce": 10,
    "sessions-Unbounded": 2,
    "line-ServesTheDead": 4,
    "line-GivenBackToTheEnd": 2,
    "line-OldDeadlinesCount": 6,
    "balance-HomeOnly": 2,
}


def _name(machine_for: Machine, kind: type) -> str:
    return f"{machine_for.__module__.rpartition('.')[2]}-{kind.__name__}"


@pytest.mark.parametrize(("machine_for", "kind"), SOUND, ids=[kind.__name__ for _, kind in SOUND])
def test_no_order_of_events_tells_it_from_its_model(machine_for: Machine, kind: type) -> None:
    """As many examples as the profile says: 40, or a campaign's 1,000; each rule is taken."""
    machine = machine_for(kind)
    with all_taken(machine):
        run_state_machine_as_test(
            machine,
            settings=settings(
                stateful_step_count=STEPS,
                deadline=None,
                suppress_health_check=list(HealthCheck),
            ),
        )


def test_every_edge_of_a_worker_is_taken_by_its_machine() -> None:
    taken: set[tuple[State, State]] = set()

    class Watched(Worker):
        def _enter(self, target: State, *rest: Any) -> None:
            taken.add((self.state, target))
            super()._enter(target, *rest)

    for chosen in SEEDS:
        if taken == worker.EDGES:
            break
        run_state_machine_as_test(
            seed(chosen)(worker.machine_for(Watched)),
            settings=settings(stateful_step_count=STEPS, max_examples=EXAMPLES, deadline=None),
        )

    assert taken == worker.EDGES


@pytest.mark.parametrize(
    ("machine_for", "kind"), ABLATED, ids=[_name(machine, kind) for machine, kind in ABLATED]
)
def test_model_catches(machine_for: Machine, kind: type) -> None:
    """A decision with one small defect differs from the model."""
    quick = settings(
        max_examples=EXAMPLES,
        stateful_step_count=STEPS,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],
        verbosity=Verbosity.quiet,
        report_multiple_bugs=False,
    )

    def play() -> None:
        for chosen in (SOONER.get(_name(machine_for, kind), SEEDS[0]), *SEEDS):
            run_state_machine_as_test(seed(chosen)(machine_for(kind)), settings=quick)

    with pytest.raises((AssertionError, InvalidTransitionError)):
        play()
