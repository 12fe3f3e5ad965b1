"""Shrinking: what is left fails in the same way, and nothing can be taken from it."""

from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poolproof.chaos.shrink import CONFIRMATIONS, Cut, each_lower, fewer, lower, shrink

pytestmark = pytest.mark.unit

Items = tuple[int, ...]
FEWER: Cut[Items] = Cut("items", fewer)
LOWER: Cut[Items] = Cut("values", lambda left: each_lower(left, lambda item: lower(item, 0)))


def items(*numbers: int) -> Items:
    return numbers


def failing(*needed: int) -> Callable[[Items], Items | None]:
    return lambda items: items if set(needed) <= set(items) else None


def test_only_what_is_needed_is_left() -> None:
    plan = items(*range(100))
    shrunk = shrink(plan, failing(3, 50, 99), [FEWER])

    assert shrunk.plan == (3, 50, 99)
    assert shrunk.one_minimal


@pytest.mark.hypothesis
@given(st.sets(st.integers(0, 60)), st.data())
def test_what_is_left_is_one_minimal_whatever_is_needed(
    items: set[int], data: st.DataObject
) -> None:
    groups = data.draw(st.lists(st.sets(st.sampled_from(sorted(items)) if items else st.nothing())))

    def fails(left: Items) -> Items | None:
        return left if any(group <= set(left) for group in groups) or not groups else None

    shrunk = shrink(tuple(sorted(items)), fails, [FEWER])

    assert fails(shrunk.plan) is not None or fails(tuple(sorted(items))) is None
    if fails(tuple(sorted(items))) is not None:
        for index in range(len(shrunk.plan)):
            assert fails((*shrunk.plan[:index], *shrunk.plan[index + 1 :])) is None


def test_values_go_down_to_the_least_that_fails() -> None:
    plan = items(40, 7)
    shrunk = shrink(plan, lambda left: left if max(left, default=0) >= 5 else None, [FEWER, LOWER])

    assert shrunk.plan == (5,)


def test_cuts_come_in_their_order() -> None:
    tried: list[str] = []

    def told(name: str) -> Cut[Items]:
        def smaller(items: Items) -> Iterator[Items]:
            tried.append(name)
            yield from fewer(items)

        return Cut(name, smaller)

    plan = items(1, 2)
    shrink(plan, failing(1), [told("faults"), told("jobs")])

    assert tried[0] == "faults"
    assert "jobs" in tried


def test_what_was_really_played_is_what_goes_on() -> None:
    plan = items(5, 5)
    shrunk = shrink(plan, lambda left: left[:1] if left else None, [LOWER])

    assert shrunk.plan == (0,)


def test_without_runs_left_it_is_not_said_to_be_minimal() -> None:
    plan = items(*range(100))
    shrunk = shrink(plan, failing(99), [FEWER], most_runs=2)

    assert (shrunk.runs, shrunk.one_minimal) == (2, False)
    assert 99 in shrunk.plan


def test_one_that_fails_only_sometimes_is_not_confirmed() -> None:
    turns = iter([True, False] * CONFIRMATIONS)
    plan = items()
    shrunk = shrink(plan, lambda left: left if next(turns) else None, [FEWER])

    assert not shrunk.confirmed
    assert shrunk.again == CONFIRMATIONS // 2


def test_lower_numbers_begin_with_the_least() -> None:
    assert list(lower(10, 0)) == [0, 5, 9]
    assert list(lower(1, 0)) == [0]
    assert list(lower(0, 0)) == []
