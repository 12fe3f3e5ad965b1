"""What a target offers (`WorkerPool`), and what an adapter makes of it (`Adapter`).

Runs under the target's interpreter: standard library only.
"""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Literal, NoReturn, Protocol, runtime_checkable

Workers = Sequence[int]

JobStyle = Literal["plain", "coroutine", "unknown"]
"""What a pool takes as a job: a function, a coroutine function, or either (try plain first)."""

Offer = Literal["cancel", "callback", "workers", "loop"]
"""What a pool can do beside the four calls; `loop` is all that `AsyncioPool` can do on its loop."""


class TargetProblem(Exception):  # noqa: N818 - it is the target's problem, not an error of ours
    """The target cannot be found, built or recognised: what was expected, got, and what to do."""


@runtime_checkable
class WorkerPool(Protocol):
    """The seam between poolproof and any worker pool: four calls, made from ordinary threads.

    Optional members, used where they exist:
        `cancel(handle) -> bool`: ask for a job's cancellation; True if the pool says it is so.
        `workers() -> Sequence[int]`: the process ids of the live workers.
        `submit_with_callback(callback, function, *args)`: as `submit`; the pool calls `callback`
            with something when the job is over.
        `run_main(script)`: run `script` to its end, with the main thread given to the pool.
        `job_style`: "plain" (as without it), "coroutine" or "unknown".
        `promises`, `contract`: mappings, see `poolproof.agent.declarations`.
    """

    def start(self) -> None:
        """Make the pool ready to accept jobs; may block; raises if it cannot."""

    def submit(self, function: Any, /, *args: Any) -> Any:
        """Hand one job over and return its handle.

        An exception leaves open whether the job was accepted.
        """

    def wait(self, handle: Any, /) -> Any:
        """Block, without limit, until the job is over; return its result or raise its error.

        The error can be a `BaseException` that is no `Exception`. May be called again for the same
        handle, and from several threads.
        """

    def stop(self) -> None:
        """Shut the pool down as its users would, and wait for it, without limit."""


class Adapter(WorkerPool, Protocol):
    """A `WorkerPool` made of somebody else's pool: all that a trial needs to know and do.

    What is not in `offers` raises `NotImplementedError`.

    Attributes:
        name: the family, as in `--adapter NAME`.
        job_style: what the pool takes as a job.
        offers: what it can do beside the four calls.
    """

    name: ClassVar[str]

    @property
    def job_style(self) -> JobStyle:
        """What the pool takes as a job."""
        ...

    @property
    def offers(self) -> frozenset[Offer]:
        """What the pool can do beside the four calls."""
        ...

    def run_main(self, script: Callable[[], None]) -> None:
        """Run `script` to its end and let its exception pass; call it in the main thread, once.

        A pool that lives on an event loop gets this thread, and the script another one.
        """

    def submit_with_callback(
        self, callback: Callable[..., Any], function: Any, /, *args: Any
    ) -> Any:
        """Hand one job over, as `submit`, and have `callback` called when it is over."""

    def cancel(self, handle: Any, /) -> bool:
        """Ask for the job's cancellation; return what the pool answers."""
        ...

    def workers(self) -> Workers | None:
        """Return the process ids of the live workers, or None where the pool does not say."""


def refuse(what: Offer, offers: frozenset[Offer]) -> NoReturn:
    """Raise NotImplementedError for something that an adapter does not offer."""
    raise NotImplementedError(
        f"expected one of {sorted(offers)}, got {what!r}; look at the adapter's `offers` first"
    )
