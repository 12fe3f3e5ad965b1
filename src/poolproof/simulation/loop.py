"""The event loop of a simulation: virtual time in whole nanoseconds, and an order of task steps.

A loop of its own rather than a selector that jumps: what the stock loop does for every handle
(polling, floats, a Python heap order) costs more than half of a run. Tasks and futures are the C ones.
"""

import asyncio
import contextlib
import functools
import gc
import hashlib
import heapq
import itertools
import threading
import weakref
from collections import deque
from collections.abc import Callable, Generator
from contextvars import Context
from types import BuiltinFunctionType
from typing import Any, Final, TypeVarTuple, cast

from poolproof.simulation import trespass
from poolproof.simulation.chance import Points
from poolproof.simulation.endpoints import Endpoints
from poolproof.simulation.network import Network
from poolproof.simulation.order import Order, Step
from poolproof.simulation.pairs import Pairs
from poolproof.simulation.randomness import Streams
from poolproof.simulation.refusal import RefusesTheRealWorld, refuse, watch
from poolproof.simulation.schedule import Deviation, Schedule, policy_of
from poolproof.simulation.stall import (
    DeadlockError,
    LivelockError,
    SimulationStalledError,
    TimeLimitError,
    pending_of,
)
from poolproof.simulation.tasks import Call, SimulatedFuture, SimulatedTask
from poolproof.simulation.trace import BATCH, Trace

Ts = TypeVarTuple("Ts")

_NS: Final = 1_000_000_000
TIME_LIMIT_S: Final = 30 * 86_400.0
STEP_LIMIT: Final = 1_000_000
# Cancelled timers are dropped when they come to the head of the heap, or all at once past this many.
_CROWDED: Final = 1024


class _Witness:
    """Just enough of a loop to see what a new task hands to `call_soon`."""

    def __init__(self) -> None:
        self.seen: list[type] = []

    def call_soon(self, callback: object, **_: object) -> None:
        self.seen.append(callback.__class__)

    def get_debug(self) -> bool:
        return False

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Say nothing of the task that never runs."""


def _type_of_step() -> type:
    """Return the type of a C task's step; it has no public name."""
    witness: Any = _Witness()
    coroutine = asyncio.sleep(0)
    asyncio.Task(coroutine, loop=witness)
    coroutine.close()
    return cast("_Witness", witness).seen[0]


_STEP: Final = _type_of_step()


class SimulationLoop(Endpoints, RefusesTheRealWorld, asyncio.BaseEventLoop):
    """An event loop whose clock moves only when everything waits, straight to the next timer.

    Callbacks of `call_soon` keep their order; the order of task steps is the schedule's. Cyclic
    garbage is collected at fixed steps, so that finalizers too run at the same place in each run.

    Attributes:
        now_ns: the virtual time in nanoseconds.
        schedule: the order of steps, and the seed.
        streams: the randomness of this run; `streams.user` is for the code under test.
        trace: what has happened, as a hash.
        network: the hosts in it, and what lies between them.
        points: those of `buggify`, if the schedule asks for them.

    Example:
        >>> loop = SimulationLoop()
        >>> loop.run_until_complete(asyncio.sleep(3600, "at once"))
        'at once'
        >>> loop.time()
        3600.0
        >>> loop.close()
    """

    _closed: bool
    _stopping: bool
    _task_factory: object

    def __init__(
        self,
        *,
        start_ns: int = 0,
        schedule: Schedule | None = None,
        time_limit: float = TIME_LIMIT_S,
        step_limit: int = STEP_LIMIT,
        strict: bool = False,
    ) -> None:
        """Make a loop that stands at `start_ns`.

        Args:
            start_ns: virtual nanoseconds at the beginning.
            schedule: first-in-first-out with seed 0, unless given.
            time_limit: virtual seconds; a run that gets past them is ended by `TimeLimitError`.
            step_limit: steps and callbacks at one instant; more end the run by `LivelockError`.
            strict: fail a run in which somebody reads real time or unseeded randomness; slower.
        """
        super().__init__()
        self.now_ns = start_ns
        self.schedule = schedule or Schedule()
        self.streams = Streams.of(self.schedule.seed)
        self.trace = Trace()
        self.new_number: Callable[[], int] = itertools.count(1).__next__
        self._new_token: Callable[[], int] = itertools.count().__next__
        self._new_task_number: Callable[[], int] = itertools.count(1).__next__
        self._strangers: weakref.WeakKeyDictionary[asyncio.Task[Any], int] = (
            weakref.WeakKeyDictionary()
        )
        self.points = Points(self.schedule.seed) if self.schedule.buggify else None
        # A partial object, not a method: one call less for each future, which is where the time goes.
        vars(self)["create_future"] = functools.partial(SimulatedFuture, loop=self)
        self.network = Network(self, self.streams.network)
        self._limit_ns = start_ns + round(time_limit * _NS)
        self._step_limit = step_limit
        self._strict = strict
        self._at_rest: list[Callable[[], None]] = []
        self._pairs: Pairs | None = None
        self._ready: deque[Step | Call] = deque()
        self._timers: list[tuple[int, int, Call]] = []
        self._new_timer: Callable[[], int] = itertools.count().__next__
        self._crowded = _CROWDED
        self._thread = threading.get_ident()
        self._order: Order | None = None
        if not self.schedule.in_order:
            policy = policy_of(self.schedule, self.streams.schedule)
            self._order = Order(policy, self._number_of)

    @property
    def deviations(self) -> tuple[Deviation, ...]:
        """Where this run has left first-in-first-out so far: what `Schedule` needs to replay it."""
        return tuple(self._order.deviations) if self._order else ()

    def ready(self) -> list[Step | Call]:
        """Return what is queued for now: the steps of tasks as (step, arguments, context), and calls."""
        return [*(self._order.waiting() if self._order else ()), *self._ready]

    def new_token(self) -> str:
        """Return 32 hexadecimal digits that nothing else in this run has, the same in each run of the seed."""
        name = f"{self.schedule.seed}/token/{self._new_token()}"
        return hashlib.blake2b(name.encode(), digest_size=16).hexdigest()

    def set_debug(self, enabled: bool) -> None:  # noqa: FBT001 - as in the parent
        """See `BaseEventLoop.set_debug`; each future and task asks `get_debug`, so that is no call of Python's."""
        super().set_debug(enabled)
        vars(self)["get_debug"] = bool(enabled).__bool__

    def time(self) -> float:
        """Return the virtual time in seconds."""
        return self.now_ns / _NS

    def call_soon(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> Any:
        """Queue a callback and return its `Call`; a task queues its steps here too, and gets None."""
        kind = type(callback)
        if context is not None and (
            kind is _STEP or (kind is BuiltinFunctionType and callback.__name__ == "task_wakeup")
        ):
            self._ready.append((callback, args, context))
            return None
        call = Call(self.now_ns, callback, args, context)
        self._ready.append(call)
        return call

    def call_later(
        self,
        delay: float,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> Call:
        """Queue a callback for `delay` seconds from now; one that is not positive means now."""
        return self._call_at(self.now_ns + round(delay * _NS), callback, args, context)

    def call_at(
        self,
        when: float,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> Call:
        """Queue a callback for the virtual time `when`, in seconds; the past means now."""
        return self._call_at(round(when * _NS), callback, args, context)

    def call_after_ns(
        self, delay_ns: int, callback: Callable[[], object], context: Context | None = None
    ) -> Call:
        """Queue a callback for `delay_ns` virtual nanoseconds from now."""
        return self._call_at(self.now_ns + delay_ns, callback, (), context)

    def _call_at(
        self,
        due_ns: int,
        callback: Callable[..., object],
        args: tuple[Any, ...],
        context: Context | None,
    ) -> Call:
        call = Call(due_ns, callback, args, context)
        if due_ns <= self.now_ns:
            self._ready.append(call)
        else:
            heapq.heappush(self._timers, (due_ns, self._new_timer(), call))
            if len(self._timers) > self._crowded:
                self._drop_cancelled()
        return call

    def call_soon_threadsafe(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> Any:
        """Queue a callback, from the loop's own thread alone.

        Raises:
            RealWorldError: from another thread, whose moment no seed decides.
        """
        if threading.get_ident() != self._thread:
            raise refuse("call_soon_threadsafe from another thread", "a thread")
        return self.call_soon(callback, *args, context=context)

    def add_reader(self, fd: Any, callback: Callable[[*Ts], Any], *args: *Ts) -> None:
        """Call back when an end of a socket pair of this process can be read.

        Raises:
            RealWorldError: it is another file; see `pairs`.
        """
        self._pairs_of_this().add("reader", fd, (callback, args))

    def add_writer(self, fd: Any, callback: Callable[[*Ts], Any], *args: *Ts) -> None:
        """Call back when an end of a socket pair of this process can be written.

        Raises:
            RealWorldError: it is another file; see `pairs`.
        """
        self._pairs_of_this().add("writer", fd, (callback, args))

    def remove_reader(self, fd: Any) -> bool:
        """Undo `add_reader`; return whether there was anything to undo."""
        return self._pairs_of_this().remove("reader", fd)

    def remove_writer(self, fd: Any) -> bool:
        """Undo `add_writer`; return whether there was anything to undo."""
        return self._pairs_of_this().remove("writer", fd)

    def _pairs_of_this(self) -> Pairs:
        if self._pairs is None:
            self._pairs = Pairs()
        return self._pairs

    def create_task(self, coro: Any, *, name: object = None, **options: Any) -> asyncio.Task[Any]:
        """Return a task; without a name it is Task-1, Task-2, ... of this loop."""
        if self._closed:
            self._check_closed()
        number = self._new_task_number()
        name = f"Task-{number}" if name is None else name
        if self._task_factory is None:
            return SimulatedTask(coro, number, loop=self, name=name, **options)
        task = super().create_task(coro, name=name, **options)
        self._strangers.setdefault(task, number)
        return task

    def run_forever(self) -> None:
        """Run until `stop`.

        Raises:
            SimulationStalledError: it would never end.
            RealWorldError: the loop is strict, and somebody has read what no seed decides.
        """
        watch(SimulationLoop)
        strictly = trespass.refused() if self._strict else contextlib.nullcontext()
        with _garbage_collected_by_steps(), strictly:
            try:
                super().run_forever()
            finally:
                for tell in self._at_rest[:]:
                    tell()

    def when_at_rest(self, tell: Callable[[], None]) -> Callable[[], None]:
        """Have `tell` called whenever this loop stops, by whatever error; return what ends it.

        What has to reach the world outside only there may wait for it, as nobody looks in between.
        """
        self._at_rest.append(tell)

        def leave() -> None:
            if tell in self._at_rest:
                self._at_rest.remove(tell)

        return leave

    def close(self) -> None:
        """Drop what is queued."""
        super().close()
        self._timers.clear()

    def _check_closed(self) -> None:
        if self.is_closed():
            raise RuntimeError("Event loop is closed")

    def _run_once(self) -> None:
        """Run until stopped; the stock loop's `run_forever` calls this."""
        while True:
            if self._order is None:
                self._run_in_order()
            else:
                self._run_as_picked(self._order)
            if self._stopping:
                return
            if self._pairs is None or not self._has_arrived():
                self._move_time()

    def _run_in_order(self) -> None:
        """Run all that is ready; `_call` stands in the loop, because a call for each would cost a tenth."""
        ready, record = self._ready, self.trace.entries.append
        for _ in itertools.repeat(None, self._step_limit):
            if not ready or self._stopping:
                return
            item = ready.popleft()
            if isinstance(item, tuple):
                step, arguments, context = item
                try:
                    number = step.__self__.number  # type: ignore[attr-defined]
                except AttributeError:
                    number = self._number_of(item)
                record(number)
                context.run(step, *arguments)
            elif item.callback is not None:
                try:
                    item.context.run(item.callback, *item.arguments)
                except (SystemExit, KeyboardInterrupt):
                    raise
                except BaseException as error:  # noqa: BLE001 - as the stock loop: reported
                    self._report(item, error)
        raise self._livelock()

    def _run_as_picked(self, order: Order) -> None:
        for _ in itertools.repeat(None, self._step_limit):
            order.arrive(self._ready)
            if self._stopping:
                return
            if call := order.callback():
                self._call(call)
                continue
            picked = order.step()
            if picked is None:
                return
            callbacks, number, (step, arguments, context) = picked
            for call in callbacks:
                self._call(call)
            self.trace.entries.append(number)
            context.run(step, *arguments)
        raise self._livelock()

    def _call(self, call: Call) -> None:
        if call.callback is None:
            return
        try:
            call.context.run(call.callback, *call.arguments)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:  # noqa: BLE001 - as the stock loop: reported
            self._report(call, error)

    def _report(self, call: Call, error: BaseException) -> None:
        message = f"Exception in callback {call!r}"
        self.call_exception_handler({"message": message, "exception": error, "handle": call})

    def _has_arrived(self) -> bool:
        """Queue what can be read or written at a socket pair; return whether there was anything."""
        due = self._pairs.due() if self._pairs is not None else ()
        for callback, arguments in due:
            self.call_soon(callback, *arguments)
        return bool(due)

    def _move_time(self) -> None:
        timers = self._timers
        while timers and timers[0][2].callback is None:
            heapq.heappop(timers)
        if not timers:
            raise self._stalled(
                DeadlockError,
                "expected something ready or a timer, got neither: each of these waits for "
                "something that nobody in the simulation will do",
            )
        due_ns = timers[0][0]
        if due_ns > self._limit_ns:
            raise self._time_limit()
        self.now_ns = due_ns
        self.trace.entries.append(-due_ns)
        while timers and timers[0][0] == due_ns:
            self._ready.append(heapq.heappop(timers)[2])
        if len(self.trace.entries) >= BATCH:
            self.trace.flush()
            gc.collect(1)

    def _drop_cancelled(self) -> None:
        self._timers = [timer for timer in self._timers if timer[2].callback is not None]
        heapq.heapify(self._timers)
        self._crowded = max(_CROWDED, 2 * len(self._timers))

    def _number_of(self, step: Step) -> int:
        """Return the number of the step's task, given now to one that this loop has not made."""
        task: Any = getattr(step[0], "__self__", None)
        number: int | None = getattr(task, "number", None)
        if number is None:
            number = self._strangers.get(task) or self._new_task_number()
            self._strangers[task] = number
        return number

    def _livelock(self) -> SimulationStalledError:
        return self._stalled(
            LivelockError,
            f"expected time to move, got {self._step_limit} steps at one instant; wait for an "
            "event rather than for your turn, or allow more by step_limit",
        )

    def _time_limit(self) -> SimulationStalledError:
        seconds = self._limit_ns / _NS
        return self._stalled(
            TimeLimitError,
            f"expected an end within {seconds:g} virtual seconds, got none: timers keep coming "
            "while these wait; allow more by time_limit",
        )

    def _stalled(self, kind: type[SimulationStalledError], message: str) -> SimulationStalledError:
        tasks = sorted(asyncio.all_tasks(self), key=self._rank)
        where = f" (virtual time {self.time():.9f} s, after {self.trace.steps} steps)"
        return kind(message + where, pending_of(tasks))

    def _rank(self, task: asyncio.Task[Any]) -> int:
        number: int | None = getattr(task, "number", None)
        return self._strangers.get(task, 0) if number is None else number


@contextlib.contextmanager
def _garbage_collected_by_steps() -> Generator[None]:
    """Turn the collector's own moments off: they depend on what else the process has allocated."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
