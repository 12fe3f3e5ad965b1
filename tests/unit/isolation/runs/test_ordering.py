"""The order of tests as data: shuffled, grouped, saved and read."""

from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poolproof.isolation.runs import ordering
from poolproof.isolation.runs.ordering import Order

pytestmark = pytest.mark.unit


def item(nodeid: str) -> Any:
    return SimpleNamespace(nodeid=nodeid)


ITEMS = [
    item(f"{module}.py::{owner}test_{number}")
    for module in "abc"
    for owner in ("", "TestX::", "TestY::")
    for number in range(4)
]


@given(st.integers(0, 2**32))
def test_a_shuffle_keeps_every_test_and_keeps_modules_and_classes_together(seed: int) -> None:
    mixed = [each.nodeid for each in ordering.shuffled(ITEMS, seed)]

    assert sorted(mixed) == sorted(each.nodeid for each in ITEMS)
    groups = [ordering.place(nodeid) for nodeid in mixed]
    assert len(dict.fromkeys(groups)) == 1 + sum(a != b for a, b in pairwise(groups))
    modules = [module for module, _ in groups]
    assert len(set(modules)) == 1 + sum(a != b for a, b in pairwise(modules))


def test_a_seed_is_an_order_and_seeds_differ() -> None:
    orders = {tuple(e.nodeid for e in ordering.shuffled(ITEMS, seed)) for seed in (1, 1, 2, 3)}

    assert len(orders) == 3


@pytest.mark.parametrize(
    ("nodeid", "place"),
    [
        ("a/b.py::test", ("a/b.py", "")),
        ("a/b.py::A::B::test", ("a/b.py", "A::B")),
        ("a/b.py::test[x::y]", ("a/b.py", "")),
    ],
)
def test_a_name_tells_module_and_class(nodeid: str, place: tuple[str, str]) -> None:
    assert ordering.place(nodeid) == place


def test_an_order_is_read_as_it_was_saved(tmp_path: Path) -> None:
    order = Order(tests=("b", "a"), seed=3, apart="test", watch="a", state="s.json")
    order.save(tmp_path / "order.json")

    assert ordering.load(str(tmp_path / "order.json")) == order


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"tests": 1}', '{"tests": null, "sed": 1}'])
def test_what_is_no_order_is_refused(content: str, tmp_path: Path) -> None:
    (tmp_path / "order.json").write_text(content)

    with pytest.raises(pytest.UsageError, match=r"^expected an order in "):
        ordering.load(str(tmp_path / "order.json"))
