"""The supervisor and its model do the same, whatever happens.

And every ablated supervisor is told from them.
"""

import os
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, Verbosity, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from poolproof.supervision import restart
from tests.chaos.supervision.machine import machine_for
from tests.chaos.supervision.zoo import ZOO, Decide
from tests.unit.stateful.rules import all_taken

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(1800)]

# 80, or a campaign's 1,000: the profile's, or twice as many in CI.
EXAMPLES = int(os.environ.get("POOLPROOF_MACHINE_EXAMPLES", max(80, settings().max_examples)))
ZOO_EXAMPLES = 3000

caught: list[str] = []


def profile(examples: int, **more: Any) -> settings:
    """Return settings of a run: many steps, nothing saved, no time limit for one example."""
    return settings(
        max_examples=examples,
        stateful_step_count=20,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        **more,
    )


@pytest.mark.hypothesis
def test_supervisor_does_what_its_model_does() -> None:
    """No rule, in any order, makes a difference; and each is taken."""
    machine = machine_for(restart.decide)
    with all_taken(machine):
        run_state_machine_as_test(seed(1)(machine), settings=profile(EXAMPLES))


@pytest.fixture(scope="module", autouse=True)
def _share_of_the_zoo(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    terminal = request.config.pluginmanager.get_plugin("terminalreporter")
    if terminal is not None:
        terminal.write_line(
            f"\nzoo of supervisors: {len(caught)} of {len(ZOO)} caught by the machine"
        )


@pytest.mark.parametrize("ablated", ZOO, ids=lambda decide: decide.__name__)
def test_machine_catches(ablated: Decide) -> None:
    """A supervisor with one ablation differs from the model."""
    quick = profile(
        ZOO_EXAMPLES, phases=[Phase.generate], verbosity=Verbosity.quiet, report_multiple_bugs=False
    )

    with pytest.raises(AssertionError):
        run_state_machine_as_test(seed(1)(machine_for(ablated)), settings=quick)

    caught.append(ablated.__name__)
