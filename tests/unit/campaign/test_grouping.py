"""Distinct failures: told once, by the fewest faults that explain them, and certain only when seen again."""

import pytest

from poolproof.campaign.grouping import MOST_SEEDS, Groups, unproven_kinds, verdict_of
from poolproof.campaign.tasks import Case, fingerprint
from tests.unit.campaign.data import LEFT, LOST, case, least, menu

pytestmark = pytest.mark.unit


def groups(*cases: Case) -> Groups:
    found = Groups(menu())
    for one in cases:
        found.add(one)
    return found


def names(found: Groups) -> list[tuple[str, str, int]]:
    return [(one.broken.invariant, one.fault, one.hits) for one in found.found.values()]


def test_the_same_promise_broken_in_the_same_way_by_the_same_fault_is_one_failure() -> None:
    found = groups(*(case(seed, "kill-busy", LOST) for seed in range(3)))

    assert names(found) == [("unresolved-job", "kill-busy", 3)]


@pytest.mark.parametrize(
    "other", [case(1, "kill-busy", LEFT), case(1, "kill-idle", LOST)], ids=["promise", "fault"]
)
def test_another_promise_or_another_fault_is_another_failure(other: Case) -> None:
    assert len(groups(case(0, "kill-busy", LOST), other).found) == 2


def test_only_what_was_not_known_is_new() -> None:
    found = Groups(menu())

    assert [one.fault for one in found.add(case(0, "kill-busy", LOST))] == ["kill-busy"]
    assert found.add(case(1, "kill-busy", LOST)) == []


def test_fewer_faults_that_break_the_same_explain_more_of_them() -> None:
    found = groups(case(0, "kill-busy", LOST), case(1, "kill-busy+one-core", LOST))

    assert names(found) == [("unresolved-job", "kill-busy", 2)]


def test_they_do_so_too_when_they_are_seen_later() -> None:
    found = groups(case(0, "kill-busy+one-core", LOST), case(1, "kill-busy", LOST))

    assert names(found) == [("unresolved-job", "kill-busy", 2)]
    assert next(iter(found.found.values())).seeds == [0, 1]


def test_what_is_left_of_a_plan_may_be_a_failure_that_is_known() -> None:
    found = groups(case(0, "kill-idle+one-core", LOST), case(1, "kill-busy", LOST))
    found.cut(least(fingerprint(LOST, "kill-idle+one-core"), "kill-busy"), "kill-busy")

    assert names(found) == [("unresolved-job", "kill-busy", 2)]


def test_what_was_seen_once_and_never_again_is_unknown() -> None:
    found = groups(case(0, "kill-busy", LOST))
    one = next(iter(found.found.values()))
    verdicts = [one.verdict]
    for again in (0, 1):
        found.cut(least(one.fingerprint, "kill-busy", again=again), "kill-busy")
        verdicts.append(one.verdict)

    assert verdicts == ["unknown", "unknown", "invalid"]


def test_crash_points_are_told_by_the_name_that_people_know() -> None:
    struck = [
        case(n, "crash-point:kill", LOST, point=f"/lib/pool.py:{10 + n % 2}") for n in range(4)
    ]

    assert next(iter(groups(*struck).found.values())).points == ["pool.py:10", "pool.py:11"]


def test_not_all_seeds_are_kept() -> None:
    found = groups(*(case(seed, "kill-busy", LOST) for seed in range(50)))
    one = next(iter(found.found.values()))

    assert (one.hits, len(one.seeds)) == (50, MOST_SEEDS)


def test_the_verdict_is_that_of_the_failures_and_of_what_was_proven() -> None:
    sound, vacuous = case(0), case(1, verdict="unknown")
    broken = [case(2, "kill-busy", LOST), case(3, "kill-busy", LOST)]

    assert verdict_of(groups(sound, vacuous), [sound, vacuous], 2) == "valid"
    assert verdict_of(groups(vacuous), [vacuous], 1) == "unknown"
    assert verdict_of(groups(sound, *broken), [sound, *broken], 3) == "invalid"
    assert verdict_of(groups(sound, broken[0]), [sound, broken[0]], 2) == "unknown"


def test_a_campaign_that_was_not_played_to_its_end_is_not_valid() -> None:
    assert verdict_of(groups(case(0)), [case(0)], 2) == "unknown"
    assert verdict_of(groups(), [], 2) == "unknown"


def test_a_kind_of_fault_of_which_nothing_was_told_leaves_it_unknown() -> None:
    silent = case(1, "one-core+kill-busy", verdict="unknown")
    played = [case(0), silent]

    assert unproven_kinds(played) == ("one-core",)
    assert verdict_of(groups(*played), played, 2) == "unknown"
    told = [*played, case(2, "one-core")]
    assert verdict_of(groups(*told), told, 3) == "valid"


def test_what_is_broken_unharmed_was_seen_twice_and_has_no_seed() -> None:
    found = groups()
    found.unharmed([LOST])
    one = next(iter(found.found.values()))

    assert (one.fault, one.verdict, one.seeds) == ("none", "invalid", [])
