"""Each planted race is found, shrunk to at most five deviations of which none can go, and fails ten times of ten."""

import pytest

from poolproof.chaos.orders import FEW, search, shrink_order
from tests.chaos.races.corpus import BROKEN, Race

pytestmark = pytest.mark.chaos


@pytest.mark.parametrize("race", BROKEN, ids=lambda race: race.name)
def test_a_race_shrinks_to_a_few_deviations(race: Race) -> None:
    found = search(race.play, wanted=race.is_found)
    assert found is not None
    shrunk = shrink_order(race.play, found.played)

    assert len(shrunk.plan.deviations) <= FEW
    assert shrunk.one_minimal
    assert shrunk.confirmed
