"""Whoever looks for objects finds all of a class, and does no harm to what other threads are building."""

import gc
import sys
import threading
from collections.abc import Iterator

import pytest

from poolproof.isolation.instances import instances

pytestmark = pytest.mark.unit


class Found:
    """What is looked for."""


class Derived(Found):
    """Something more special."""


class Disguised:
    """Something that says of itself to be what it is not, and that looking at it is a mistake."""

    def __getattribute__(self, name: str) -> object:
        raise AssertionError(name)


def test_all_of_a_class_are_found_and_no_others() -> None:
    young, derived, disguised = Found(), Derived(), Disguised()

    assert {id(one) for one in instances(Found)} == {id(young), id(derived)}
    assert disguised is not None


def test_the_old_are_found_as_the_young_are() -> None:
    old = Found()
    gc.collect()
    young = Found()

    assert {id(one) for one in instances(Found)} == {id(old), id(young)}


def test_nothing_is_kept_alive() -> None:
    held = [object()]
    before = sys.getrefcount(held)

    instances(Found)

    assert sys.getrefcount(held) == before


@pytest.mark.parametrize("on", [True, False])
def test_the_collector_is_left_as_it_was(on: bool) -> None:  # noqa: FBT001
    was_on = gc.isenabled()
    (gc.enable if on else gc.disable)()
    try:
        instances(Found)

        assert gc.isenabled() is on
    finally:
        (gc.enable if was_on else gc.disable)()


@pytest.fixture
def impatience() -> Iterator[None]:
    """Let threads change as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("impatience")
def test_what_another_thread_builds_meanwhile_is_built() -> None:
    """A tuple that somebody else holds before it is finished is a SystemError in the thread that builds it."""
    failed: list[SystemError] = []
    over = threading.Event()
    built = 0

    def build() -> None:
        nonlocal built
        while not over.is_set():
            try:
                tuple(sum(range(number)) for number in range(30))
                built += 1
            except SystemError as error:
                failed.append(error)

    thread = threading.Thread(target=build)
    thread.start()
    for _ in range(30):
        instances(Found)
    over.set()
    thread.join()

    assert built > 0
    assert failed == []
