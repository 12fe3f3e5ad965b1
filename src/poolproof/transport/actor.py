"""The author's object inside a worker: how it is made from its spec, and asked for one thing."""

import asyncio
import inspect
from collections.abc import Callable, Mapping, MutableSequence
from dataclasses import dataclass
from typing import Any, Final

from poolproof.errors import NotCarriedError, UsageError
from poolproof.transport import describe, protocol
from poolproof.transport.base import Command, Each, Reply, Request, WorkerSpec

Clock = Callable[[], int]
Mark = MutableSequence[int] | memoryview
"""Two numbers that a worker shares with its link: the id it began last, and the id through which the
pool has recalled what is not begun. Each is written by one side only."""
BEGUN, RECALLED = 0, 1
RAISABLE: Final = (Exception, asyncio.CancelledError)
"""What a handler may raise without ending its worker; SystemExit, for one, ends it."""
EACH_NS: Final = 1_000_000
"""How long a list of payloads may be done in a row before what is done of it is answered."""
_UNWELL: Final = "it answered False"


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """What a worker can be asked for; `asynchronous` if any of it is a coroutine function."""

    handle: Callable[[Any], Any]
    init: Callable[[], Any] | None = None
    ping: Callable[[], Any] | None = None
    terminate: Callable[[], Any] | None = None
    asynchronous: bool = False


def check(spec: WorkerSpec) -> None:
    """Refuse a spec that no layer could carry out.

    Raises:
        UsageError: its target is neither a function nor a class with `handle`.
    """
    target = spec.target
    if isinstance(target, Command):
        return
    good = (
        callable(getattr(target, "handle", None)) if isinstance(target, type) else callable(target)
    )
    if not good:
        raise UsageError(
            f"expected a class with a method handle(request), or a function of one request,"
            f" got {target!r}; give the worker a handle"
        )


def make(spec: WorkerSpec) -> Actor:
    """Make the author's object; raises what its constructor raises."""
    target, args, kwargs = spec.target, spec.args, spec.kwargs
    assert not isinstance(target, Command)
    if not isinstance(target, type):
        return Actor(handle=_bound(target, args, kwargs), asynchronous=_is_async(target))
    made = target(*args, **kwargs)
    found = {name: getattr(made, name, None) for name in ("init", "ping", "terminate")}
    asynchronous = any(map(_is_async, (made.handle, *found.values())))
    return Actor(handle=made.handle, asynchronous=asynchronous, **found)


def _bound(
    function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> Callable[[Any], Any]:
    if not args and not kwargs:
        return function

    def handle(request: Any) -> Any:
        return function(request, *args, **kwargs)

    return handle


def _is_async(method: Any) -> bool:
    code = getattr(method, "__code__", None)
    if code is not None:  # a plain function or method; the general way costs a new process dear
        return bool(code.co_flags & inspect.CO_COROUTINE)
    call = getattr(method, "__call__", None)  # noqa: B004 - asked for what it is, not whether it is
    return method is not None and any(map(inspect.iscoroutinefunction, (method, call)))


def problem(method: Callable[[], Any] | None) -> str | None:
    """Call a `ping` or `terminate` that is no coroutine function; return what it said was wrong.

    Only False, as an answer, is no.
    """
    try:
        return _UNWELL if method is not None and method() is False else None
    except RAISABLE as error:
        return _said(error)


async def problem_async(method: Callable[[], Any] | None) -> str | None:
    """The same for one that may be a coroutine function; a cancellation is raised, as it may be ours."""
    try:
        return _UNWELL if method is not None and await awaited(method) is False else None
    except Exception as error:  # noqa: BLE001 - it is told to who asked
        return _said(error)


def _said(error: BaseException) -> str:
    told = describe.raised(error)
    return f"it raised {told.type}: {told.message}"


def exit_status(end: BaseException) -> int:
    """Return the exit status that Python gives to what ends a process."""
    if not isinstance(end, SystemExit):
        return 1
    code = end.code
    return code & 0xFF if isinstance(code, int) else int(code is not None)


def refusal(request: Request, epoch: int, clock: Clock) -> Reply | None:
    """Return the reply to a request that must not be begun, else None."""
    if request[4] != epoch:
        return (request[0], False, describe.stale(request[4], epoch))
    if request[2] and clock() > request[2]:
        return (request[0], False, describe.expired())
    return None


def answer(actor: Actor, request: Request, epoch: int, clock: Clock) -> Reply:
    """Do one request, in an actor that is not asynchronous; what is no `RAISABLE` is raised."""
    if request[4] != epoch or (request[2] and clock() > request[2]):
        refused = refusal(request, epoch, clock)
        if refused is not None:
            return refused
    try:
        return (request[0], True, actor.handle(request[1]))
    except RAISABLE as error:
        return (request[0], False, describe.raised(error))


def answer_each(actor: Actor, request: Each, epoch: int, clock: Clock) -> Reply:
    """Do a list of payloads one after the other, as `answer` does one; see `Each`."""
    refused = refusal(request, epoch, clock)
    if refused is not None:
        return refused
    handle, values = actor.handle, list[Any]()
    room, until = protocol.GOOD_BYTES, clock() + EACH_NS
    try:
        for payload in request[1]:  # each call in here is made for every one of them
            value = handle(payload)
            values.append(value)
            if type(value) not in protocol.SHORT:
                room -= protocol.length(value)
            if room <= 0 or clock() > until:
                break
    except RAISABLE as error:
        return (request[0], False, describe.raised(error))
    return (request[0], True, values)


class Room:
    """How much of a list may still be done before it is answered: by time, and by the bytes of the values."""

    __slots__ = ("_bytes", "_clock", "_until")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._until = clock() + EACH_NS
        self._bytes = protocol.GOOD_BYTES

    def used_by(self, value: Any) -> bool:
        """Take note of another value; return whether there is no room for more."""
        self._bytes -= protocol.length(value)
        return self._bytes <= 0 or self._clock() > self._until


async def awaited(method: Callable[[], Any]) -> Any:
    """Call a method that may be a coroutine function."""
    value = method()
    return await value if inspect.isawaitable(value) else value


def not_carried(request_id: int, error: NotCarriedError, *, happened: bool) -> Reply:
    """Return the reply for a payload or a value that no wire can carry."""
    return (request_id, False, describe.refused(error, may_have_happened=happened))
