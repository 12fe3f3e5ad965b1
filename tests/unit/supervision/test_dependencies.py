"""Declared dependencies give the start order."""

import pytest

from poolproof.supervision import ChildSpec, SpecError
from poolproof.supervision.dependencies import start_order

pytestmark = pytest.mark.unit


async def worker() -> None:
    """Do nothing."""


def child(name: str, *requires: str) -> ChildSpec:
    return ChildSpec(id=name, start=worker, requires=requires)


def order(*children: ChildSpec) -> list[object]:
    return [spec.id for spec in start_order(children)]


def test_given_order_is_kept_where_nothing_is_required() -> None:
    assert order(child("c"), child("a"), child("b")) == ["c", "a", "b"]


def test_required_children_come_first() -> None:
    assert order(
        child("pool", "registry", "breaker"), child("breaker", "registry"), child("registry")
    ) == [
        "registry",
        "breaker",
        "pool",
    ]


def test_long_chain_needs_no_stack() -> None:
    chain = [child(str(number), str(number + 1)) for number in range(5000)]

    assert order(*chain, child("5000"))[0] == "5000"


@pytest.mark.parametrize(
    ("children", "cycle"),
    [
        ((child("a", "b"), child("b", "c"), child("c", "a")), "'a' -> 'b' -> 'c' -> 'a'"),
        ((child("a", "a"),), "'a' -> 'a'"),
        ((child("x", "a"), child("a", "b"), child("b", "a")), "'a' -> 'b' -> 'a'"),
    ],
)
def test_cycle_is_named(children: tuple[ChildSpec, ...], cycle: str) -> None:
    with pytest.raises(SpecError) as refused:
        start_order(children)

    assert [problem.got for problem in refused.value.problems] == [cycle]


def test_two_ways_to_the_same_child_are_no_cycle() -> None:
    assert (
        order(child("top", "l", "r"), child("l", "base"), child("r", "base"), child("base"))[0]
        == "base"
    )


def test_unknown_sibling_is_named() -> None:
    with pytest.raises(SpecError, match=r"expected siblings \('b'\), got 'x'"):
        start_order([child("a", "x"), child("b")])
