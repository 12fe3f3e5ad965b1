"""Our own pool for any function, as `poolproof check` and executors want it: pickled there and back."""

import pickle
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from poolproof.errors import UsageError
from poolproof.stack.environment import build_test_env
from poolproof.stack.tree import Stack, start_stack
from poolproof.transport.base import Layer


class Calls:
    """A worker whose requests are calls: a pickled `(function, args)`."""

    def handle(self, request: bytes) -> bytes:
        """Make the call; an exception is a result, too, so that the caller gets the very same."""
        function, args = pickle.loads(request)  # noqa: S301 - from our own caller
        try:
            result = function(*args)
        except Exception as error:  # noqa: BLE001 - it is carried to the caller
            return _pickled_error(error)
        return pickle.dumps((True, result))


def _pickled_error(error: Exception) -> bytes:
    """Return a pickled exception; one that does not survive it is raised, as text."""
    content = pickle.dumps((False, error))
    pickle.loads(content)  # noqa: S301 - our own
    return content


class FunctionPool:
    """A stack that runs plain functions, used as `async with`.

    Example:
        >>> async with FunctionPool("full", workers=4) as pool:
        ...     await pool.submit(math.factorial, 20)
    """

    def __init__(self, layer: Layer, *, workers: int = 2, **settings: Any) -> None:
        self._layer: Layer = layer
        self._settings = {"size": workers, "overflow": 0, **settings}
        self._stack: Stack | None = None

    async def __aenter__(self) -> Self:
        env = build_test_env(Calls, layer=self._layer, test="FunctionPool", pool=self._settings)
        self._stack = await start_stack(env)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._stack is not None:
            await self._stack.stop()

    @property
    def stack(self) -> Stack:
        """The stack behind it.

        Raises:
            UsageError: it was not entered.
        """
        if self._stack is None:
            raise UsageError(
                "expected a pool that was entered, got one that was not; use `async with`"
            )
        return self._stack

    async def submit(self, function: Callable[..., Any], /, *args: Any) -> Any:
        """Call `function(*args)` in a worker; return its result or raise its exception.

        Raises:
            PoolError: the job was not done, or it is not known; `may_have_happened` says which.
        """
        request = pickle.dumps((function, args))
        ok, result = pickle.loads(await self.stack.submit(request))  # noqa: S301 - from our own worker
        if ok:
            return result
        raise result


def mock(workers: int = 2) -> FunctionPool:
    """Return a stack of actors in this process, for `poolproof check poolproof.stack:mock`."""
    return FunctionPool("mock", workers=workers)


def bridge_mock(workers: int = 2) -> FunctionPool:
    """Return a stack of actors behind the real protocol, for `poolproof check`."""
    return FunctionPool("bridge_mock", workers=workers)


def full(workers: int = 2) -> FunctionPool:
    """Return a stack of operating-system workers, for `poolproof check poolproof.stack:full`."""
    return FunctionPool("full", workers=workers)
