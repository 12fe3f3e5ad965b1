"""Our own stack as a target that takes requests themselves: nothing is pickled, no task is made for a job."""

from typing import Any, Self

from poolproof.pool.job import Job
from poolproof.stack import Stack, build_test_env, start_stack


class Nothing:
    """A worker that does nothing."""

    def handle(self, _request: Any) -> None:
        """Do nothing."""


class Requests:
    """A stack whose `submit` takes a request and returns its future."""

    def __init__(self, layer: str, workers: int) -> None:
        self._layer, self._workers = layer, workers
        self._stack: Stack

    async def __aenter__(self) -> Self:
        pool = {"size": self._workers, "overflow": 0, "most_waiting": 100_000}
        self._stack = await start_stack(build_test_env(Nothing, layer=self._layer, pool=pool))
        self._submit = self._stack.pool.submit
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.stop()

    def submit(self, request: Any, *, session: str | None = None) -> Job:
        """Hand over a request."""
        return self._submit(request, session=session)


def mock(workers: int = 2) -> Requests:
    """Return a stack of actors in this process."""
    return Requests("mock", workers)


def full(workers: int = 2) -> Requests:
    """Return a stack of processes."""
    return Requests("full", workers)


jobs = [(("request",), None)]
