"""A worker that does what a test has written down: a list of instructions, and proof that all were played.

For the layers in this process. One script is played by all workers that are made from it, so that a
replacement goes on where the dead one has stopped.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final, Literal

from poolproof.errors import PoolproofError

Call = Literal["init", "handle", "ping", "terminate"]
ANY: Final = object()
"""A request that may be anything."""
_CHARACTERS: Final = 200


class ScriptError(PoolproofError):
    """A worker was asked for something else than its script says, or for more; its caller gets this."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Instruction:
    """What the next call is, and what comes of it; without a word it returns None.

    Attributes:
        call: which method is to be called next.
        until: is waited for first.
        returns: what it returns.
        does: called with the call's arguments instead; what it returns, or raises, counts.
        raises: what it raises.
        exits: the status with which it ends its worker.
    """

    call: ClassVar[Call]
    until: asyncio.Event | None = None
    returns: Any = None
    does: Callable[..., Any] | None = None
    raises: BaseException | None = None
    exits: int | None = None

    def fits(self, call: Call, request: tuple[Any, ...]) -> bool:
        """Tell whether this is the call."""
        return call == self.call and not request

    async def play(self, request: tuple[Any, ...]) -> Any:
        """Do it."""
        if self.until is not None:
            await self.until.wait()
        if self.exits is not None:
            raise SystemExit(self.exits)
        if self.raises is not None:
            raise self.raises
        return self.returns if self.does is None else self.does(*request)

    def __str__(self) -> str:
        return f"{self.call}()"


@dataclass(frozen=True, slots=True, kw_only=True)
class Init(Instruction):
    """A worker starts."""

    call: ClassVar[Call] = "init"


@dataclass(frozen=True, slots=True)
class Handle(Instruction):
    """A worker is given a request: this one, if it is named."""

    call: ClassVar[Call] = "handle"
    request: Any = field(default=ANY, kw_only=False)

    def fits(self, call: Call, request: tuple[Any, ...]) -> bool:
        """Tell whether this is the call."""
        return call == self.call and (self.request is ANY or (self.request,) == request)

    def __str__(self) -> str:
        return f"handle({'...' if self.request is ANY else _shown(self.request)})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ping(Instruction):
    """A worker is asked whether it is well; False is no."""

    call: ClassVar[Call] = "ping"


@dataclass(frozen=True, slots=True, kw_only=True)
class Terminate(Instruction):
    """A worker is told to leave."""

    call: ClassVar[Call] = "terminate"


class Script:
    """Instructions, in the order in which they are to be played; `worker` is who plays them.

    A method that no instruction names is not scripted: it does nothing, as often as it is called.
    Any other call that is not the next one raises `ScriptError`, in the worker, and is remembered.

    Attributes:
        worker: the target of a pool, or of a `WorkerSpec`.
        problems: what was called though another call, or none, was next.

    Example:
        >>> script = Script(
        ...     Handle({"add": 4}, returns=4),
        ...     Handle(raises=ValueError("no")),
        ...     Handle(exits=3),
        ... )
        >>> async with start_isolated_pool(script.worker, layer="mock", size=1) as pool:
        ...     assert await pool.submit({"add": 4}) == 4
        >>> script.assert_drained()
        Traceback (most recent call last):
        AssertionError: expected a script that was played to its end, got 2 instructions left: ...
    """

    def __init__(self, *instructions: Instruction) -> None:
        self.problems: list[str] = []
        self._left = deque(instructions)
        self._named = frozenset(instruction.call for instruction in instructions)
        self.worker = _worker_of(self)

    @property
    def left(self) -> tuple[Instruction, ...]:
        """The instructions that were not played yet."""
        return tuple(self._left)

    async def play(self, call: Call, *request: Any) -> Any:
        """Play the next instruction, if that is this call.

        Raises:
            ScriptError: it is not; or what the instruction says.
        """
        if call not in self._named:
            return None
        if not self._left or not self._left[0].fits(call, request):
            self._refuse(call, request)
        return await self._left.popleft().play(request)

    def _refuse(self, call: Call, request: tuple[Any, ...]) -> None:
        expected = str(self._left[0]) if self._left else "no more calls"
        got = f"{call}({', '.join(map(_shown, request))})"
        self.problems.append(f"expected {expected} next, got {got}")
        raise ScriptError(self.problems[-1])

    def assert_drained(self) -> None:
        """Check that every instruction was played, and nothing else was asked for.

        Raises:
            AssertionError: it is not so; says what was left, and what was wrong.
        """
        wrong = list(self.problems)
        if self._left:
            names = ", ".join(map(str, self._left))
            count = len(self._left)
            wrong.append(f"{count} instruction{'s' * (count > 1)} left: {names}")
        if wrong:
            raise AssertionError(
                f"expected a script that was played to its end, got {'; '.join(wrong)}"
            )


def _worker_of(script: Script) -> type:
    class ScriptedWorker:
        """Plays its script."""

        async def init(self) -> None:
            await script.play("init")

        async def handle(self, request: Any) -> Any:
            return await script.play("handle", request)

        async def ping(self) -> Any:
            return await script.play("ping")

        async def terminate(self) -> None:
            await script.play("terminate")

    return ScriptedWorker


def _shown(value: Any) -> str:
    return repr(value)[:_CHARACTERS]
