"""The pool machine: it accuses each broken toy of what it breaks, and the sound one of nothing."""

import pytest
from hypothesis import Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from poolproof.errors import UsageError
from poolproof.stateful import BrokenPromiseError, pool_state_machine
from tests.unit.stateful.toy import ABLATIONS, LosesTheJobOfTheDead, Toy, invariants

pytestmark = [pytest.mark.integration, pytest.mark.hypothesis]

SEARCH = settings(
    max_examples=200,
    stateful_step_count=12,
    database=None,
    derandomize=True,
    phases=[Phase.generate],
    deadline=None,
)


@pytest.mark.parametrize("toy", ABLATIONS, ids=lambda toy: toy.__name__)
def test_a_broken_pool_is_accused_of_what_it_breaks(toy: type[Toy]) -> None:
    with pytest.raises((BrokenPromiseError, ExceptionGroup)) as caught:
        run_state_machine_as_test(pool_state_machine(toy), settings=SEARCH)

    assert toy.breaks in invariants(caught.value)


def test_a_sound_pool_is_accused_of_nothing() -> None:
    run_state_machine_as_test(pool_state_machine(Toy), settings=settings(SEARCH, max_examples=100))


class LosesTheJobOfItsOnlyWorker(LosesTheJobOfTheDead):
    """Of two, who has the job hangs on how many were killed before: such kills do not shrink one by one."""

    async def open(self) -> None:
        self.start(0)


def shrunk(seeded: int) -> tuple[int, int]:
    """Return how many jobs and how many kills are left of a failure that was found with a seed."""
    machine = seed(seeded)(pool_state_machine(LosesTheJobOfItsOnlyWorker, workers=1))
    with pytest.raises(BrokenPromiseError) as caught:
        run_state_machine_as_test(
            machine, settings=settings(SEARCH, phases=[Phase.generate, Phase.shrink])
        )
    told = "\n".join(caught.value.__notes__)
    return told.count("state.submit()"), told.count("state.kill(")


def test_a_failure_shrinks_to_the_few_rules_that_it_needs() -> None:
    """With one of a dozen seeds, of which two or three suffice.

    The rules that Hypothesis switches off at random are drawn in the first step that meets them, which holds that
    step fast in about a third of the seeds. Which ones they are hangs on the modules that happen to be imported, whose
    constants it draws from.
    """
    assert any(shrunk(seeded) == (1, 1) for seeded in range(12))


def test_a_frame_that_was_lost_is_missed_before_recovery_is_required() -> None:
    """The only frame in half a minute is the answer to a heartbeat; then everything is healed."""
    state = pool_state_machine("stack", layer="bridge_mock")()
    for seconds in (10, 10, 7):
        state.let_time_pass(seconds)
    state.spoil(how="drop", worker=0)
    state.let_time_pass(4)

    state.teardown()


def test_a_layer_that_does_not_exist_is_refused() -> None:
    with pytest.raises(
        UsageError, match="layer: expected one of mock, bridge_mock, full, got 'moc'"
    ):
        pool_state_machine("stack", layer="moc")


def test_three_lines_are_a_test() -> None:
    case = pool_state_machine(Toy).TestCase("runTest")
    case.settings = settings(SEARCH, max_examples=5, deadline=1)

    case.debug()

    assert case.settings.deadline is None
