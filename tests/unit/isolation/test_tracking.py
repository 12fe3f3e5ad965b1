"""What tests share inside one process comes back as it was, in place, and proves it."""

import collections
import functools
import sys
import types
from collections.abc import Iterator
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poolproof.errors import UsageError
from poolproof.isolation import state
from poolproof.isolation.state import State
from poolproof.isolation.tracking import Cache, Swap, Table, caches_of, resolve

pytestmark = pytest.mark.unit


class Service:
    shared: ClassVar[list[int]] = []

    def __init__(self) -> None:
        self.count = 0
        self._private = "kept"
        self.listeners: list[str] = ["first"]
        self.nested: dict[str, list[int]] = {"a": [1]}


class Slotted:
    __slots__ = ("__hidden", "empty", "value")
    empty: int

    def __init__(self) -> None:
        self.value = 1
        self.__hidden = 2

    def hide(self, value: int) -> None:
        self.__hidden = value

    def hidden(self) -> int:
        return self.__hidden


class TestState:
    def test_attributes_come_back_private_new_and_removed_ones_too(self) -> None:
        service = Service()
        taken = State(service, "it")
        service.count, service._private = 5, "changed"
        service.added = True  # type: ignore[attr-defined]
        del service.listeners

        assert not taken.released()
        taken.release()
        assert taken.released()
        assert (service.count, service._private, service.listeners) == (0, "kept", ["first"])
        assert not hasattr(service, "added")

    def test_a_container_is_put_back_in_place_so_that_others_who_hold_it_see_it(self) -> None:
        service = Service()
        alias = service.listeners
        taken = State(service, "it")
        service.listeners.append("second")
        service.listeners = ["another"]
        taken.release()

        assert service.listeners is alias
        assert alias == ["first"]

    def test_one_level_deep_by_default_and_deeper_on_request(self) -> None:
        shallow, deep = Service(), Service()
        states = [State(shallow, "shallow"), State(deep, "deep", deep=True)]
        for service in (shallow, deep):
            service.nested["a"].append(2)
        for taken in states:
            taken.release()

        assert shallow.nested == {"a": [1, 2]}
        assert deep.nested == {"a": [1]}

    def test_objects_in_objects_are_followed_on_request_and_circles_end(self) -> None:
        outer, inner = Service(), Service()
        outer.inner, inner.outer = inner, outer  # type: ignore[attr-defined]
        taken = State(outer, "it", deep=True)
        inner.count = 9
        taken.release()

        assert inner.count == 0

    def test_slots_count_mangled_and_unset_ones_too(self) -> None:
        service = Slotted()
        taken = State(service, "it")
        service.value, service.empty = 7, 8
        service.hide(9)
        taken.release()

        assert (service.value, service.hidden()) == (1, 2)
        assert not hasattr(service, "empty")
        assert taken.released()

    @given(
        before=st.lists(st.integers(), unique=True, max_size=5),
        after=st.lists(st.integers(), unique=True, max_size=5),
        kind=st.sampled_from([list, set, collections.deque, bytearray, dict.fromkeys]),
    )
    def test_any_container_comes_back_whatever_was_done(
        self, before: list[int], after: list[int], kind: Any
    ) -> None:
        def made(numbers: list[int]) -> Any:
            return kind([number % 256 for number in numbers] if kind is bytearray else numbers)

        holder, other = made(before), made(after)
        taken = State(holder, "it")
        holder.clear()
        (holder.update if isinstance(holder, set | dict) else holder.extend)(other)
        taken.release()

        assert holder == made(before)
        assert isinstance(holder, set) or list(holder) == list(made(before))
        assert taken.released()

    def test_an_equal_value_in_place_of_another_is_a_change(self) -> None:
        value, equal = [1], [1]
        table: dict[str, list[int]] = {"a": value}
        taken = State(table, "it")
        table["a"] = equal

        assert not taken.released()
        taken.release()
        assert table["a"] is value

    @pytest.mark.parametrize("thing", [3, "text", None, object(), len])
    def test_what_has_no_state_is_refused(self, thing: object) -> None:
        with pytest.raises(UsageError, match=r"^expected an object with attributes or a container"):
            State(thing, "it")

    def test_more_than_can_be_followed_is_refused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(state, "MOST_OBJECTS", 10)

        with pytest.raises(UsageError, match=r"^expected at most 10 objects in the state of it"):
            State({number: [number] for number in range(20)}, "it", deep=True)


class TestTable:
    def test_without_a_mark_the_whole_table_comes_back(self) -> None:
        table = {"a": 1, "b": 2}
        tracked = Table(table, "it", None)
        table["c"], table["a"] = 3, 9
        del table["b"]
        tracked.release()

        assert table == {"a": 1, "b": 2}
        assert tracked.released()

    @pytest.mark.parametrize("kind", [set, dict.fromkeys])
    def test_with_a_mark_only_what_is_mine_goes(self, kind: Any) -> None:
        """Another test, in another task or thread, may put in its own meanwhile."""
        table = kind(["old"])
        tracked = Table(table, "it", lambda key: key.startswith("me-"))
        table |= kind(["me-1", "other"])

        assert tracked.own() == ["me-1"]
        assert not tracked.released()
        tracked.release()
        assert sorted(table) == ["old", "other"]
        assert tracked.released()

    def test_mine_that_was_there_before_stays(self) -> None:
        table = {"me-0": 1}
        tracked = Table(table, "it", lambda key: key.startswith("me-"))
        tracked.release()

        assert table == {"me-0": 1}

    @pytest.mark.parametrize("thing", [[], collections.deque[int](), 3])
    def test_what_is_no_table_is_refused(self, thing: object) -> None:
        with pytest.raises(UsageError, match=r"^expected a mapping or a set as a table, got it"):
            Table(thing, "it", None)


class Counting:
    def __init__(self) -> None:
        self.items: dict[int, int] = {1: 1}
        self.hits = 5
        self.stats = types.SimpleNamespace(misses=7)

    def __len__(self) -> int:
        return len(self.items)

    def clear(self) -> None:
        self.items.clear()


class TestCache:
    def test_an_lru_cache_starts_at_nothing_and_ends_so(self) -> None:
        @functools.lru_cache
        def square(number: int) -> int:
            return number * number

        square(2)
        tracked = Cache(square, "it")
        assert square.cache_info()[:2] == (0, 0)
        square(3)
        assert not tracked.released()
        tracked.release()

        assert square.cache_info().currsize == 0
        assert tracked.released()

    def test_counters_are_reset_before_and_after_and_entries_only_after(self) -> None:
        cache = Counting()
        tracked = Cache(cache, "it")

        assert (cache.hits, cache.stats.misses, cache.items) == (0, 0, {1: 1})
        cache.hits = 3
        tracked.release()
        assert (cache.hits, cache.items) == (0, {})
        assert tracked.released()

    def test_a_method_that_resets_is_called(self) -> None:
        calls: list[str] = []
        cache = types.SimpleNamespace(
            reset_stats=lambda: calls.append("reset"), flush=lambda: calls.append("flush")
        )
        Cache(cache, "it").release()

        assert calls == ["reset", "flush", "reset"]

    def test_what_cannot_be_flushed_is_refused(self) -> None:
        with pytest.raises(UsageError, match=r"^expected a cache with one of cache_clear"):
            Cache(object(), "it")

    def test_a_module_stands_for_the_caches_of_its_own_functions(self, module: Any) -> None:
        foreign = functools.lru_cache(len)
        module.cached, module.foreign = functools.lru_cache(module.plain), foreign

        assert [name for name, _ in caches_of(module)] == ["poolproof_test_module.cached"]


@pytest.fixture
def module() -> Iterator[types.ModuleType]:
    made = types.ModuleType("poolproof_test_module")
    exec("VALUE = object()\nclass Holder: value = 1\ndef plain(): ...", made.__dict__)
    sys.modules[made.__name__] = made
    yield made
    del sys.modules[made.__name__]


class TestSwap:
    def test_the_object_is_another_until_it_is_released(self, module: Any) -> None:
        before = module.VALUE
        swap = Swap("poolproof_test_module:VALUE", 3)

        assert module.VALUE == 3
        assert not swap.released()
        swap.release()
        assert module.VALUE is before
        assert swap.released()

    def test_a_path_may_go_through_a_class(self, module: Any) -> None:
        Swap("poolproof_test_module:Holder.value", 2).release()

        assert module.Holder.value == 1

    @pytest.mark.parametrize(
        "path", ["nowhere:X", "poolproof_test_module:NONE", "poolproof_test_module", ":x", ""]
    )
    @pytest.mark.usefixtures("module")
    def test_a_path_to_nothing_is_refused(self, path: str) -> None:
        with pytest.raises(UsageError, match=r"^expected package.module:NAME of something"):
            resolve(path)
