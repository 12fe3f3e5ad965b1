"""A sound thread pool: one queue under one condition, and no way for a job to end its thread."""

import contextlib
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Final, NamedTuple

RETRY_S: Final = 0.05  # pause after a shortage of memory


class PoolClosedError(Exception):
    """The pool was shut down before the job was submitted."""


class JobExitError(Exception):
    """The job tried to end its thread: SystemExit, KeyboardInterrupt or their like."""


class Job(NamedTuple):
    future: Future[Any]
    function: Callable[..., Any]
    args: tuple[Any, ...]


class ThreadPool:
    """Runs jobs in `workers` threads, in the order of submission; `shutdown` waits for them all."""

    def __init__(self, workers: int = 2) -> None:
        self._pending: deque[Job] = deque()
        self._changed = threading.Condition()
        self._closing = False
        self._threads: list[threading.Thread] = []
        with contextlib.ExitStack() as undo:
            undo.callback(self.shutdown)
            for number in range(workers):
                thread = threading.Thread(target=self._serve, name=f"pool-{number}", daemon=True)
                thread.start()
                self._threads.append(thread)
            undo.pop_all()

    def submit(self, function: Callable[..., Any], /, *args: Any) -> Future[Any]:
        """Queue one job; whatever becomes of it is told by the future."""
        job = Job(Future(), function, args)
        with self._changed:
            if self._closing:
                raise PoolClosedError("the pool is shut down")
            self._pending.append(job)
            self._changed.notify()
        return job.future

    def shutdown(self, *, wait: bool = True) -> None:
        """Refuse new jobs; wait until the accepted ones are over and the threads have ended."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        for thread in self._threads if wait else ():
            if thread is not threading.current_thread():
                thread.join()

    def _serve(self) -> None:
        while True:
            try:
                job = self._next()
            except MemoryError:
                time.sleep(RETRY_S)
                continue
            if job is None:
                return
            run(job)

    def _next(self) -> Job | None:
        with self._changed:
            while not self._pending and not self._closing:
                self._changed.wait()
            return self._pending.popleft() if self._pending else None


def run(job: Job) -> None:
    """Run the job unless it was cancelled, and resolve its future."""
    if not job.future.set_running_or_notify_cancel():
        return
    result, error = None, None
    try:
        result = job.function(*job.args)
    except Exception as raised:  # noqa: BLE001 (a job may raise anything)
        error = raised
    except BaseException as raised:  # noqa: BLE001 (nor may sys.exit in a job end the thread)
        error = JobExitError("".join(traceback.format_exception_only(raised)).strip())
    settle(job.future, result, error)


def settle(future: Future[Any], result: Any, error: Exception | None) -> None:
    """Resolve the future; what its callbacks raise is their own affair."""
    try:
        if error is None:
            future.set_result(result)
        else:
            future.set_exception(error)
    except BaseException:
        if not future.done():
            raise


def make_pool(workers: int = 2) -> ThreadPool:
    """The sound thread pool."""
    return ThreadPool(workers)
