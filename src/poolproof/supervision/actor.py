"""Children that are actors.

A behaviour with a mailbox, a state, and the system messages of OTP's `sys`.
"""

# ruff: noqa: ASYNC109 -- a limit is part of the question here: its error says what may have happened

import asyncio
import inspect
from collections import deque
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple, Protocol

from poolproof.errors import PoolproofError
from poolproof.supervision.answers import GoneError, answer_of
from poolproof.supervision.coroutine import CoroutineProcess, wait_until_up
from poolproof.supervision.links import Exit
from poolproof.supervision.overriding import override
from poolproof.supervision.process import Parent, Process, SystemRequest
from poolproof.supervision.reasons import NOPROC, ExitReason, ExitWith

DEFAULT_MAILBOX_LIMIT: Final = 100_000
CALL_SECONDS: Final = 5.0


class Behaviour(Protocol):
    """What an actor does. Every method may be a coroutine function; all but `handle` are optional.

    Optional members, used where they exist:
        `init(process)`       before the actor is up; what it raises is a failed start.
        `terminated(reason)`  clean-up of an actor that traps exits, within its supervisor's
        patience.
        `trap_exit`           True: exit signals arrive as `Exit` messages, and the parent's ends it
        in order.
        `state`               what `state()` and `replace_state()` are about; without it, the
        behaviour itself.
    """

    def handle(self, message: Any, /) -> Any:
        """React to one message.

        The result answers a `call`. Raise `ExitWith` to end with a reason of your own.
        """


class MailboxFullError(PoolproofError):
    """The actor has more unhandled messages than its limit; this one was not accepted."""

    def __init__(self, process: Process, limit: int) -> None:
        super().__init__(
            f"expected fewer than {limit} unhandled messages at {process!r}, got {limit}; slow down"
        )
        self.process, self.limit = process, limit


@dataclass(frozen=True, slots=True, kw_only=True)
class Traced:
    """What a tracer is told.

    A message came `in`, an answer went `out`, or the `state` was replaced.
    """

    event: Literal["in", "out", "state"]
    process: Process
    value: Any


class _Call(NamedTuple):
    message: Any
    answered: "asyncio.Future[Any]"


class _System(NamedTuple):
    request: SystemRequest
    answered: "asyncio.Future[Any]"


class _ParentExit(NamedTuple):
    reason: ExitReason


class ActorProcess(CoroutineProcess):
    """A running actor; made by a supervisor from `actor(...)`, or by `spawn_actor`."""

    __slots__ = (
        "_behaviour",
        "_limit",
        "_mailbox",
        "_suspended",
        "_tracer",
        "_traps",
        "_waiter",
        "up",
    )

    def __init__(
        self, make: Callable[[], Any], loop: asyncio.AbstractEventLoop, limit: int
    ) -> None:
        self._mailbox: deque[Any] = deque()
        self._limit = limit
        self._behaviour: Any = None
        self._suspended = self._traps = False
        self._tracer: Callable[[Traced], None] | None = None
        self._waiter: asyncio.Future[None] | None = None
        self.up: asyncio.Future[None] = loop.create_future()
        super().__init__(self._live(make), loop)

    def cast(self, message: Any) -> None:
        """Send a message and expect nothing.

        To one that has ended it is lost without a word, as in OTP.

        Raises:
            MailboxFullError: it has too many already.
        """
        if not self.alive:
            return
        if len(self._mailbox) >= self._limit:
            raise MailboxFullError(self, self._limit)
        self._put(message)

    async def call(self, message: Any, *, timeout: float = CALL_SECONDS) -> Any:
        """Send a message and return the answer of `handle`.

        Raises:
            GoneError: it has ended, before or after it had the message.
            NoAnswerError: no answer within `timeout` seconds; it may still come to handle the
                message.
            MailboxFullError: it has too many already.
        """
        if not self.alive:
            raise GoneError(self, NOPROC)
        answered: asyncio.Future[Any] = self.loop.create_future()
        self.cast(_Call(message, answered))
        return await self._answer(answered, timeout)

    async def _answer(self, answered: "asyncio.Future[Any]", timeout: float) -> Any:
        def ended(_: Process, reason: ExitReason) -> None:
            if not answered.done():
                answered.set_exception(GoneError(self, reason))

        self.watch(ended)
        try:
            return await answer_of(self, answered, timeout)
        finally:
            self.unwatch(ended)

    @override
    def system(self, request: SystemRequest, /) -> "asyncio.Future[Any]":
        """Queue a system message; it is served also while the actor is suspended."""
        answered: asyncio.Future[Any] = self.loop.create_future()
        if self.alive:

            def ended(_: Process, reason: ExitReason) -> None:
                if not answered.done():
                    answered.set_exception(GoneError(self, reason))

            self.watch(ended)
            answered.add_done_callback(lambda _: self.unwatch(ended))
            self._put(_System(request, answered))
        else:
            answered.set_exception(GoneError(self, NOPROC))
        return answered

    @override
    def signal(self, reason: ExitReason, sender: Process | None, /) -> None:
        """Trap the signal, or end by it."""
        if not self._traps:
            super().signal(reason, sender)
        elif sender is not None and self.ticket is not None and sender is self.ticket.supervisor:
            self._put(_ParentExit(reason))
        else:
            self._put(Exit(sender, reason))

    def _put(self, message: Any) -> None:
        self._mailbox.append(message)
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    # The actor's own task.

    async def _live(self, make: Callable[[], Any]) -> None:
        self._behaviour = make()
        self._traps = bool(getattr(self._behaviour, "trap_exit", False))
        if (init := getattr(self._behaviour, "init", None)) is not None:
            await _result(init(self))
        self.up.set_result(None)
        while True:
            message = self._next()
            if message is None:
                self._waiter = self.loop.create_future()
                await self._waiter
            else:
                await self._dispatch(message)

    def _next(self) -> Any:
        if not self._suspended:
            return self._mailbox.popleft() if self._mailbox else None
        message = next(
            (one for one in self._mailbox if isinstance(one, _System | _ParentExit)), None
        )
        if message is not None:
            self._mailbox.remove(message)
        return message

    async def _dispatch(self, message: Any) -> None:
        match message:
            case _Call():
                await self._handle_call(message)
            case _System():
                self._serve(message)
            case _ParentExit(reason):
                if (terminated := getattr(self._behaviour, "terminated", None)) is not None:
                    await _result(terminated(reason))
                raise ExitWith(reason)
            case _:
                self._trace("in", message)
                await _result(self._behaviour.handle(message))

    async def _handle_call(self, call: _Call) -> None:
        if call.answered.cancelled():
            return
        self._trace("in", call.message)
        answer = await _result(self._behaviour.handle(call.message))
        self._trace("out", answer)
        if not call.answered.done():
            call.answered.set_result(answer)

    def _serve(self, message: _System) -> None:
        if message.answered.done():
            return
        try:
            answer = self._serve_request(message.request)
        except Exception as exception:  # noqa: BLE001 (the asker's mistake must not end the actor)
            message.answered.set_exception(exception)
        else:
            message.answered.set_result(answer)

    def _serve_request(self, request: SystemRequest) -> Any:
        match request.name:
            case "state":
                return getattr(self._behaviour, "state", self._behaviour)
            case "replace_state":
                return self._replace_state(request.argument)
            case "trace":
                self._tracer = request.argument
            case name:
                self._suspended = name == "suspend"
        return None

    def _replace_state(self, change: Callable[[Any], Any]) -> Any:
        if hasattr(self._behaviour, "state"):
            new = change(self._behaviour.state)
            self._behaviour.state = new
        else:
            new = self._behaviour = change(self._behaviour)
        self._trace("state", new)
        return new

    def _trace(self, event: Literal["in", "out", "state"], value: Any) -> None:
        if self._tracer is not None:
            self._tracer(Traced(event=event, process=self, value=value))


async def _result(value: Any) -> Any:
    return await value if inspect.isawaitable(value) else value


class ActorStarter:
    """Starts an actor with a fresh behaviour each time; made by `actor`."""

    __slots__ = ("_args", "_limit", "_make", "_start_timeout")

    def __init__(
        self, make: Callable[..., Any], args: tuple[Any, ...], *, start_timeout: float, limit: int
    ) -> None:
        self._make, self._args, self._start_timeout, self._limit = make, args, start_timeout, limit

    @property
    def name(self) -> str:
        """What is started, for people."""
        return getattr(self._make, "__qualname__", repr(self._make))

    def start(self, parent: Parent, _id: Hashable, /) -> Awaitable[ActorProcess]:
        """Start the actor; it is up when its `init` has returned."""
        return self.start_on(parent.loop)

    async def start_on(self, loop: asyncio.AbstractEventLoop) -> ActorProcess:
        """Start the actor for nobody in particular and wait until it is up."""
        process = ActorProcess(lambda: self._make(*self._args), loop, self._limit)
        await wait_until_up(process, process.up, self._start_timeout)
        return process


def actor(
    make: Callable[..., Any],
    *args: Any,
    start_timeout: float = 60.0,
    mailbox_limit: int = DEFAULT_MAILBOX_LIMIT,
) -> ActorStarter:
    """Return a starter for an actor whose behaviour is `make(*args)`, made anew at every start.

    Args:
        make: a class or function that returns a `Behaviour`.
        *args: its arguments.
        start_timeout: seconds that `init` may take.
        mailbox_limit: how many unhandled messages are accepted.
    """
    return ActorStarter(make, args, start_timeout=start_timeout, limit=mailbox_limit)


async def spawn_actor(make: Callable[..., Any], *args: Any) -> ActorProcess:
    """Start an actor that nobody supervises."""
    return await actor(make, *args).start_on(asyncio.get_running_loop())
