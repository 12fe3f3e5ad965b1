"""An event loop in the main thread, and a script in another thread that has work done on it."""

import asyncio
import contextlib
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future, InvalidStateError
from typing import Any, Final

SCRIPT_THREAD: Final = "poolproof-script"


class LoopEndedError(Exception):
    """The event loop ended before the call was answered: something brought the program down."""


class MainLoop:
    """Runs an event loop, under one root task, for as long as a script in another thread runs.

    What enters and leaves a pool runs in the root task itself, one after the other, because task
    groups and cancel scopes must be left by the task that entered them. Whatever has no answer when
    the loop ends raises `LoopEndedError`, so that no thread waits for ever for a loop that is gone.

    Attributes:
        on_cancelled: what the root task still does when it is cancelled, as `async with` would.
    """

    def __init__(self) -> None:
        self.on_cancelled: Callable[[BaseException], Awaitable[object]] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._orders: asyncio.Queue[Callable[[], Awaitable[None]] | None] = asyncio.Queue()
        self._lock = threading.Lock()
        self._unanswered: set[Future[Any]] = set()
        self._ended: str | None = None

    def run(self, script: Callable[[], None]) -> None:
        """Run the loop here until `script`, in its own thread, is over; raise what it raised.

        Should the loop end earlier, the script goes on, and each call raises `LoopEndedError`.
        """
        failures: list[BaseException] = []
        thread = threading.Thread(
            target=self._follow, args=(script, failures), name=SCRIPT_THREAD, daemon=True
        )
        try:
            with asyncio.Runner() as runner:
                self._run_in(runner, thread)
        finally:
            self._fail_unanswered()
            thread.join()
        if failures:
            raise failures[0]

    def _run_in(self, runner: asyncio.Runner, thread: threading.Thread) -> None:
        try:
            runner.run(self._root(thread))
            self._refuse("the script is over")
        except BaseException as error:  # noqa: BLE001 - a job's SystemExit, too: the script hears of it
            self._refuse(f"{type(error).__name__}: {error}".rstrip(": "))

    def soon(self, function: Callable[..., Any], *args: Any) -> Future[Any]:
        """Call a plain function on the loop; return the future of what it returns."""
        future = self.promise()

        def call() -> None:
            try:
                answer(future, result=function(*args))
            except BaseException as error:
                answer(future, error=error)
                if isinstance(error, KeyboardInterrupt | SystemExit):
                    raise

        self._wake(future, call)
        return future

    def in_root(self, make: Callable[[], Awaitable[Any]]) -> Any:
        """Await `make()` in the root task and return its result; blocks."""
        future = self.promise()

        async def order() -> None:
            try:
                answer(future, result=await make())
            except BaseException as error:
                answer(future, error=error)
                if not isinstance(error, Exception):
                    raise

        self._wake(future, lambda: self._orders.put_nowait(order))
        return future.result()

    def promise(self) -> Future[Any]:
        """Return a future that fails with `LoopEndedError` when the loop ends, if not answered."""
        future: Future[Any] = Future()
        with self._lock:
            self._unanswered.add(future)
        future.add_done_callback(self._answered)
        return future

    def _answered(self, future: Future[Any]) -> None:
        with self._lock:
            self._unanswered.discard(future)

    def _wake(self, future: Future[Any], call: Callable[[], None]) -> None:
        if self._loop is None:
            raise RuntimeError(
                "expected a running event loop, got none: use the adapter inside run_main(script)"
            )
        with self._lock:
            ended = self._ended
        if ended is not None:
            answer(future, error=_gone(ended))
            return
        with contextlib.suppress(RuntimeError):  # the loop has been closed just now
            self._loop.call_soon_threadsafe(call)

    async def _root(self, thread: threading.Thread) -> None:
        self._loop = asyncio.get_running_loop()
        thread.start()
        try:
            while (order := await self._orders.get()) is not None:
                await order()
        except asyncio.CancelledError as cancelled:
            if self.on_cancelled is not None:
                await self.on_cancelled(cancelled)
            raise

    def _follow(self, script: Callable[[], None], failures: list[BaseException]) -> None:
        try:
            script()
        except BaseException as error:  # noqa: BLE001 - raised again in the main thread
            failures.append(error)
        assert self._loop is not None
        with contextlib.suppress(RuntimeError):  # the loop is closed: it ended before its script
            self._loop.call_soon_threadsafe(self._orders.put_nowait, None)

    def _refuse(self, reason: str) -> None:
        with self._lock:
            self._ended = reason

    def _fail_unanswered(self) -> None:
        with self._lock:
            left = list(self._unanswered)
        for future in left:
            answer(future, error=_gone(self._ended))


def _gone(reason: str | None) -> LoopEndedError:
    return LoopEndedError(f"the event loop has ended ({reason})")


def answer(future: Future[Any], *, result: Any = None, error: BaseException | None = None) -> None:
    """Answer a future unless somebody else has: the first answer counts."""
    with contextlib.suppress(InvalidStateError):
        if error is None:
            future.set_result(result)
        else:
            future.set_exception(error)
