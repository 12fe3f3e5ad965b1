"""A process pool that breaks loudly, for good, at the first death of a worker, and ends cleanly.

Built on multiprocessing, with one thread and one connection a worker, and nothing in common with
the other pools here.
"""

import contextlib
import multiprocessing
import multiprocessing.connection
import os
import pickle
import signal
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from multiprocessing.context import ForkProcess

GRACE_S: Final = 0.3  # what waiting and running jobs are given at shutdown
context: Final = multiprocessing.get_context("fork")


class BrokenPoolError(Exception):
    """A worker has died: this job and all later ones are refused."""


class PoolClosedError(Exception):
    """The pool was shut down before the job was over."""


class RemoteError(Exception):
    """The job ended in something that cannot be handed over as it is; the text tells what."""


class Job(NamedTuple):
    future: Future[Any]
    request: bytes


class LoudPool:
    """Runs jobs in `workers` processes until one dies; from then on all raises BrokenPoolError."""

    def __init__(self, workers: int = 2) -> None:
        self._pending: deque[Job] = deque()
        self._changed = threading.Condition()
        self._broken: Exception | None = None
        self._closing = False
        self._ending = threading.Lock()
        self._processes: list[ForkProcess] = []
        self._threads: list[threading.Thread] = []
        self._bell, self._ring = context.Pipe(duplex=False)
        connections: list[Connection] = []
        with contextlib.ExitStack() as undo:
            undo.callback(self.shutdown)
            for _ in range(workers):
                connections.append(self._start_process(connections))
            for connection in connections:
                self._start_thread(self._drive, connection)
            self._start_thread(self._watch)
            undo.pop_all()

    def submit(self, function: Callable[..., Any], /, *args: Any) -> Future[Any]:
        """Queue one job; raises BrokenPoolError or PoolClosedError if there is nobody to run it."""
        future: Future[Any] = Future()
        try:
            job = Job(future, pickle.dumps((function, args)))
        except Exception as error:  # noqa: BLE001 (pickling runs anybody's code)
            future.set_exception(error)
            return future
        with self._changed:
            if self._broken or self._closing:
                raise self._broken or PoolClosedError("the pool is shut down")
            self._pending.append(job)
            self._changed.notify()
        return future

    def shutdown(self, *, wait: bool = True) -> None:
        """Refuse new jobs, give the others GRACE_S, end every worker."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        with self._ending if wait else contextlib.nullcontext():
            if wait and not self._bell.closed:
                self._end()

    def _end(self) -> None:
        until = time.monotonic() + GRACE_S
        for process in self._processes:
            process.join(max(0.0, until - time.monotonic()))
        self._break(PoolClosedError("the pool was shut down before the job was over"))
        for thread in self._threads:
            thread.join()
        for process in self._processes:
            process.join()
            process.close()
        self._bell.close()
        self._ring.close()

    def _start_process(self, others: Iterable[Connection]) -> Connection:
        ours, theirs = context.Pipe()
        with theirs:
            unneeded = [ours, *others, self._bell, self._ring]
            process = context.Process(target=serve, args=(theirs, unneeded), daemon=True)
            process.start()
            self._processes.append(process)
        return ours

    def _start_thread(self, target: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=target, args=args, name="loud-pool", daemon=True)
        thread.start()
        self._threads.append(thread)

    def _watch(self) -> None:
        """Wait for the first death of a worker, or for the bell."""
        sentinels = [process.sentinel for process in self._processes]
        multiprocessing.connection.wait([*sentinels, self._bell])
        if not self._closing:
            self._break(BrokenPoolError("a worker has died"))

    def _break(self, reason: Exception) -> None:
        with self._changed:
            self._broken = self._broken or reason
            lost = list(self._pending)
            self._pending.clear()
            self._changed.notify_all()
        for job in lost:
            if job.future.set_running_or_notify_cancel():
                settle(job.future, error=self._broken)
        self._ring.send_bytes(b"!")
        for process in self._processes:
            process.kill()

    def _drive(self, connection: Connection) -> None:
        """Feed one worker until the pool is closed or broken; the owner's troubles are told too."""
        with connection:
            try:
                while (job := self._next()) is not None:
                    self._ask(connection, job)
            except Exception as error:  # noqa: BLE001 (a shortage of memory shows anywhere)
                self._break(BrokenPoolError(f"the pool cannot work: {told(error)}"))

    def _ask(self, connection: Connection, job: Job) -> None:
        try:
            connection.send_bytes(job.request)
            reply = connection.recv_bytes()
        except Exception as error:  # noqa: BLE001 (the end of the file, or a shortage of memory)
            self._break(BrokenPoolError(f"the worker that had the job is lost: {told(error)}"))
            settle(job.future, error=self._broken)
        else:
            settle(job.future, *answer_in(reply))

    def _next(self) -> Job | None:
        with self._changed:
            while not self._broken:
                while self._pending:
                    job = self._pending.popleft()
                    if job.future.set_running_or_notify_cancel():
                        return job
                if self._closing:
                    return None
                self._changed.wait()
        return None


def settle(future: Future[Any], result: Any = None, error: Exception | None = None) -> None:
    """Resolve the future; what its callbacks raise is their own affair."""
    try:
        if error is None:
            future.set_result(result)
        else:
            future.set_exception(error)
    except BaseException:
        if not future.done():
            raise


def answer_in(reply: bytes) -> tuple[Any, Exception | None]:
    """Return a reply's result and error."""
    try:
        result, error = pickle.loads(reply)
    except BaseException as problem:  # noqa: BLE001 (unpickling runs anybody's code)
        return None, RemoteError(f"the job's answer cannot be read: {told(problem)}")
    return result, RemoteError(error) if isinstance(error, str) else error


def told(error: BaseException) -> str:
    return "".join(traceback.format_exception_only(error)).strip()


# What follows runs in the worker.


def serve(requests: Connection, unneeded: Iterable[Connection]) -> None:
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    for connection in unneeded:
        connection.close()
    threading.Thread(target=outlive_nobody, daemon=True).start()
    with contextlib.suppress(EOFError):
        while True:
            requests.send_bytes(answer(requests.recv_bytes()))


def outlive_nobody() -> None:
    """End this process, in the middle of its job, when the owner is gone."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    multiprocessing.connection.wait([parent.sentinel])
    os._exit(1)


def answer(request: bytes) -> bytes:
    try:
        function, args = pickle.loads(request)
        return pickle.dumps((function(*args), None))
    except Exception as error:  # noqa: BLE001 (a job may raise anything)
        return refusal(error)
    except BaseException as error:  # noqa: BLE001 (nor may sys.exit in a job end the worker)
        return pickle.dumps((None, told(error)))


def refusal(error: Exception) -> bytes:
    """Return the reply that carries the error, or its text if it cannot be pickled."""
    try:
        return pickle.dumps((None, error))
    except Exception:  # noqa: BLE001
        return pickle.dumps((None, told(error)))


def make_pool(workers: int = 2) -> LoudPool:
    """The pool that breaks loudly."""
    return LoudPool(workers)
