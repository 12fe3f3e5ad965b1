"""What can be promised, and the one clear error for what cannot."""

import pytest

from poolproof.checkers import PROMISES, check_promises
from poolproof.errors import UsageError

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    "promises",
    [
        {},
        {"retries": 0},
        {"at-most-once": False},
        {"exactly-once": True, "exclusive": True, "fenced": True},
        {"order": "fifo"},
        {"queue": 0},
        {"deadline": 1.5, "capacity": 2, "shedding": 0.1, "work-conserving": 1},
        {"recovery": 2},
        {"recovery": 0.5},
        {"contract": {"unresolved-job": "jobs are lost when a worker dies"}},
    ],
)
def test_a_known_promise_is_accepted_as_it_is(promises: dict[str, object]) -> None:
    assert check_promises(promises) == promises


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("retries", -1),
        ("retries", True),
        ("retries", "3"),
        ("at-most-once", 1),
        ("exactly-once", "always"),
        ("queue", -1),
        ("deadline", 0),
        ("order", "lifo"),
        ("recovery", 0),
        ("recovery", True),
        ("recovery", "2"),
        ("contract", "all of it"),
        ("contract", {"unheard-of": "quote"}),
        ("contract", {"leak": " "}),
        ("contract", {"leak": 3}),
    ],
)
def test_a_promise_of_the_wrong_type_is_refused(name: str, value: object) -> None:
    with pytest.raises(UsageError, match=rf"^expected known promises, got {name}="):
        check_promises({name: value})


def test_an_unknown_name_is_refused_with_all_that_are_known() -> None:
    expected = r"^expected known promises, got the unknown name 'speed'"
    with pytest.raises(UsageError, match=expected) as caught:
        check_promises({"speed": "high"})

    assert all(f"{name}: {words}" in str(caught.value) for name, (words, _) in PROMISES.items())


def test_all_that_is_wrong_is_told_at_once() -> None:
    with pytest.raises(UsageError, match=r"'speed'; retries=-1, which is not an int >= 0"):
        check_promises({"speed": 1, "retries": -1})


def test_a_contract_about_an_unknown_invariant_names_the_known_ones() -> None:
    with pytest.raises(UsageError, match=r"\(invariants: .*unresolved-job"):
        check_promises({"contract": {"unheard-of": "quote"}})
