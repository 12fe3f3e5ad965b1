"""A sound process pool: one forked process and one pair of pipes a worker, and nothing shared.

A single thread of the owner forks, feeds and buries the workers, so that whatever goes wrong with
one of them is seen in one place and becomes the error of the one job that it had.
"""

import contextlib
import ctypes
import os
import pickle
import select
import signal
import struct
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Final

GRACE_S: Final = 0.3  # what running and waiting jobs are given at shutdown
RETRY_S: Final = 0.05  # pause after a shortage of processes, descriptors or memory
CHUNK_BYTES: Final = 1 << 16
PR_SET_PDEATHSIG: Final = 1
HEADER: Final = struct.Struct("!Q")
libc: Final = ctypes.CDLL(None)


class PoolError(Exception):
    """The pool could not carry the job out, or cannot say what became of it."""


class WorkerDiedError(PoolError):
    """The job's worker died; the job may have run, in part or in whole."""


class SpawnError(PoolError):
    """No worker is left and none can be started now; the job was not run."""


class PoolClosedError(PoolError):
    """The pool was shut down before the job was over."""


class QueueFullError(PoolError):
    """As many jobs wait as may; this one is not run."""


class RemoteError(PoolError):
    """The job ended in something that cannot be handed over as it is; the text tells what."""


@dataclass(slots=True, eq=False)
class Job:
    future: Future[Any]
    request: bytes
    attempts: int = 0


@dataclass(slots=True, eq=False)
class Worker:
    pid: int
    pidfd: int
    requests: int
    replies: int
    job: Job | None = None
    unsent: memoryview = field(default_factory=lambda: memoryview(b""))
    received: bytearray = field(default_factory=bytearray)
    served: bool = False
    doom: PoolError | None = None


class ProcessPool:
    """Runs jobs in `workers` processes; one whose worker dies is tried `retries` more times.

    When `bound` jobs wait, the next is refused.
    """

    def __init__(
        self, workers: int, *, retries: int = 0, bound: int = 1000, promises: Mapping[str, object]
    ) -> None:
        self.promises = promises
        self._width, self._retries, self._bound = workers, retries, bound
        self._pending: deque[Job] = deque()
        self._workers: list[Worker] = []
        self._by_fd: dict[int, Worker] = {}
        self._lock = threading.Lock()
        self._deadline: float | None = None
        self._retry_at = 0.0
        self._wake_r, self._wake_w = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._epoll = select.epoll()
        self._epoll.register(self._wake_r, select.EPOLLIN)
        self._thread = threading.Thread(target=self._run, name="process-pool", daemon=True)
        self._thread.start()

    def submit(self, function: Callable[..., Any], /, *args: Any) -> Future[Any]:
        """Queue one job; whatever becomes of it is told by the future."""
        future: Future[Any] = Future()
        try:
            request = frame((function, args))
        except Exception as error:  # noqa: BLE001 (pickling runs anybody's code)
            future.set_exception(error)
            return future
        with self._lock:
            if len(self._pending) >= self._bound:
                raise QueueFullError(f"{self._bound} jobs wait, which is the bound")
            if self._deadline is not None:
                raise PoolClosedError("the pool is shut down")
            self._pending.append(Job(future, request))
            self._wake()
        return future

    def shutdown(self, *, wait: bool = True) -> None:
        """Refuse new jobs, give the others GRACE_S, end every worker; a second call only waits."""
        with self._lock:
            if self._deadline is None:
                self._deadline = time.monotonic() + GRACE_S
                self._wake()
        if wait and threading.current_thread() is not self._thread:
            self._thread.join()

    def _wake(self) -> None:
        with contextlib.suppress(BlockingIOError):  # a full pipe wakes as well
            os.write(self._wake_w, b"\0")

    # What follows runs in the dispatcher's thread: nobody else forks, feeds or buries.

    def _run(self) -> None:
        while not self._is_over():
            try:
                self._turn()
            except Exception as error:  # noqa: BLE001 (a shortage of memory shows anywhere)
                self._fail_pending(PoolError(f"the pool cannot work now: {told(error)}"))
                time.sleep(RETRY_S)
        with self._lock:
            self._epoll.close()
            os.close(self._wake_r)
            os.close(self._wake_w)

    def _turn(self) -> None:
        self._fill()
        self._assign()
        self._close_down()
        if self._is_over():
            return
        for fd, _ in self._epoll.poll(self._patience()):
            if fd == self._wake_r:
                os.read(fd, CHUNK_BYTES)
            elif worker := self._by_fd.get(fd):
                self._attend(worker, fd)

    def _is_over(self) -> bool:
        return self._deadline is not None and not self._workers and not self._pending

    def _patience(self) -> float | None:
        waits: list[float] = []
        if len(self._workers) < self._width and (self._deadline is None or self._pending):
            waits.append(RETRY_S)
        if self._deadline is not None and (left := self._deadline - time.monotonic()) > 0:
            waits.append(left)
        return min(waits, default=None)

    def _fill(self) -> None:
        if time.monotonic() < self._retry_at or (self._deadline is not None and not self._pending):
            return
        try:
            while len(self._workers) < self._width:
                self._spawn()
        except (OSError, MemoryError) as error:
            self._retry_at = time.monotonic() + RETRY_S
            if not self._workers:
                self._fail_pending(SpawnError(f"no worker can be started: {told(error)}"))

    def _spawn(self) -> None:
        with contextlib.ExitStack() as undo, contextlib.ExitStack() as theirs:
            requests_r, requests_w = os.pipe()
            theirs.callback(os.close, requests_r)
            undo.callback(os.close, requests_w)
            replies_r, replies_w = os.pipe()
            undo.callback(os.close, replies_r)
            theirs.callback(os.close, replies_w)
            pid = self._fork(requests_r, replies_w, [requests_w, replies_r])
            undo.callback(os.waitpid, pid, 0)
            undo.callback(os.kill, pid, signal.SIGKILL)
            pidfd = os.pidfd_open(pid)
            undo.callback(os.close, pidfd)
            worker = Worker(pid, pidfd, requests_w, replies_r)
            for fd, events in (pidfd, select.EPOLLIN), (replies_r, select.EPOLLIN), (requests_w, 0):
                os.set_blocking(fd, False)
                self._epoll.register(fd, events)
            self._by_fd.update(dict.fromkeys((pidfd, requests_w, replies_r), worker))
            self._workers.append(worker)
            undo.pop_all()

    def _fork(self, requests: int, replies: int, unneeded: list[int]) -> int:
        unneeded += [self._epoll.fileno(), self._wake_r, self._wake_w, *self._by_fd]
        owner = os.getpid()
        try:
            pid = os.fork()
            if pid == 0:
                become_worker(owner, requests, replies, unneeded)
            return pid
        finally:
            if os.getpid() != owner:  # nothing that is raised may run the owner's code twice
                os._exit(1)

    def _assign(self) -> None:
        for worker in self._workers:
            if worker.job or worker.doom or worker.requests < 0:
                continue
            if job := self._take():
                worker.job, worker.unsent = job, memoryview(job.request)
                self._attend(worker, worker.requests)

    def _take(self) -> Job | None:
        while self._pending:
            job = self._pending.popleft()
            if job.attempts or job.future.set_running_or_notify_cancel():
                job.attempts += 1
                return job
        return None

    def _fail_pending(self, error: PoolError) -> None:
        while job := self._take():
            settle(job.future, error=error)

    def _attend(self, worker: Worker, fd: int) -> None:
        try:
            if fd == worker.requests:
                self._send(worker)
            else:
                self._receive(worker)
        except Exception as error:  # noqa: BLE001 (out of step with this worker, whatever the reason)
            self._kill(worker, PoolError(f"the worker's answer was lost: {told(error)}"))
        if fd == worker.pidfd:
            self._bury(worker)

    def _send(self, worker: Worker) -> None:
        try:
            sent = os.write(worker.requests, worker.unsent[:CHUNK_BYTES]) if worker.unsent else 0
        except BlockingIOError:
            sent = 0
        except BrokenPipeError:
            self._kill(worker)
            sent = len(worker.unsent)
        worker.unsent = worker.unsent[sent:]
        self._epoll.modify(worker.requests, select.EPOLLOUT if worker.unsent else 0)

    def _receive(self, worker: Worker) -> None:
        with contextlib.suppress(BlockingIOError):
            while chunk := os.read(worker.replies, CHUNK_BYTES):
                worker.received += chunk
                if is_complete(worker.received):
                    return self._finish(worker)
            self._kill(worker)  # it has closed its end: it is dead, or no longer a worker
        return None

    def _finish(self, worker: Worker) -> None:
        assert worker.job is not None
        result, error = answer_in(memoryview(worker.received)[HEADER.size :])
        settle(worker.job.future, result, error)
        worker.job, worker.received, worker.served = None, bytearray(), True

    def _kill(self, worker: Worker, doom: PoolError | None = None) -> None:
        worker.doom = worker.doom or doom
        signal.pidfd_send_signal(worker.pidfd, signal.SIGKILL)

    def _bury(self, worker: Worker) -> None:
        job = worker.job
        if job and worker.doom is None and job.attempts <= self._retries:
            self._pending.appendleft(job)
        elif job:
            settle(job.future, error=worker.doom or WorkerDiedError(f"worker {worker.pid} died"))
        worker.job = None
        if not worker.served:  # a worker that dies at once must not become a storm of forks
            self._retry_at = time.monotonic() + RETRY_S
        os.waitpid(worker.pid, 0)
        self._workers.remove(worker)
        for fd in worker.requests, worker.replies, worker.pidfd:
            self._drop(fd)

    def _drop(self, fd: int) -> None:
        if self._by_fd.pop(fd, None):
            self._epoll.unregister(fd)
            os.close(fd)

    def _close_down(self) -> None:
        if self._deadline is None:
            return
        late = time.monotonic() >= self._deadline
        if late:
            self._fail_pending(PoolClosedError("the pool was shut down before the job began"))
        for worker in self._workers:
            if late:
                self._kill(worker, PoolClosedError("the pool was shut down while the job ran"))
            elif worker.job is None and not self._pending:
                self._drop(worker.requests)
                worker.requests = -1


def frame(message: object) -> bytes:
    """Return the message as it goes through a pipe: its length and its pickle."""
    body = pickle.dumps(message)
    return HEADER.pack(len(body)) + body


def is_complete(received: bytearray) -> bool:
    if len(received) < HEADER.size:
        return False
    (size,) = HEADER.unpack_from(received)
    return len(received) >= HEADER.size + int(size)


def answer_in(body: memoryview) -> tuple[Any, Exception | None]:
    """Return a reply's result and error."""
    try:
        result, error = pickle.loads(body)
    except BaseException as problem:  # noqa: BLE001 (unpickling runs anybody's code)
        return None, RemoteError(f"the job's answer cannot be read: {told(problem)}")
    return result, RemoteError(error) if isinstance(error, str) else error


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


def told(error: BaseException) -> str:
    return "".join(traceback.format_exception_only(error)).strip()


# What follows runs in the worker.


def become_worker(owner: int, requests: int, replies: int, unneeded: Iterable[int]) -> None:
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != owner:  # it died before the line above
        os._exit(1)
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for fd in unneeded:
        os.close(fd)
    while header := read(requests, HEADER.size):
        reply = answer(read(requests, HEADER.unpack(header)[0]))
        while reply:
            reply = reply[os.write(replies, reply) :]
    os._exit(0)


def read(fd: int, size: int) -> bytes:
    """Return `size` bytes, or fewer at the end of the file."""
    parts: list[bytes] = []
    while size and (part := os.read(fd, min(size, CHUNK_BYTES))):
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def answer(request: bytes) -> memoryview:
    try:
        function, args = pickle.loads(request)
        return memoryview(frame((function(*args), None)))
    except Exception as error:  # noqa: BLE001 (a job may raise anything)
        return refusal(error)
    except BaseException as error:  # noqa: BLE001 (nor may sys.exit in a job end the worker)
        return memoryview(frame((None, told(error))))


def refusal(error: Exception) -> memoryview:
    """Return the reply that carries the error, or its text if it cannot be pickled."""
    try:
        return memoryview(frame((None, error)))
    except Exception:  # noqa: BLE001
        return memoryview(frame((None, told(error))))


def make_pool(workers: int = 2) -> ProcessPool:
    """The sound process pool; it promises nothing beyond that it is never silent."""
    return ProcessPool(workers, promises={})


def make_once_pool(workers: int = 2) -> ProcessPool:
    """The same; it promises to begin no job twice."""
    return ProcessPool(workers, promises={"at-most-once": True})


def make_retrying_pool(workers: int = 2) -> ProcessPool:
    """The same, giving a job whose worker died one more attempt; it promises that this is all."""
    return ProcessPool(workers, retries=1, promises={"retries": 1})


def make_prompt_pool(workers: int = 2) -> ProcessPool:
    """The same; it promises to serve again within moments of any fault."""
    return ProcessPool(workers, promises={"recovery": 1.5})


def make_ordered_pool(workers: int = 2) -> ProcessPool:
    """The same; it promises to begin jobs in the order of their submission."""
    return ProcessPool(workers, promises={"order": "fifo"})


def make_bounded_pool(workers: int = 2) -> ProcessPool:
    """The same; it promises how many jobs wait at most, and to refuse at once what it will not run."""
    return ProcessPool(workers, bound=6, promises={"queue": 6, "shedding": 1.5})


def make_careful_pool(workers: int = 2) -> ProcessPool:
    """The same, which tries again what has had no effect yet; it promises all that follows from it."""
    once = {"exactly-once": True, "exclusive": True, "fenced": True}
    soon = {"deadline": 3.0, "capacity": 1.5, "work-conserving": 1.5}
    return ProcessPool(workers, retries=5, promises={**once, **soon})
