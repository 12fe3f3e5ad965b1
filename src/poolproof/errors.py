"""The errors that poolproof raises, each saying whose fault it is and which exit code it means.

Those of a pool also say of which category they are, and whether the job may have happened: only
what certainly did not happen may be tried again unasked.
"""

import copy
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from poolproof.categories import CATEGORIES, Category, CategoryName, Severity


class PoolproofError(Exception):
    """The base of every error that poolproof raises on purpose; exit code 4 unless a subclass says otherwise."""

    exit_code: ClassVar[int] = 4


class UsageError(PoolproofError):
    """The request cannot be carried out as written: what was expected, what was got, what to do."""

    exit_code: ClassVar[int] = 2


class TargetError(PoolproofError):
    """The target could not be found, built, recognised or started."""

    exit_code: ClassVar[int] = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorContext:
    """Where a pool's error happened.

    Attributes:
        category: the name of its category.
        severity: the category's, or a higher one (see `pool.recovery.escalate`).
        may_have_happened: whether the job may have been done, wholly or in part.
        attempt: the job's attempt that failed, counted from 1; 0 for what is no job.
        layer: the layer it happened on.
        worker: the number of the worker, if one was chosen.
        epoch: which worker of that number.
        session: the job's session.
        cause: what it was raised from.
    """

    category: CategoryName
    severity: Severity
    may_have_happened: bool
    attempt: int = 0
    layer: str | None = None
    worker: int | None = None
    epoch: int | None = None
    session: str | None = None
    cause: BaseException | None = None

    def data(self) -> dict[str, Any]:
        """Return it as plain data, as the event `pool.error` carries it; the cause by type and text."""
        fields = {name: getattr(self, name) for name in self.__slots__ if name != "cause"}
        cause = self.cause
        return {**fields, "cause": None if cause is None else f"{type(cause).__name__}: {cause}"}


class PoolError(PoolproofError):
    """A job, a worker or a pool failed.

    Attributes:
        category: the row of the table of categories; a class has one, an instance may have another.
        may_have_happened: whether the job may have been done, wholly or in part.
        counts_as_failure: whether a circuit breaker counts it; not what was refused unattempted.
        hopeless: trying again at once cannot help, or would break a promise: the pool never does.
        context: where it happened, once the pool has said so.
    """

    category: Category = CATEGORIES["system"]
    may_have_happened: bool = False
    counts_as_failure: bool = True
    hopeless: bool = False
    context: ErrorContext | None = None

    def __init__(self, message: str, *, may_have_happened: bool | None = None) -> None:
        super().__init__(message)
        if may_have_happened is not None:
            self.may_have_happened = may_have_happened

    def at(
        self,
        *,
        attempt: int = 0,
        severity: Severity | None = None,
        layer: str | None = None,
        worker: int | None = None,
        epoch: int | None = None,
        session: str | None = None,
    ) -> Self:
        """Return this error with its context; a copy if it has one, as two jobs never share an error."""
        error = self if self.context is None else self._copied()
        error.context = ErrorContext(
            category=self.category.name,
            severity=severity or self.category.severity,
            may_have_happened=self.may_have_happened,
            attempt=attempt,
            layer=layer,
            worker=worker,
            epoch=epoch,
            session=session,
            cause=self.__cause__,
        )
        return error

    def _copied(self) -> Self:
        error = copy.copy(self)
        error.__cause__ = self.__cause__
        return error


class StartFailedError(PoolError):
    """A worker could not be started, or its `init` raised; no job was given to it."""

    category = CATEGORIES["initialization"]


class InitTimeoutError(StartFailedError):
    """A worker's `init` took longer than it may."""


class WorkerDiedError(PoolError):
    """The worker ended while it held the job; `may_have_happened` tells whether it had begun it."""

    category = CATEGORIES["connection"]
    may_have_happened = True


class FrameError(PoolError):
    """A frame was malformed, oversized, stale or foreign."""

    category = CATEGORIES["communication"]
    may_have_happened = True


class NotCarriedError(PoolError):
    """A request or a value that the wire cannot carry; the same on every layer."""

    category = CATEGORIES["communication"]
    counts_as_failure = False
    hopeless = True


class DeadlineExceededError(PoolError, TimeoutError):
    """The job was not done by its deadline; a worker had it, and may have done it."""

    category = CATEGORIES["timeout"]
    may_have_happened = True


class CheckoutTimeoutError(DeadlineExceededError):
    """The deadline passed before any worker was free; the job was never sent."""

    may_have_happened = False


class ResourceError(PoolError):
    """The machine refused something that was needed: memory, a descriptor, a process."""

    category = CATEGORIES["resource"]


class PoolExhaustedError(ResourceError):
    """Every worker is busy and the line is full: the job was shed, and never sent."""

    counts_as_failure = False
    hopeless = True


class CircuitOpenError(ResourceError):
    """The circuit breaker refused the job; it was never sent."""

    counts_as_failure = False
    hopeless = True


class HealthCheckFailedError(PoolError):
    """A worker did not answer a heartbeat, or its `ping` raised."""

    category = CATEGORIES["health_check"]


class SessionLostError(PoolError):
    """The worker that a strict session was bound to is gone, and the session's state with it."""

    category = CATEGORIES["session"]
    counts_as_failure = False
    hopeless = True


class PoolClosedError(PoolError):
    """The pool is closing or closed; the job was never sent."""

    counts_as_failure = False
    hopeless = True


class QuarantinedError(PoolError):
    """The job has ended too many workers; it is not tried again."""

    may_have_happened = True
    counts_as_failure = False
    hopeless = True


class RemoteError(PoolError):
    """What the worker's own code raised, raised again to its own caller; alike on every layer.

    Attributes:
        type_name: the name of the worker's exception, `module.QualName`.
        message: its text.
        remote_traceback: where it was raised, as text; empty if the worker did not say.
    """

    category = CATEGORIES["python"]
    may_have_happened = True

    def __init__(
        self,
        type_name: str,
        message: str,
        category: CategoryName = "python",
        remote_traceback: str = "",
    ) -> None:
        super().__init__(f"{type_name}: {message}")
        self.type_name = type_name
        self.message = message
        self.remote_traceback = remote_traceback
        self.category = CATEGORIES[category]

    def __reduce__(self) -> tuple[Any, ...]:
        """Let it be pickled and copied, context and all."""
        arguments = (self.type_name, self.message, self.category.name, self.remote_traceback)
        return type(self), arguments, {"context": self.context}
