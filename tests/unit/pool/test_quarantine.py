"""A job that ends its workers is found, and no innocent one with it."""

import pytest

from poolproof.pool.quarantine import Quarantine

pytestmark = pytest.mark.unit


def test_job_is_poison_from_its_third_death_on() -> None:
    quarantine = Quarantine()

    assert [quarantine.died("job") for _ in range(4)] == [False, False, True, True]
    assert "job" in quarantine
    assert len(quarantine) == 1


def test_job_that_comes_to_its_end_is_no_suspect_any_more() -> None:
    quarantine = Quarantine(deaths=2)
    quarantine.died("job")
    quarantine.survived("job")

    assert not quarantine.died("job")


def test_other_jobs_deaths_are_not_counted() -> None:
    quarantine = Quarantine(deaths=2)
    quarantine.died("one")

    assert not quarantine.died("other")
    assert "other" not in quarantine


def test_released_job_begins_without_a_stain() -> None:
    quarantine = Quarantine(deaths=2)
    quarantine.died("job")
    quarantine.died("job")

    assert quarantine.release("job")
    assert not quarantine.release("job")
    assert "job" not in quarantine
    assert not quarantine.died("job")


def test_memory_is_bounded_and_suspects_go_before_convicts() -> None:
    quarantine = Quarantine(deaths=2, memory=3)
    quarantine.died("poison")
    quarantine.died("poison")
    for suspect in range(100):
        quarantine.died(suspect)

    assert "poison" in quarantine
    assert quarantine.forgotten == 98


def test_when_all_are_convicts_the_oldest_is_forgotten() -> None:
    quarantine = Quarantine(deaths=1, memory=2)
    for poison in "abc":
        quarantine.died(poison)

    assert ["a" in quarantine, "b" in quarantine, "c" in quarantine] == [False, True, True]
