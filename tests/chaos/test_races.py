"""Every concurrency bug of the corpus is found by the schedules of the simulation; nothing sound is accused."""

import os
from typing import Any, Final

import pytest

from poolproof.simulation import POLICIES, Schedule
from tests.chaos.races.corpus import BROKEN, SEARCHED, SOUND, Race, search

pytestmark = pytest.mark.chaos

MOST_SEEDS: Final = 1000
MAX_CHANGED_LINES: Final = 10
SOUND_SEEDS: Final = int(os.environ.get("POOLPROOF_RACE_SEEDS", "50"))  # campaign_races.sh: 1,000

each_bug = pytest.mark.parametrize("race", BROKEN, ids=lambda race: race.name)


def test_the_corpus_has_a_dozen_bugs_of_many_kinds() -> None:
    assert len(BROKEN) >= 12
    assert len({race.invariant for race in BROKEN}) >= 12


@each_bug
def test_it_is_found_and_its_sparse_deviations_show_it_again(race: Race) -> None:
    searched = search(race, SEARCHED, most=MOST_SEEDS)

    assert searched.found
    again = race.play(searched.found.lifted)
    assert race.is_found(again)
    assert again.trace == searched.found.trace


@each_bug
def test_it_is_a_small_difference(race: Race) -> None:
    assert 1 <= race.changed_lines <= MAX_CHANGED_LINES


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("race", SOUND, ids=lambda race: race.name)
def test_a_sound_pool_is_not_accused(race: Race, policy: Any) -> None:
    for seed in range(SOUND_SEEDS if policy in SEARCHED else 1):
        played = race.play(Schedule(policy=policy, seed=seed, length=100))

        assert played.error is None, (seed, played.error)
