"""Every planted bug is found by the simulation and shrinks to few deviations; nothing sound is accused."""

import functools
import os
from typing import Any, Final

import pytest

from poolproof.chaos.orders import FEW, FoundOrder, search, shrink_order
from poolproof.simulation import POLICIES, Schedule
from tests.chaos.races.corpus import BROKEN, SEARCHED, SOUND, Race

pytestmark = pytest.mark.chaos

MAX_CHANGED_LINES: Final = 10
SOUND_SEEDS: Final = int(os.environ.get("POOLPROOF_RACE_SEEDS", "15"))  # campaign_races.sh: 1,000

each_bug = pytest.mark.parametrize("race", BROKEN, ids=lambda race: race.name)


def test_the_corpus_has_a_dozen_bugs_of_many_kinds() -> None:
    assert len(BROKEN) >= 12
    assert len({race.invariant for race in BROKEN}) >= 12


@functools.cache
def found(race: Race) -> FoundOrder | None:
    return search(race.play, wanted=race.is_found)


@each_bug
def test_it_is_found_and_its_sparse_deviations_show_it_again(race: Race) -> None:
    order = found(race)

    assert order is not None
    again = race.play(order.played.lifted)
    assert race.is_found(again)
    assert again.trace == order.played.trace


@each_bug
def test_it_shrinks_to_a_few_deviations_of_which_none_can_go(race: Race) -> None:
    order = found(race)
    assert order is not None
    shrunk = shrink_order(race.play, order.played)

    assert len(shrunk.plan.deviations) <= FEW
    assert shrunk.one_minimal
    assert shrunk.confirmed


@each_bug
def test_it_is_a_small_difference(race: Race) -> None:
    assert 1 <= race.changed_lines <= MAX_CHANGED_LINES


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("race", SOUND, ids=lambda race: race.name)
def test_a_sound_pool_is_not_accused(race: Race, policy: Any) -> None:
    for seed in range(SOUND_SEEDS if policy in SEARCHED else 1):
        played = race.play(Schedule(policy=policy, seed=seed, length=100))

        assert played.error is None, (seed, played.error)
