"""A campaign's directory: whatever ended it, what was played is there, and only the same campaign goes on in it."""

from pathlib import Path

import pytest

from poolproof.campaign.kept import CASES, HEAD, Head, Kept
from poolproof.campaign.tasks import Sighting
from poolproof.errors import UsageError
from tests.unit.campaign.data import LOST, TARGET, case, least, menu, plan

pytestmark = pytest.mark.unit


def test_a_line_that_was_cut_off_costs_that_seed_only(tmp_path: Path) -> None:
    kept = Kept(tmp_path)
    kept.add(case(1))
    kept.add(case(2))
    whole = (tmp_path / CASES).read_bytes()
    (tmp_path / CASES).write_bytes(whole[:-20])
    kept.add(case(3))

    assert [one.seed for one in kept.cases()] == [1, 3]


def test_nothing_is_kept_yet_in_a_new_directory(tmp_path: Path) -> None:
    assert Kept(tmp_path).head() is None
    assert list(Kept(tmp_path).cases()) == []
    assert Kept(tmp_path).least("any") is None


def test_what_was_begun_is_read_again(tmp_path: Path) -> None:
    head = Head(target=TARGET, menu=menu(broken=(LOST,)), faults=("kill-busy",), effects=("kill",))
    Kept(tmp_path).begin(head)

    assert Kept(tmp_path).head() == head


@pytest.mark.parametrize("text", ["", "{}", '{"menu": 3}', "\xff"])
def test_what_is_no_campaign_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / HEAD).write_bytes(text.encode("latin-1"))

    with pytest.raises(UsageError, match="expected a campaign in"):
        Kept(tmp_path).head()


def test_another_version_is_refused(tmp_path: Path) -> None:
    Kept(tmp_path).begin(Head(target=TARGET, menu=menu(), faults=(), effects=(), schema=99))

    with pytest.raises(UsageError, match=r"schema 1 in .*, got 99; give another --out"):
        Kept(tmp_path).head()


def test_a_failure_has_its_plan_as_found_and_as_cut(tmp_path: Path) -> None:
    kept = Kept(tmp_path)
    kept.saw(Sighting(seed=1, fingerprint="a b", plan=plan("kill-busy", jobs=4), history="{}\n"))
    assert kept.plan("a b") == plan("kill-busy", jobs=4)
    assert kept.plan("a-b") is None, "names alike in words are not the same failure"

    kept.cut(least("a b", "kill-busy"))
    assert kept.least("a b") == least("a b", "kill-busy")
    assert kept.plan_path("a b").exists()
