"""What the pool was doing when it was hit, read from the history."""

import pytest

from poolproof.campaign.states import STATES, state_when_hit
from tests.unit.checkers.histories import ONE, TWO, History

pytestmark = pytest.mark.unit


def serving() -> History:
    return History("kill-busy").start()


def histories() -> dict[str, History]:
    two_run = serving().submit(1, 2).begun(1, ONE).begun(2, TWO)
    return {
        "starting": History("kill-busy").write("invoke", op="start"),
        "idle": serving().done(1, 2),
        "some work": serving().submit(1).begun(1),
        "all work": serving().submit(1, 2).begun(1, ONE).begun(2, TWO),
        "all work, jobs wait": two_run.submit(3),
        "jobs wait": serving().submit(1, 2),
        "stopping": serving().submit(1).begun(1).write("invoke", op="stop"),
    }


@pytest.mark.parametrize("state", STATES)
def test_the_state_is_that_of_the_moment(state: str) -> None:
    history = histories()[state].hit(ONE)
    later = history.done(7, 8)

    assert state_when_hit(later.trial()) == state


def test_a_job_that_was_refused_does_not_wait() -> None:
    assert state_when_hit(serving().refuse(1).hit(ONE).trial()) == "idle"


def test_a_strike_counts_as_the_hit() -> None:
    assert state_when_hit(serving().submit(1).strike(ONE).trial()) == "jobs wait"


def test_without_a_hit_there_is_no_state() -> None:
    assert state_when_hit(serving().done(1).trial()) == ""
