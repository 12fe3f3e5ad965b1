"""Targets that offer `WorkerPool` by themselves, and adapters of the user's own."""

from collections.abc import Callable
from typing import Any, ClassVar, Final

from poolproof.adapters.base import Adapter, JobStyle, Offer, TargetProblem, Workers, refuse
from poolproof.adapters.registry import adapter
from poolproof.adapters.shapes import FOUR_CALLS, method, missing_calls

OPTIONAL: Final[dict[str, Offer]] = {
    "cancel": "cancel",
    "submit_with_callback": "callback",
    "workers": "workers",
}
STYLES: Final[tuple[JobStyle, ...]] = ("plain", "coroutine", "unknown")


@adapter("protocol", looks_for=", ".join(FOUR_CALLS), rank=10)
class ProtocolPool:
    """The adapter of a `WorkerPool`: passes every call on, to as many members as there are."""

    name: ClassVar[str] = "protocol"

    def __init__(self, pool: Any, source: str = "the pool") -> None:
        if missing := missing_calls(pool):
            raise TargetProblem(
                f"expected {source} to offer {', '.join(FOUR_CALLS)}, "
                f"got {type(pool).__name__} without a plain {', '.join(missing)}"
            )
        self._pool = pool
        self.job_style: JobStyle = _style_of(pool)
        self.offers: frozenset[Offer] = frozenset(
            offer for name, offer in OPTIONAL.items() if method(pool, name) is not None
        )

    @staticmethod
    def fits(pool: object) -> bool:
        """Return whether the pool has all four calls."""
        return not missing_calls(pool)

    def run_main(self, script: Callable[[], None]) -> None:
        """Run `script` in the way of the pool, where it has one (`run_main`), else here and now."""
        own = method(self._pool, "run_main")
        if own is None:
            script()
        else:
            own(script)

    def start(self) -> None:
        """Start the pool."""
        self._pool.start()

    def submit(self, function: Any, /, *args: Any) -> Any:
        """Submit one job and return its handle."""
        return self._pool.submit(function, *args)

    def submit_with_callback(
        self, callback: Callable[..., Any], function: Any, /, *args: Any
    ) -> Any:
        """Submit one job with a callback, where the pool takes one."""
        if "callback" not in self.offers:
            refuse("callback", self.offers)
        return self._pool.submit_with_callback(callback, function, *args)

    def wait(self, handle: Any, /) -> Any:
        """Return the job's result, or raise its error."""
        return self._pool.wait(handle)

    def cancel(self, handle: Any, /) -> bool:
        """Cancel the job, where the pool can."""
        if "cancel" not in self.offers:
            refuse("cancel", self.offers)
        return bool(self._pool.cancel(handle))

    def workers(self) -> Workers | None:
        """Return the process ids of the live workers, where the pool knows them."""
        if "workers" not in self.offers:
            return None
        return [int(pid) for pid in self._pool.workers()]

    def stop(self) -> None:
        """Stop the pool."""
        self._pool.stop()


def _style_of(pool: object) -> JobStyle:
    said = getattr(pool, "job_style", "plain")
    if said not in STYLES:
        raise TargetProblem(f"expected job_style to be one of {', '.join(STYLES)}, got {said!r}")
    return said


class OwnAdapter:
    """A class of the user's own (`--adapter module:Class`): of the pool it makes a `WorkerPool`."""

    def __init__(self, build: Callable[..., Any], name: str) -> None:
        self._build = build
        self._name = name

    def fits(self, pool: object) -> bool:  # noqa: ARG002 - the user chose it
        """Return True."""
        return True

    def __call__(self, pool: Any, /) -> Adapter:
        """Return the adapter of `pool`.

        Raises:
            TargetProblem: the user's class raises, or lacks one of the four calls.
        """
        try:
            own = self._build(pool)
        except Exception as error:
            raise TargetProblem(
                f"expected {self._name}(pool) to return an adapter, "
                f"got {type(error).__name__}: {error}"
            ) from error
        return ProtocolPool(own, f"{self._name}(pool)")
