"""The curve of recovery of a play, from facts made by hand: what is seen, from when it is counted, at which pace."""

from collections.abc import Iterable

import pytest

from poolproof.load.recovery import Curve
from poolproof.scenarios.curving import curve_of, goodput
from poolproof.scenarios.data import Deed, Load, Scenario, Step
from poolproof.scenarios.facts import Facts, JobFacts

pytestmark = pytest.mark.unit

SECONDS = 20
RATE = 100
SCENARIO = Scenario(name="by-hand", workers=2, steps=(Step(do="kill"),), load=Load(seconds=SECONDS))


def facts(
    *deeds: tuple[float, Deed],
    gap: tuple[float, float] = (0.0, 0.0),
    heals: Iterable[float] = (),
    pace: float = 1.0,
    began: float = 1000.0,
) -> Facts:
    """A play of 100 answers a second, none in the gap; times are the scenario's."""
    found = Facts(wanted=2, began=began, recovery_seconds=0.5)
    for number in range(SECONDS * RATE):
        ended = number / RATE
        if not gap[0] <= ended < gap[1]:
            found.jobs[number] = job(number, began + ended * pace)
    found.living = ((began, 2),)
    found.over = began + SECONDS * pace
    found.deeds = [(began + at * pace, deed) for at, deed in deeds]
    found.heals = [began + at * pace for at in heals]
    return found


def job(number: int, ended: float) -> JobFacts:
    return JobFacts(number=number, role="load", asked=ended, ended=ended, ok=True, right=True)


def curve(found: Facts, pace: float = 1.0) -> Curve:
    told = curve_of(SCENARIO, found, pace)
    assert told is not None
    return told


def test_a_gap_is_a_dip_as_deep_and_as_long() -> None:
    told = curve(facts((5, "kill"), gap=(5, 7), heals=(21,)))

    assert (told.fault, told.at_ms, told.heal_ms) == ("by-hand", 5_000, None)
    assert told.depth == 1.0
    assert told.dip_ms == told.repaired_ms == pytest.approx(2_000, abs=told.slice_ms)


def test_without_a_gap_there_is_no_dip() -> None:
    told = curve(facts((5, "kill"), heals=(21,)))

    assert (told.depth, told.dip_ms, told.repaired_ms) == (0.0, 0.0, 0.0)


def test_the_first_that_fails_tells_of_it() -> None:
    found = facts((5, "kill"), heals=(21,))
    found.jobs[9_999] = JobFacts(
        number=9_999, role="load", asked=1004.0, ended=1005.25, error="WorkerDiedError"
    )

    assert curve(found).detected_ms == pytest.approx(250)


def test_a_worker_in_the_place_of_a_dead_one_tells_of_it_too() -> None:
    found = facts((5, "kill"), heals=(21,))
    found.born = (1001.0, 1005.5)

    assert curve(found).detected_ms == pytest.approx(500)


def test_missing_workers_are_not_back_to_normal() -> None:
    found = facts((5, "kill"), heals=(21,))
    found.living = ((1000.0, 2), (1005.0, 1), (1008.0, 2))

    assert curve(found).repaired_ms == pytest.approx(3_000)


def test_of_several_deeds_the_repair_counts_from_the_last() -> None:
    told = curve(facts((5, "kill"), (6, "kill"), gap=(5, 8), heals=(21,)))

    assert (told.at_ms, told.heal_ms) == (5_000, 6_000)
    assert told.repaired_ms == pytest.approx(2_000, abs=told.slice_ms)


def test_of_what_lasts_it_counts_from_when_that_is_undone() -> None:
    told = curve(facts((5, "pause"), gap=(5, 11), heals=(9, 21)))

    assert told.heal_ms == 9_000
    assert told.repaired_ms == pytest.approx(2_000, abs=told.slice_ms)


def test_what_is_undone_after_the_load_is_repaired_when_the_pool_is_steady() -> None:
    told = curve(facts((5, "pause"), gap=(5, 20), heals=(21,)))

    assert (told.heal_ms, told.repaired_ms) == (21_000, 500)


def test_at_a_tenth_of_the_pace_everything_lasts_a_tenth() -> None:
    told = curve(facts((5, "kill"), gap=(5, 7), heals=(21,), pace=0.1), pace=0.1)

    assert told.at_ms == pytest.approx(500)
    assert told.dip_ms == told.repaired_ms == pytest.approx(200, abs=told.slice_ms)
    assert told.slice_ms < 50


@pytest.mark.parametrize("nothing", ["deeds", "jobs"])
def test_where_nothing_was_done_or_asked_there_is_no_curve(nothing: str) -> None:
    found = facts((5, "kill"), heals=(21,))
    getattr(found, nothing).clear()

    assert curve_of(SCENARIO, found, 1.0) is None


@pytest.mark.parametrize("pace", [1.0, 0.1])
def test_goodput_is_every_right_answer_in_slices(pace: float) -> None:
    found = facts((5, "kill"), gap=(5, 7), heals=(21,), pace=pace)
    told = goodput(found, pace, curve(found, pace))

    assert sum(told) == (SECONDS - 2) * RATE
    assert told.count(0) == pytest.approx(2_000 * pace / curve(found, pace).slice_ms, abs=1)
