"""A Hypothesis state machine whose rules may be coroutines, on one loop for each case.

Hypothesis calls rules as plain functions (hypothesis#4107). So the machine owns a loop that lives as
long as the case, stands still between two rules, and runs while a rule is driven. What a rule has
invoked goes on in the next ones: concurrency is inside the case, where it shrinks with it.
"""

import asyncio
import contextlib
import functools
import inspect
import sys
from collections.abc import Callable, Coroutine
from typing import Any, ClassVar, Final, TypeVar, cast

from hypothesis import settings
from hypothesis import stateful as hypothesis_stateful
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine

from poolproof.errors import UsageError
from poolproof.simulation import Schedule, SimulationLoop
from poolproof.sync import wait_all_tasks_blocked

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])

MOST_DEVIATIONS: Final = 4
"""How many steps of a case may leave first-in-first-out: nearly all races need one to three."""
EARLY_STEPS: Final = 400
WIDEST_PICK: Final = 6
END_SECONDS: Final = 10.0
"""How long the tasks that a case leaves behind may take to end once they are cancelled."""


def _driven(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function as Hypothesis can call it: a coroutine function is driven to its end."""
    if not inspect.iscoroutinefunction(function):
        return function

    @functools.wraps(function)
    def drive(self: "AsyncRuleBasedStateMachine", /, *args: Any, **kwargs: Any) -> Any:
        return self.drive(function(self, *args, **kwargs))

    return drive


def _of_coroutines(made: Any) -> Callable[[F], F]:
    def decorate(function: F) -> F:
        return cast("F", made(_driven(function)))

    return decorate


def rule(**how: Any) -> Callable[[F], F]:
    """As `hypothesis.stateful.rule`; the function may be a coroutine function."""
    return _of_coroutines(hypothesis_stateful.rule(**how))


def initialize(**how: Any) -> Callable[[F], F]:
    """As `hypothesis.stateful.initialize`; the function may be a coroutine function."""
    return _of_coroutines(hypothesis_stateful.initialize(**how))


def invariant(**how: Any) -> Callable[[F], F]:
    """As `hypothesis.stateful.invariant`; the function may be a coroutine function."""
    return _of_coroutines(hypothesis_stateful.invariant(**how))


def _deviations() -> st.SearchStrategy[tuple[tuple[int, int], ...]]:
    """Return sparse deviations from first-in-first-out; they shrink to none. A seed would not shrink."""
    step, pick = st.integers(0, EARLY_STEPS), st.integers(1, WIDEST_PICK)
    several = st.dictionaries(step, pick, max_size=MOST_DEVIATIONS)
    return several.map(lambda found: tuple(sorted(found.items())))


class _Undated:
    """The machine's `TestCase`, in which a deadline of wall-clock time is never asked for."""

    def __get__(self, machine: Any, kind: Any = None) -> Any:
        made = vars(RuleBasedStateMachine)["TestCase"].__get__(machine, kind)
        if not hasattr(made, "undated"):
            run = made.runTest

            def undated(case: Any) -> None:
                case.settings = settings(case.settings, deadline=None)
                case.addCleanup(kind.release)
                run(case)

            made.runTest, made.undated = undated, True
        return made


class AsyncRuleBasedStateMachine(RuleBasedStateMachine):
    """A state machine on an event loop of its own, by default in virtual time.

    Rules, initializers and invariants may be coroutine functions, with the decorators of this module.
    In virtual time the order of task steps is part of the case: up to four deviations from
    first-in-first-out are drawn before the first rule.

    Attributes:
        simulated: whether the loop is in virtual time; False for a real one.

    Example:
        >>> class Machine(AsyncRuleBasedStateMachine):
        ...     @rule()
        ...     async def wait_an_hour(self) -> None:
        ...         await asyncio.sleep(3600)
    """

    simulated: ClassVar[bool] = True
    TestCase = _Undated()

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for name, member in vars(cls).items():
            if inspect.iscoroutinefunction(inspect.unwrap(member)) and _undriven(member):
                raise UsageError(
                    f"expected rule, initialize and invariant of poolproof.stateful around the coroutine function"
                    f" {cls.__name__}.{name}, got Hypothesis' own, which would never await it"
                )

    def __init__(self) -> None:
        super().__init__()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._schedule = Schedule()

    @hypothesis_stateful.initialize(deviations=_deviations())
    def _choose_the_order(self, deviations: tuple[tuple[int, int], ...]) -> None:
        if self._loop is None:
            self._schedule = Schedule(deviations=deviations)

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop of this case; it runs only while something is driven."""
        if self._loop is None:
            self._loop = self.new_loop()
        return self._loop

    def new_loop(self) -> asyncio.AbstractEventLoop:
        """Return the loop for this case; asked for once, on the first use."""
        if self.simulated:
            return SimulationLoop(schedule=self._schedule)
        return asyncio.new_event_loop()

    def drop_loop(self, loop: asyncio.AbstractEventLoop) -> None:
        """Close the loop of this case, on which nothing runs any more."""
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()

    @classmethod
    def release(cls) -> None:
        """Give up what all cases of a test have shared; called when the test is over."""

    def drive(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run the loop until the coroutine has ended; return its result or raise its exception."""
        return self.loop.run_until_complete(coroutine)

    def invoke(
        self, coroutine: Coroutine[Any, Any, T], *, name: str | None = None
    ) -> asyncio.Task[T]:
        """Start something that goes on beside the next rules; `outcome` waits for it."""
        return self.loop.create_task(coroutine, name=name)

    def outcome(self, task: asyncio.Task[T]) -> T:
        """Run the loop until an invoked task has ended; return its result or raise its exception."""
        return self.drive(_result_of(task))

    def settle(self) -> None:
        """Run the loop until every task waits for something; in virtual time, no time passes."""
        self.drive(wait_all_tasks_blocked())

    def advance(self, seconds: float) -> None:
        """Let time pass; in virtual time it takes none."""
        self.drive(asyncio.sleep(seconds))

    @property
    def failing(self) -> bool:
        """Whether the case has already failed, or was given up: then its end proves nothing more."""
        return sys.exc_info()[0] is not None

    def teardown(self) -> None:
        """End what the case has left running, and close its loop."""
        super().teardown()
        if self._loop is None:
            return
        try:
            self._loop.run_until_complete(_end_all())
        finally:
            self.drop_loop(self._loop)
            self._loop = None


def _undriven(member: Any) -> bool:
    markers = (
        hypothesis_stateful.RULE_MARKER,
        hypothesis_stateful.INITIALIZE_RULE_MARKER,
        hypothesis_stateful.INVARIANT_MARKER,
    )
    found = [marked for marker in markers if (marked := getattr(member, marker, None)) is not None]
    return any(inspect.iscoroutinefunction(marked.function) for marked in found)


async def _result_of(task: asyncio.Task[T]) -> T:
    return await task


async def _end_all() -> None:
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    if tasks:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(END_SECONDS):
                await asyncio.gather(*tasks, return_exceptions=True)
