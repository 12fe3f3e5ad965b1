"""Operations that are begun when they are due, whatever the pool does: inside the owner, standard library only.

Each leaves a row of four numbers: which it was, when it was sent and done (nanoseconds of CLOCK_MONOTONIC), and what
came of it. Whether it was late, and whose fault that is, is judged from outside.
"""

import asyncio
import functools
import operator
import os
import threading
import time
from array import array
from collections import deque
from collections.abc import Callable, Sequence
from time import monotonic_ns as clock
from typing import Any, Final, Protocol, cast

from poolproof.adapters.asyncio import AsyncioPool
from poolproof.adapters.base import Adapter
from poolproof.agent import journal
from poolproof.agent.timer import Timer

OK: Final = 0
DROPPED: Final = -1
"""The outcome of an arrival that was not sent, because too many were open."""

BLOCKED: Final = -2
"""The outcome of no operation: from `sent` to `done` the pool's own submit kept the generator from sending."""
BUSY: Final = -3
"""The same where somebody else computed on the loop that the generator shares with its pool."""

BLOCKED_NS: Final = 5_000_000
BURST: Final = 64
"""How many that are due are sent in one turn of the pool's loop, which then gets a turn of its own."""
FLUSH_NS: Final = 50_000_000
SOON_NS: Final = 20_000_000
WAIT_NS: Final = 2_000_000
MOST_WAITERS: Final = 1_000
"""How many may be open where each needs a thread that waits for it."""
_REHEARSED: Final = 20_000

Ended = Callable[[int, int, int], None]
"""Told which operation has ended, when it was sent, and its outcome."""
Equal = Callable[[object, object], bool]


class Asked:
    """One kind of operation: what is handed to the pool, and what it must answer."""

    __slots__ = ("arguments", "equal", "expected", "function")

    def __init__(
        self, function: Any, arguments: tuple[Any, ...], expected: Any, equal: Equal
    ) -> None:
        self.function, self.arguments = function, arguments
        self.expected, self.equal = expected, equal

    def right(self, answer: object) -> bool:
        """Tell whether this is the answer."""
        return answer is self.expected or self.equal(answer, self.expected)


class Rows:
    """The file of rows; may be added to from any thread, is flushed from one."""

    def __init__(self, path: str) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._rows: deque[tuple[int, int, int, int]] = deque()
        self.add = self._rows.append
        self.written = 0
        self._flushed = clock()
        self._codes: dict[str, int] = {}
        self._lock = threading.Lock()

    @property
    def ended(self) -> int:
        """How many operations have ended."""
        return self.written + len(self._rows)

    def code(self, error: BaseException | str) -> int:
        """Return the number of this kind of error, which is journalled when it is new."""
        name = error if isinstance(error, str) else type(error).__name__
        with self._lock:
            if name not in self._codes:
                self._codes[name] = len(self._codes) + 1
                told = {"load_error": self._codes[name], "name": name}
                journal.write("note", data=told, message=str(error)[:500])
            return self._codes[name]

    def flush_at_times(self, now: int) -> None:
        """Flush if that was long ago."""
        if now - self._flushed >= FLUSH_NS:
            self.flush()

    def flush(self) -> None:
        """Write what there is."""
        flat = array("q")
        for _ in range(count := len(self._rows)):
            flat.extend(self._rows.popleft())
        self.written += count
        left = memoryview(flat).cast("B")
        while left:
            left = left[os.write(self._file, left) :]
        self._flushed = clock()

    def close(self) -> None:
        """Flush, and let go of the file."""
        self.flush()
        os.close(self._file)


class Caller(Protocol):
    """How an operation is begun; it is told of the end of each, in whatever thread."""

    most_open: int

    def begin(self, number: int, sent: int) -> None:
        """Begin an operation; never raises."""


class Work:
    """What is to be asked: the kinds, which kind each operation is, and its session."""

    def __init__(
        self, kinds: Sequence[Sequence[Asked]], drawn: Sequence[int], sessions: Sequence[int]
    ) -> None:
        self._kinds, self._drawn, self._sessions = kinds, drawn, sessions

    def asked(self, number: int) -> Asked:
        """Return what this operation asks; the kind's variants come in turns."""
        variants = self._kinds[self._drawn[number % len(self._drawn)]]
        return variants[number % len(variants)]

    def named(self, number: int) -> dict[str, Any]:
        """Return what is named to the pool besides."""
        if not self._sessions:
            return {}
        return {"session": f"session-{self._sessions[number % len(self._sessions)]}"}


class LoopCaller:
    """Begins operations on the loop of a pool that is used from coroutines."""

    most_open = 100_000

    def __init__(self, pool: AsyncioPool, work: Work, rows: Rows, ended: Ended) -> None:
        self._pool, self._work, self._rows, self._ended = pool, work, rows, ended
        self._open: set[asyncio.Future[Any]] = set()  # the loop itself holds tasks weakly

    def begin(self, number: int, sent: int) -> None:
        """Begin it in this turn."""
        asked = self._work.asked(number)
        try:
            future = self._pool.begin_on_loop(
                asked.function, asked.arguments, **self._work.named(number)
            )
        except Exception as error:  # noqa: BLE001 - a target may raise anything
            loop = asyncio.get_running_loop()
            loop.call_soon(self._ended, number, sent, self._rows.code(error))
        else:
            self._open.add(future)
            future.add_done_callback(functools.partial(self._done, number, sent, asked))

    def _done(self, number: int, sent: int, asked: Asked, future: "asyncio.Future[Any]") -> None:
        self._open.discard(future)
        try:
            outcome = OK if asked.right(future.result()) else self._rows.code("WrongAnswer")
        except BaseException as error:  # noqa: BLE001 - a job may end in anything
            outcome = self._rows.code(error)
        self._ended(number, sent, outcome)


class ThreadCaller:
    """Begins operations in the thread that calls; their ends come from threads of the pool, or from ones that wait."""

    def __init__(
        self, pool: Adapter, work: Work, rows: Rows, ended: Ended, wait: Callable[[Any], None]
    ) -> None:
        self._pool, self._work, self._rows, self._ended = pool, work, rows, ended
        self._wait = wait
        self._calls_back = "callback" in pool.offers
        self.most_open = 100_000 if self._calls_back else MOST_WAITERS

    def begin(self, number: int, sent: int) -> None:
        """Begin it; however long the pool's own submit takes is part of how long the operation took."""
        asked = self._work.asked(number)
        done = functools.partial(self._done, number, sent, asked)
        try:
            if self._calls_back:
                self._pool.submit_with_callback(done, asked.function, *asked.arguments)
            else:
                handle = self._pool.submit(asked.function, *asked.arguments)
                self._wait(lambda: done(_waited(self._pool, handle)))
        except Exception as error:  # noqa: BLE001 - a target may raise anything
            self._ended(number, sent, self._rows.code(error))

    def _done(self, number: int, sent: int, asked: Asked, value: Any = None) -> None:
        self._ended(number, sent, _outcome(value, asked, self._rows))


def _waited(pool: Adapter, handle: Any) -> Any:
    try:
        return pool.wait(handle)
    except BaseException as error:  # noqa: BLE001 - a job may end in anything
        return error


def _outcome(value: Any, asked: Asked, rows: Rows) -> int:
    """Return what came of an operation: `value` is its future, its answer, or its error."""
    try:
        if callable(getattr(value, "exception", None)) and callable(value.result):
            value = value.result()
        if isinstance(value, BaseException):
            return rows.code(value)
        return OK if asked.right(value) else rows.code("WrongAnswer")
    except BaseException as error:  # noqa: BLE001 - a job may end in anything
        return rows.code(error)


class Generator:
    """One load, from its first operation until the last has ended, or is waited for no more.

    Args:
        rows: where each operation's end is noted.
        drain: seconds that the open ones are waited for in the end.
        finished: called once, in the thread that drives, when all is over.
    """

    def __init__(self, rows: Rows, drain: float, finished: Callable[["Generator"], None]) -> None:
        self.rows, self.drain_ns = rows, int(drain * 1e9)
        self.finished = finished
        self.sent = self.dropped = self.noted = 0
        self.stopped = False
        self.caller: Caller

    def ended(self, number: int, sent: int, outcome: int) -> None:
        """Note an operation's end."""
        self.rows.add((number, sent, clock(), outcome))

    @property
    def open(self) -> int:
        """How many were sent and have not ended."""
        return self.sent + self.noted - self.rows.ended

    def send(self, number: int) -> int:
        """Begin one operation, unless too many are open; return when."""
        now = clock()
        self.sent += 1
        if self.open > self.caller.most_open:
            self.dropped += 1
            self.rows.add((number, now, now, DROPPED))
        else:
            self.caller.begin(number, now)
            if (after := clock()) - now > BLOCKED_NS:
                self.excuse(number, now, after, BLOCKED)
        return now

    def excuse(self, number: int, since: int, until: int, why: int) -> None:
        """Note for how long the pool let nothing be sent."""
        self.noted += 1
        self.rows.add((number, since, until, why))

    def finish(self) -> None:
        """Note the end."""
        self.rows.close()
        self.finished(self)


class OpenOnLoop(Generator):
    """An open load on the pool's own loop: by a timer of the kernel's, exact to some ten microseconds."""

    def start(self, times: "array[int]", zero: int) -> None:
        """Begin; call it on the loop."""
        self._times, self._zero, self._at = times, zero, 0
        self._loop = asyncio.get_running_loop()
        self._timer = Timer(self._loop, self._turn)
        self._left_at, self._computed = clock(), time.thread_time_ns()
        self._turn()

    def _turn(self) -> None:
        times, zero = self._times, self._zero
        now, last = clock(), min(self._at + BURST, len(times))
        self._excuse(now)
        while self._at < last and times[self._at] + zero <= now and not self.stopped:
            number, self._at = self._at, self._at + 1
            now = self.send(number)
        self.rows.flush_at_times(now)
        if self._at == len(times) or self.stopped:
            self._last = now
            self._drain()
        elif times[self._at] + zero <= now:
            self._loop.call_soon(self._turn)
        else:
            self._timer.fire_at(min(times[self._at] + zero, now + FLUSH_NS))
        self._left_at, self._computed = clock(), time.thread_time_ns()

    def _excuse(self, now: int) -> None:
        """Note where others had the loop so long that an arrival was late; they computed, so it was not the machine."""
        if self._at < len(self._times):
            due = max(self._times[self._at] + self._zero, self._left_at)
            away = now - self._left_at
            if now - due > BLOCKED_NS and time.thread_time_ns() - self._computed > away // 2:
                self.excuse(self._at, due, now, BUSY)

    def _drain(self) -> None:
        self.rows.flush()
        if self.open and clock() - self._last < self.drain_ns and not self.stopped:
            self._timer.then(self._drain)
            self._timer.fire_at(clock() + SOON_NS)
        else:
            self._timer.close()
            self.finish()


class ClosedOnLoop(Generator):
    """A closed load on the pool's own loop: so many clients, each of which waits for its answer."""

    def start(self, clients: int, until: int) -> None:
        """Begin; call it on the loop."""
        self._until, self._clients = until, clients
        self._loop = asyncio.get_running_loop()
        for _ in range(clients):  # once at least, however late it is
            self.send(self.sent)
        self._flush()

    def ended(self, number: int, sent: int, outcome: int) -> None:
        """Note an operation's end, and have its client begin the next."""
        super().ended(number, sent, outcome)
        self._next()

    def _next(self) -> None:
        if clock() < self._until and not self.stopped:
            self.send(self.sent)
        else:
            self._clients -= 1

    def _flush(self) -> None:
        self.rows.flush()
        late = clock() > self._until + self.drain_ns or self.stopped
        if self._clients and not late:
            left = max(self._until - clock(), FLUSH_NS // 50)
            self._loop.call_later(min(left, FLUSH_NS) / 1e9, self._flush)
        else:
            self.stopped = True
            self._loop.call_soon(self.finish)


class OpenInThread(Generator):
    """An open load on a pool that is used from threads: one thread sends."""

    def start(self, times: "array[int]", zero: int) -> None:
        """Send each when it is due, and wait for the ends; blocks."""
        for number, due in enumerate(times):
            self._wait_until(due + zero)
            if self.stopped:
                break
            self.rows.flush_at_times(self.send(number))
        await_ends(self, clock() + self.drain_ns)
        self.finish()

    def _wait_until(self, due: int) -> None:
        while (left := due - clock()) > 0 and not self.stopped:
            time.sleep(min(left, FLUSH_NS) / 1e9)
            self.rows.flush_at_times(clock())


class ClosedInThread(Generator):
    """A closed load on a pool that is used from threads: one thread keeps so many open."""

    def start(self, clients: int, until: int) -> None:
        """Keep them open until it is time; blocks."""
        self._room = threading.Semaphore(clients)
        # Once at least, however late it is.
        while (left := until - clock()) > 0 or not self.sent:
            if self.stopped:
                break
            if self._room.acquire(timeout=min(max(left, 0), FLUSH_NS) / 1e9):
                self.rows.flush_at_times(self.send(self.sent))
            else:
                self.rows.flush()
        await_ends(self, until + self.drain_ns)
        self.finish()

    def ended(self, number: int, sent: int, outcome: int) -> None:
        """Note an operation's end, and make room for the next."""
        super().ended(number, sent, outcome)
        self._room.release()


def await_ends(generator: Generator, until: int) -> None:
    """Wait until nothing is open, or until it is time."""
    while generator.open and clock() < until and not generator.stopped:
        time.sleep(WAIT_NS / 1e9)
        generator.rows.flush()


@functools.cache
def overhead_ns(*, on_loop: bool) -> int:
    """Return what an operation costs the generator itself, in nanoseconds, by a rehearsal on a pool that does nothing.

    What waits for answers in threads, where a pool tells no ends, is not in it.
    """
    rows = Rows(os.devnull)
    generator = Generator(rows, 0.0, lambda _generator: None)
    work, pool = Work([[Asked(None, (), None, operator.eq)]], [0], ()), cast("Any", _Nobody())
    if on_loop:
        generator.caller = LoopCaller(pool, work, rows, generator.ended)
    else:
        generator.caller = ThreadCaller(pool, work, rows, generator.ended, _nobody_waits)
    began = clock()
    for number in range(_REHEARSED):
        rows.flush_at_times(generator.send(number))
    rows.close()
    return (clock() - began) // _REHEARSED


class _Nobody:
    """A pool, and its own future, whose operations end as they begin."""

    offers = frozenset({"callback"})

    def begin_on_loop(self, _function: Any, _args: tuple[Any, ...]) -> "_Nobody":
        return self

    def add_done_callback(self, callback: Callable[[Any], None]) -> None:
        callback(self)

    def submit_with_callback(self, callback: Callable[[Any], None], _function: Any) -> None:
        callback(self)

    def exception(self) -> None:
        return None

    def result(self) -> None:
        return None


def _nobody_waits(_wait: object) -> None:
    return None
