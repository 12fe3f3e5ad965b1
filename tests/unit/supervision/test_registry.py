"""Names are structured, scoped, and free the moment their holder has ended."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from poolproof.supervision import (
    KILL,
    AlreadyRegisteredError,
    ForeignNameError,
    Registry,
    Scope,
    monitor,
    spawn,
)
from poolproof.supervision.process import ForeignProcess
from poolproof.supervision.reasons import NORMAL

pytestmark = pytest.mark.unit


@pytest.fixture
def registry() -> Registry:
    return Registry(Scope("test"))


def test_holder_is_found(registry: Registry) -> None:
    process = ForeignProcess()
    registry.register(registry.scope.name("pool", 1), process)

    assert registry.lookup(registry.scope.name("pool", 1)) is process


def test_parts_never_run_together(registry: Registry) -> None:
    """`test_1` and `test_12`, `a/b` and `a`, `b`: what a substring or a join confuses."""
    registry.register(registry.scope.name("test_12"), ForeignProcess())
    registry.register(registry.scope.name("a/b"), ForeignProcess())

    assert registry.lookup(registry.scope.name("test_1")) is None
    assert registry.lookup(registry.scope.name("a", "b")) is None


def test_equal_labels_are_different_scopes() -> None:
    one, other = Scope("same"), Scope("same")

    assert one != other
    assert one.name("a") != other.name("a")


def test_second_holder_is_refused_with_the_first(registry: Registry) -> None:
    first = ForeignProcess()
    registry.register(registry.scope.name("a"), first)

    with pytest.raises(AlreadyRegisteredError) as refused:
        registry.register(registry.scope.name("a"), ForeignProcess())

    assert refused.value.process is first


def test_duplicate_keys_have_many_holders() -> None:
    registry = Registry(Scope("test"), keys="duplicate")
    holders = ForeignProcess(), ForeignProcess()
    for holder in holders:
        registry.register(registry.scope.name("topic"), holder)

    assert registry.lookup_all(registry.scope.name("topic")) == holders


def test_name_of_another_scope_is_refused(registry: Registry) -> None:
    with pytest.raises(ForeignNameError, match=r"^expected a name of scope test~"):
        registry.lookup(Scope("test").name("a"))


def test_name_is_free_before_a_monitor_is_told(
    registry: Registry, simulated: Callable[..., Any]
) -> None:
    async def main() -> list[Any]:
        seen: list[Any] = []
        process = spawn(asyncio.Event().wait())
        process.watch(lambda _, __: seen.append(registry.lookup(registry.scope.name("a"))))
        registry.register(registry.scope.name("a"), process)
        process.exit(KILL)
        await monitor(process)
        return [*seen, registry.names()]

    assert simulated(main()) == [None, ()]


def test_dead_process_gets_no_name(registry: Registry) -> None:
    dead = ForeignProcess()
    dead.finish(NORMAL)
    registry.register(registry.scope.name("a"), dead)

    assert registry.names() == ()


def test_returned_name_can_be_taken(registry: Registry) -> None:
    one, other = ForeignProcess(), ForeignProcess()
    registry.register(registry.scope.name("a"), one)
    registry.unregister(registry.scope.name("a"), one)
    registry.register(registry.scope.name("a"), other)
    one.finish(NORMAL)

    assert registry.lookup(registry.scope.name("a")) is other
