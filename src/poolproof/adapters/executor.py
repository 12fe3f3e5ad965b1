"""Executor-like pools: `submit` (or `schedule`) returns a future, as in `concurrent.futures`."""

from collections.abc import Callable
from typing import Any, ClassVar, Final

from poolproof.adapters.base import JobStyle, Offer, TargetProblem, Workers
from poolproof.adapters.handing import Handing, handing
from poolproof.adapters.lifecycle import can_be_stopped, start_pool, stop_pool
from poolproof.adapters.registry import adapter
from poolproof.adapters.shapes import has, is_asynchronous, is_asyncio_like, method

ENTRIES: Final = ("submit", "schedule")


@adapter(
    "executor",
    looks_for="submit or schedule -> concurrent.futures.Future, and shutdown, or close and join",
    rank=30,
)
class ExecutorPool:
    """The adapter of executors: `concurrent.futures`, loky, pebble, and what is built alike."""

    name: ClassVar[str] = "executor"
    job_style: JobStyle = "plain"
    offers: frozenset[Offer] = frozenset({"cancel", "callback"})

    def __init__(self, pool: Any) -> None:
        self._pool = pool
        self._entry, self._handing = _entry_of(pool)

    @staticmethod
    def fits(pool: object) -> bool:
        """Return whether the pool has a plain `submit` or `schedule`, and an end."""
        entry = method(pool, "submit") or method(pool, "schedule")
        if entry is None or is_asynchronous(entry) or is_asyncio_like(pool):
            return False
        return can_be_stopped(pool)

    def run_main(self, script: Callable[[], None]) -> None:
        """Run `script` here and now."""
        script()

    def start(self) -> None:
        """Start the pool, where its constructor has not."""
        start_pool(self._pool)

    def submit(self, function: Any, /, *args: Any) -> Any:
        """Submit one job and return its future."""
        future = self._handing.call(self._entry, function, args)
        if not has(future, "result"):
            raise TargetProblem(
                f"expected {self._entry.__name__} to return a future with result(), "
                f"got {type(future).__name__}; choose with --adapter, "
                "or return an adapter from the factory"
            )
        return future

    def submit_with_callback(
        self, callback: Callable[..., Any], function: Any, /, *args: Any
    ) -> Any:
        """Submit one job, and have its future call `callback` with itself."""
        future = self.submit(function, *args)
        future.add_done_callback(callback)
        return future

    def wait(self, handle: Any, /) -> Any:
        """Return the future's result, or raise its error."""
        return handle.result()

    def cancel(self, handle: Any, /) -> bool:
        """Cancel the future; False once its job is running or over."""
        return bool(handle.cancel())

    def workers(self) -> Workers | None:
        """Return None: an executor does not say."""
        return None

    def stop(self) -> None:
        """Shut the executor down and wait: `shutdown(wait=True)`, or close and join."""
        stop_pool(self._pool)


def _entry_of(pool: object) -> tuple[Callable[..., Any], Handing]:
    """Return the first method to which a job can be handed, or raise why the first one is none."""
    problems: list[TargetProblem] = []
    for name in ENTRIES:
        entry = method(pool, name)
        if entry is not None:
            try:
                return entry, handing(entry, name)
            except TargetProblem as problem:
                problems.append(problem)
    if problems:
        raise problems[0]
    raise TargetProblem(f"expected submit or schedule, got {type(pool).__name__} without them")
