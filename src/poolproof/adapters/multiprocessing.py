"""Pools like `multiprocessing.Pool`: `apply_async` returns a result to `get`."""

from collections.abc import Callable
from typing import Any, ClassVar, Final

from poolproof.adapters.base import JobStyle, Offer, TargetProblem, Workers, refuse
from poolproof.adapters.handing import handing
from poolproof.adapters.lifecycle import start_pool, stop_pool
from poolproof.adapters.registry import adapter
from poolproof.adapters.shapes import accepts, has, is_asynchronous, method

CALLBACKS: Final = ("callback", "error_callback")


@adapter(
    "multiprocessing",
    looks_for="apply_async -> a result with get, and close and join",
    rank=20,
)
class MultiprocessingPool:
    """The adapter of `multiprocessing.Pool`, its thread pool, mpire, and what is built alike."""

    name: ClassVar[str] = "multiprocessing"
    job_style: JobStyle = "plain"

    def __init__(self, pool: Any) -> None:
        entry = method(pool, "apply_async")
        if entry is None:
            raise TargetProblem(f"expected apply_async, got {type(pool).__name__} without it")
        self._pool = pool
        self._entry = entry
        self._handing = handing(entry, "apply_async")
        self._callbacks = [name for name in CALLBACKS if accepts(entry, name)]
        self.offers: frozenset[Offer] = frozenset({"callback"} if self._callbacks else ())

    @staticmethod
    def fits(pool: object) -> bool:
        """Return whether the pool has a plain `apply_async`."""
        entry = method(pool, "apply_async")
        return entry is not None and not is_asynchronous(entry)

    def run_main(self, script: Callable[[], None]) -> None:
        """Run `script` here and now."""
        script()

    def start(self) -> None:
        """Start the pool, where its constructor has not."""
        start_pool(self._pool)

    def submit(self, function: Any, /, *args: Any) -> Any:
        """Apply one job and return its asynchronous result."""
        return _checked(self._handing.call(self._entry, function, args))

    def submit_with_callback(
        self, callback: Callable[..., Any], function: Any, /, *args: Any
    ) -> Any:
        """Apply one job, with `callback` both for its result and for its error."""
        if not self._callbacks:
            refuse("callback", self.offers)
        named = dict.fromkeys(self._callbacks, callback)
        return _checked(self._handing.call(self._entry, function, args, **named))

    def wait(self, handle: Any, /) -> Any:
        """Return the result, or raise the job's error."""
        return handle.get()

    def cancel(self, _handle: Any, /) -> bool:
        """Raise NotImplementedError: such a pool cancels nothing."""
        refuse("cancel", self.offers)

    def workers(self) -> Workers | None:
        """Return None: the pool does not say."""
        return None

    def stop(self) -> None:
        """Close the pool and join it."""
        stop_pool(self._pool)


def _checked(handle: Any) -> Any:
    if not has(handle, "get"):
        raise TargetProblem(
            f"expected apply_async to return a result with get(), got {type(handle).__name__}; "
            "choose with --adapter, or return an adapter from the factory"
        )
    return handle
