"""A fallback is declared, goes down, and is seen."""

from itertools import product

import pytest

from poolproof.errors import UsageError
from poolproof.pool.failover import DESCENT, Failover, Fallback, Step, refusal

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(("origin", "target"), list(product(DESCENT, DESCENT)))
def test_every_ordered_pair_of_layers_goes_down_or_is_refused(origin: str, target: str) -> None:
    down = DESCENT.index(target) > DESCENT.index(origin)

    assert (refusal(Step(origin, 2), Step(target, 2)) is None) == down


def test_one_worker_instead_of_many_is_a_step_down() -> None:
    assert refusal(Step("full", 4), Step("full", 1)) is None
    assert refusal(Step("full", 1), Step("full", 4))


def test_refused_fallback_is_named() -> None:
    with pytest.raises(UsageError, match=r"got one from 2 on mock to 2 on full; "):
        Failover([Step("mock", 2), Step("full", 2)])


def test_unknown_layer_is_refused() -> None:
    with pytest.raises(
        UsageError, match=r"^expected a layer among full, bridge_mock, mock, got 'm'$"
    ):
        Failover([Step("full", 2), Step("m", 2)])


def test_way_without_a_step_is_refused() -> None:
    with pytest.raises(UsageError, match=r"got no step$"):
        Failover([])


def test_fallback_is_recorded_and_what_it_answers_is_not_as_asked() -> None:
    """The plan's own fail-over to the mock was reported as success."""
    failover = Failover([Step("full", 4), Step("full", 1), Step("mock", 1)])
    assert failover.as_asked

    first = failover.fall("no worker starts", now_ns=3)
    second = failover.fall("nor does one", now_ns=5)

    assert first == Fallback(Step("full", 4), Step("full", 1), "no worker starts", 3)
    assert failover.fallbacks == [first, second]
    assert failover.step == Step("mock", 1)
    assert not failover.as_asked


def test_without_a_declared_step_there_is_no_fallback() -> None:
    failover = Failover([Step("full", 4)])

    assert failover.fall("no worker starts", now_ns=3) is None
    assert failover.as_asked
