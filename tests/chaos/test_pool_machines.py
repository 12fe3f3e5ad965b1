"""The pool machine: our stacks keep their promises, and one pool of the standard library does not."""

import pytest
from hypothesis import Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from poolproof.stateful import BrokenPromiseError, pool_state_machine
from tests.unit.stateful.rules import all_taken
from tests.unit.stateful.toy import invariants

pytestmark = [pytest.mark.chaos, pytest.mark.hypothesis]

# As many examples as the profile says: 40, or a campaign's 1,000.
PROFILE = settings(stateful_step_count=20, deadline=None)
CI = settings(PROFILE, max_examples=40, derandomize=True, database=None)


@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    ("layer", "impossible"), [("mock", frozenset({"spoil"})), ("bridge_mock", frozenset[str]())]
)
def test_our_stack_keeps_its_promises_in_virtual_time(
    layer: str, impossible: frozenset[str]
) -> None:
    machine = pool_state_machine("stack", layer=layer)
    with all_taken(machine, but=impossible):
        run_state_machine_as_test(machine, settings=PROFILE)


@pytest.mark.timeout(1800)
def test_our_stack_of_processes_keeps_its_promises() -> None:
    """A tenth of the examples: each starts processes."""
    machine = pool_state_machine("stack", layer="full")
    few = settings(PROFILE, max_examples=settings().max_examples // 10, stateful_step_count=8)

    run_state_machine_as_test(machine, settings=few)


def test_threads_keep_their_promises() -> None:
    machine = pool_state_machine("concurrent.futures.ThreadPoolExecutor")
    try:
        run_state_machine_as_test(machine, settings=settings(CI, max_examples=4))
    finally:
        machine.release()


@pytest.mark.timeout(120)
def test_a_pool_that_stops_for_good_is_accused_of_it() -> None:
    machine = pool_state_machine("multiprocessing.Pool")
    search = settings(
        CI, phases=[Phase.generate], stateful_step_count=6, report_multiple_bugs=False
    )
    try:
        # Real processes do not take the same turns twice: Hypothesis may call it flaky, and shows what it saw.
        with pytest.raises((BrokenPromiseError, ExceptionGroup)) as caught:
            run_state_machine_as_test(machine, settings=search)
    finally:
        machine.release()

    assert invariants(caught.value) & {"unresolved-job", "no-recovery", "shutdown-hang"}
