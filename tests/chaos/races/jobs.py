"""A sound pool of workers that take jobs from a queue: cancelled, killed, joined and closed at any time."""

import asyncio
from collections.abc import Awaitable, Callable


class PoolClosedError(Exception):
    """The pool was closed before the job was over."""


class Job:
    """One piece of work and its outcome, which is told once."""

    def __init__(self, function: Callable[[], Awaitable[object]]) -> None:
        self.function = function
        self.begun = False
        self.outcome: asyncio.Future[object] = asyncio.get_running_loop().create_future()


class Jobs:
    """Runs jobs: `job = submit(function)`, then `await job.outcome`."""

    def __init__(self, workers: int) -> None:
        self._queue: asyncio.Queue[Job] = asyncio.Queue()
        self._held: dict[int, Job] = {}  # by the worker that has it
        self._unfinished = 0
        self._all_done = asyncio.Event()
        self._all_done.set()
        self._tasks = {number: self._start(number) for number in range(workers)}

    def _start(self, number: int) -> asyncio.Task[None]:
        return asyncio.create_task(self._work(number), name=f"worker {number}")

    def submit(self, function: Callable[[], Awaitable[object]]) -> Job:
        """Queue a job."""
        job = Job(function)
        self._unfinished += 1
        self._all_done.clear()
        self._queue.put_nowait(job)
        return job

    def cancel(self, job: Job) -> bool:
        """Return whether the job, not begun yet, will never begin."""
        if job.begun or job.outcome.done():
            return False
        job.outcome.cancel()
        self._finished()
        return True

    def kill(self, number: int) -> None:
        """End a worker at once: another takes its place, and its job goes back to the queue."""
        self._tasks[number].cancel()
        job = self._held.pop(number, None)
        if job:
            job.begun = False
            self._queue.put_nowait(job)
        self._tasks[number] = self._start(number)

    async def join(self) -> None:
        """Wait until every job that was submitted has its outcome."""
        await self._all_done.wait()

    async def close(self) -> None:
        """End all workers; jobs that are not over end in PoolClosedError."""
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        left = list(self._held.values())
        while not self._queue.empty():
            left.append(self._queue.get_nowait())
        for job in left:
            if not job.outcome.done():
                job.outcome.set_exception(PoolClosedError())

    async def _work(self, number: int) -> None:
        while True:
            job = await self._queue.get()
            self._held[number] = job
            await asyncio.sleep(0)  # a turn for the others
            if not job.outcome.done():
                job.begun = True
                value = await job.function()
                job.outcome.set_result(value)
                self._finished()
            del self._held[number]

    def _finished(self) -> None:
        self._unfinished -= 1
        if self._unfinished == 0:
            self._all_done.set()
