"""Each decision does what its model does, whatever happens; and each ablated one is told from it."""

from collections.abc import Callable
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, Phase, Verbosity, seed, settings
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test

from poolproof.pool.affinity import Affinity
from poolproof.pool.circuit_breaker import CircuitBreaker
from poolproof.pool.queueing import Line
from poolproof.pool.worker import InvalidTransitionError, Worker
from tests.unit.pool.models import balance, breaker, line, sessions, worker

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
MOST_EXAMPLES: Final = 1000
STEPS: Final = 25


@pytest.mark.parametrize(("machine_for", "kind"), SOUND, ids=[kind.__name__ for _, kind in SOUND])
def test_no_order_of_events_tells_it_from_its_model(machine_for: Machine, kind: type) -> None:
    """As many examples as the profile says: 100, or a campaign's 1,000."""
    run_state_machine_as_test(
        machine_for(kind),
        settings=settings(
            stateful_step_count=STEPS,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


@pytest.mark.parametrize(
    ("machine_for", "kind"),
    ABLATED,
    ids=[f"{machine.__module__.rpartition('.')[2]}-{kind.__name__}" for machine, kind in ABLATED],
)
@pytest.mark.usefixtures("all_rules")
def test_model_catches(machine_for: Machine, kind: type) -> None:
    """A decision with one small defect differs from the model."""
    quick = settings(
        max_examples=MOST_EXAMPLES,
        stateful_step_count=STEPS,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],
        verbosity=Verbosity.quiet,
        report_multiple_bugs=False,
    )

    with pytest.raises((AssertionError, InvalidTransitionError)):
        run_state_machine_as_test(seed(1)(machine_for(kind)), settings=quick)
