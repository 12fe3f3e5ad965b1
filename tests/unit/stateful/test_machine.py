"""The machine with coroutines as rules: one loop for a case, virtual time, and concurrency inside of it."""

import asyncio
import time
from typing import Any

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import rule as plain_rule
from hypothesis.stateful import run_state_machine_as_test

from poolproof.errors import UsageError
from poolproof.simulation import advance
from poolproof.stateful import (
    AsyncRuleBasedStateMachine,
    BrokenPromiseError,
    Bundle,
    broken,
    initialize,
    invariant,
    rule,
)

pytestmark = [pytest.mark.unit, pytest.mark.hypothesis]

FEW = settings(max_examples=20, database=None, derandomize=True, deadline=None)
MANY = settings(
    FEW, max_examples=300, stateful_step_count=10, phases=[Phase.generate, Phase.shrink]
)


def test_a_rule_that_is_a_coroutine_function_is_awaited_in_virtual_time() -> None:
    class Sleeper(AsyncRuleBasedStateMachine):
        @rule()
        async def sleep_for_a_year(self) -> None:
            before = asyncio.get_running_loop().time()
            await advance(86_400)
            assert asyncio.get_running_loop().time() == before + 86_400
            Sleeper.slept += 1

        slept = 0

    began = time.monotonic()
    run_state_machine_as_test(
        Sleeper, settings=settings(FEW, max_examples=5, stateful_step_count=5)
    )

    assert Sleeper.slept >= 5
    assert time.monotonic() - began < 86_400


def test_initializers_and_invariants_may_be_coroutine_functions_too() -> None:
    class Counting(AsyncRuleBasedStateMachine):
        checked = 0

        @initialize()
        async def begin(self) -> None:
            self.began = asyncio.get_running_loop()

        @rule()
        async def go_on(self) -> None:
            assert asyncio.get_running_loop() is self.began

        @invariant()
        async def holds(self) -> None:
            Counting.checked += 1

    run_state_machine_as_test(Counting, settings=FEW)

    assert Counting.checked > 20


def test_what_a_rule_invoked_goes_on_beside_the_next_ones() -> None:
    class Overlap(AsyncRuleBasedStateMachine):
        tasks = Bundle[Any]("tasks")
        most = 0

        def __init__(self) -> None:
            super().__init__()
            self.inside = 0

        async def operation(self) -> str:
            self.inside += 1
            Overlap.most = max(Overlap.most, self.inside)
            await advance(1)
            self.inside -= 1
            return "done"

        @rule(target=tasks)
        def begin(self) -> Any:
            task = self.invoke(self.operation())
            self.settle()
            return task

        @rule(task=tasks)
        def end(self, task: Any) -> None:
            assert self.outcome(task) == "done"

    run_state_machine_as_test(Overlap, settings=FEW)

    assert Overlap.most > 1


class Counter(AsyncRuleBasedStateMachine):
    """Two tasks that step in order keep it whole; another order of their steps loses an update."""

    def __init__(self) -> None:
        super().__init__()
        self.value = 0

    async def add(self, turns: int) -> None:
        for _ in range(turns):
            await asyncio.sleep(0)
        value = self.value
        await asyncio.sleep(0)
        self.value = value + 1

    @rule()
    async def add_twice(self) -> None:
        before = self.value
        await asyncio.gather(self.add(0), self.add(2))
        if self.value != before + 2:
            raise broken("lost-update")(str(self.value))


def test_the_order_of_steps_is_searched_and_shrinks_to_one_deviation() -> None:
    with pytest.raises(BrokenPromiseError) as caught:
        run_state_machine_as_test(Counter, settings=MANY)

    (line,) = [
        line for line in "\n".join(caught.value.__notes__).splitlines() if "deviations=" in line
    ]
    assert line.count("(") - 1 <= 2, line


def test_each_promise_has_a_class_of_its_own_so_that_two_bugs_are_told_apart() -> None:
    class Both(AsyncRuleBasedStateMachine):
        @rule(which=st.sampled_from(["one-thing", "another-thing"]))
        async def break_one(self, which: str) -> None:
            raise broken(which)("always")

    with pytest.raises(ExceptionGroup) as caught:
        run_state_machine_as_test(Both, settings=MANY)

    assert {type(error) for error in caught.value.exceptions} == {
        broken("one-thing"),
        broken("another-thing"),
    }


def test_hypothesis_own_decorator_around_a_coroutine_function_is_refused() -> None:
    with pytest.raises(UsageError, match="expected rule, initialize and invariant of poolproof"):

        class Wrong(AsyncRuleBasedStateMachine):  # pyright: ignore[reportUnusedClass]
            @plain_rule()  # type: ignore[arg-type]
            async def never_awaited(self) -> None: ...


def test_what_a_case_leaves_running_is_ended_with_it() -> None:
    ended: list[str] = []

    class Leaves(AsyncRuleBasedStateMachine):
        async def forever(self) -> None:
            try:
                await advance(10**6)
            finally:
                ended.append("ended")

        @rule()
        def begin(self) -> None:
            self.invoke(self.forever())
            self.settle()

    run_state_machine_as_test(Leaves, settings=settings(FEW, max_examples=2, stateful_step_count=3))

    assert ended
