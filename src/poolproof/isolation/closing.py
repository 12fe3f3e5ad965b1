"""What can be released only while its loop runs: tasks, services with an asynchronous end, blocks that were entered."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Final, Protocol

from poolproof.errors import UsageError
from poolproof.isolation.cleaning import Cleaned, Released, raise_foreign

CANCEL_SECONDS: Final = 1.0
CLOSE_SECONDS: Final = 5.0
_ENDS: Final = ("aclose", "close", "dispose", "stop", "disconnect")


class Open(Protocol):
    """Something that has to be ended in its loop."""

    what: str

    async def end(self) -> str:
        """End it within a bound; return what there is to say of it."""
        ...

    def ended(self) -> bool:
        """Tell whether it has ended."""
        ...


class Task:
    """A task that the test has handed over: it is cancelled, and awaited."""

    def __init__(self, task: "asyncio.Future[Any]", what: str) -> None:
        self.what = what
        self._task = task

    async def end(self) -> str:
        """Cancel it, until it has ended or `CANCEL_SECONDS` are over.

        Raises:
            BaseException: what the task has raised, if nobody has looked at it.
        """
        if not self._task.done():
            self._task.cancel()
            await asyncio.wait([self._task], timeout=CANCEL_SECONDS)
        return self._outcome()

    def _outcome(self) -> str:
        if not self._task.done():
            return f"stubborn: still running {CANCEL_SECONDS:g} s after it was cancelled"
        # Private, and the only place where asyncio keeps whether an exception was seen by anybody.
        unseen = getattr(self._task, "_log_traceback", False)
        if unseen and not self._task.cancelled() and (error := self._task.exception()):
            raise error
        return ""

    def ended(self) -> bool:
        """Tell whether it is done."""
        return self._task.done()


class Service:
    """A service made for this test; ended by the first of `aclose`, `close`, `dispose`, `stop`, `disconnect` it has."""

    def __init__(self, service: object, what: str) -> None:
        self.what = what
        ends = (getattr(service, name, None) for name in _ENDS)
        self._end: Callable[[], Any] | None = next((end for end in ends if callable(end)), None)
        self._over = self._end is None

    async def end(self) -> str:
        """Call its end, and await it if it is to be awaited."""
        if self._end is not None and not self._over:
            answer = self._end()
            if inspect.isawaitable(answer):
                await answer
        self._over = True
        return ""

    def end_now(self) -> None:
        """Call its end where no loop runs.

        Raises:
            UsageError: it has to be awaited.
        """
        if self._end is None or self._over:
            return
        answer = self._end()
        if inspect.isawaitable(answer):
            with suppress(AttributeError):
                answer.close()  # type: ignore[attr-defined]
            raise UsageError(
                f"expected an async test to end {self.what}, whose end is to be awaited, got one without a loop"
            )
        self._over = True

    def ended(self) -> bool:
        """Tell whether its end has returned."""
        return self._over


class Block:
    """An asynchronous context manager that was entered for this test."""

    def __init__(self, manager: Any, what: str, proof: Callable[[], bool] | None) -> None:
        self.what = what
        self._manager = manager
        self._proof = proof
        self._left = False

    async def end(self) -> str:
        """Leave the block."""
        if not self._left:
            await self._manager.__aexit__(None, None, None)
            self._left = True
        return ""

    def ended(self) -> bool:
        """Tell whether it was left and, where there is a proof, whether that holds."""
        return self._left and (self._proof is None or self._proof())


async def end_all(opened: list[Open]) -> Cleaned:
    """End in reverse order, each within `CLOSE_SECONDS`; what has ended leaves the list.

    Raises:
        BaseException: the first error that is no Exception, after all were tried.
    """
    released: list[Released] = []
    errors: list[tuple[str, BaseException]] = []
    for one in reversed(opened[:]):
        note = ""
        try:
            note = await _bounded(one.end())
        except TimeoutError:
            note = f"its end was not over after {CLOSE_SECONDS:g} s"
        except BaseException as error:  # noqa: BLE001 - kept: the others are ended, too
            errors.append((one.what, error))
        if one.ended():
            opened.remove(one)
        released.append(Released(what=one.what, verified=one.ended(), note=note))
    raise_foreign(errors)
    return Cleaned(tuple(released), tuple(errors))


async def _bounded(end: Awaitable[str]) -> str:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return await end  # another library's loop: its own limits hold
    async with asyncio.timeout(CLOSE_SECONDS):
        return await end
