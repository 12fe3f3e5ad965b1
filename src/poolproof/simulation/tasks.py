"""Tasks, futures and calls of a simulation: numbered, so that no order depends on an address."""

import asyncio
import contextvars
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class SimulatedFuture(asyncio.Future[T]):
    """A future whose hash is a number of its loop's.

    The order of a set of futures is then the same in every process.
    """

    __slots__ = ("number",)
    number: int

    def __hash__(self) -> int:
        try:
            return self.number
        except AttributeError:
            loop: Any = self.get_loop()
            self.number = loop.new_number()
            return self.number


class SimulatedTask(asyncio.Task[T]):
    """A task whose hash is its number: 1 for the first of its loop."""

    __slots__ = ("number",)

    def __init__(self, coro: Coroutine[Any, Any, T], number: int, **options: Any) -> None:
        self.number = number
        super().__init__(coro, **options)

    def __hash__(self) -> int:
        return self.number


class Call(asyncio.TimerHandle):
    """A callback that waits for its turn or its time; the heap of timers sorts by other means.

    Attributes:
        due_ns: the virtual time at which it may run.
        callback: what is called then; None once cancelled.
    """

    __slots__ = ("arguments", "callback", "context", "due_ns")
    callback: Callable[..., object] | None

    def __init__(
        self,
        due_ns: int,
        callback: Callable[..., object],
        arguments: tuple[Any, ...],
        context: contextvars.Context | None,
    ) -> None:
        # The parent's attributes would double the cost of a timer: what reads them is replaced below.
        self.due_ns = due_ns
        self.callback = callback
        self.arguments = arguments
        self.context = context or contextvars.copy_context()

    def cancel(self) -> None:
        """Never run; what has begun is not stopped."""
        self.callback = None
        self.arguments = ()

    def cancelled(self) -> bool:
        """Return whether it was cancelled."""
        return self.callback is None

    def when(self) -> float:
        """Return the virtual time, in seconds, at which it may run."""
        return self.due_ns / 1_000_000_000

    def get_context(self) -> contextvars.Context:
        """Return the context it runs in."""
        return self.context

    __hash__ = object.__hash__

    def __eq__(self, other: object) -> bool:
        return self is other

    def __repr__(self) -> str:
        what = "cancelled" if self.callback is None else repr(self.callback)
        return f"<Call at {self.when():.9f} s: {what}>"
