"""What a target offers (`WorkerPool`), and how an adapter that offers it is recognised. Standard library only."""

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable


@runtime_checkable
class WorkerPool(Protocol):
    """The seam between poolproof and any worker pool: four calls, made from ordinary threads.

    Optional members, used where they exist:
        `cancel(handle) -> bool`       ask for a job's cancellation; True if the pool says it is cancelled.
        `workers() -> Sequence[int]`   the process ids of the live workers.
        `promises: Mapping[str, object]`   what is promised beyond "no silence".
    """

    def start(self) -> None:
        """Make the pool ready to accept jobs; may block; raises if it cannot."""

    def submit(self, function: Any, /, *args: Any) -> Any:
        """Hand one job over and return its handle; an exception leaves open whether the job was accepted."""

    def wait(self, handle: Any, /) -> Any:
        """Block, without limit, until the job is over; return its result or raise its error."""

    def stop(self) -> None:
        """Shut the pool down as its users would, and wait for it, without limit."""


Workers = Sequence[int]
