"""What is claimed beside what is kept."""

from typing import Any

import pytest

from poolproof.chaos.keeping import Kept, kept
from poolproof.chaos.result import Entry
from poolproof.checkers import CHECKERS, Verdict

pytestmark = pytest.mark.unit


def row(invariant: str, verdict: Verdict, fault: str = "kill-busy") -> Entry:
    return Entry(invariant=invariant, verdict=verdict, fault=fault)


def line(invariant: str, *rows: Entry, **promises: Any) -> Kept:
    return next(one for one in kept(rows, promises) if one.invariant == invariant)


def test_there_is_a_line_for_each_invariant_and_what_nobody_claims_comes_last() -> None:
    lines = kept((), {})

    assert {one.invariant for one in lines} == set(CHECKERS)
    assert [one.claimed for one in lines] == sorted(
        (one.claimed for one in lines), key=lambda claimed: claimed == "no"
    )


def test_what_every_pool_is_held_to_needs_no_declaration() -> None:
    found = line("unresolved-job", row("unresolved-job", "valid"), row("unresolved-job", "invalid"))

    assert found == Kept("unresolved-job", "of every pool", "invalid", ("kill-busy",))


def test_each_fault_that_breaks_it_is_named_once() -> None:
    rows = [row("leak", "invalid", fault) for fault in ("kill-all", "kill-idle", "kill-all")]

    assert line("leak", *rows).under == ("kill-all", "kill-idle")


@pytest.mark.parametrize(
    ("promises", "claimed"),
    [
        ({}, "no"),
        ({"at-most-once": False}, "no"),
        ({"at-most-once": True}, "declared"),
    ],
)
def test_a_promise_is_claimed_where_it_is_declared(promises: dict[str, Any], claimed: str) -> None:
    assert line("at-most-once", **promises).claimed == claimed


def test_the_number_that_is_promised_is_told_and_none_is_a_number_too() -> None:
    assert line("retries", retries=0).claimed == "declared: retries=0"


def test_a_declared_weakness_is_told_with_what_shows_it() -> None:
    found = line(
        "orphan", row("orphan", "by contract", "owner-killed"), contract={"orphan": "they stay"}
    )

    assert found == Kept("orphan", "declared not to be kept", "by contract", ("owner-killed",))


def test_what_was_never_judged_tells_nothing() -> None:
    assert line("starvation").verdict == "not applicable"
