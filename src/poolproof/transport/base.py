"""The seam between a pool and its workers: what a layer offers, and how it tells what happened.

Three rules hold on every layer. A worker does one thing at a time, in the order of arrival. What a
link is told by its peer is never trusted. And every end of a worker is told exactly once, together
with what it had begun.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final, Literal, NamedTuple, Protocol, TypeAlias

Request: TypeAlias = tuple[int, Any, int, int, int, str | None]
"""`(id, payload, deadline_ns, attempt, epoch, session)`; the deadline on the worker's clock, 0 for none.

Ids are below 2**63, and each link is sent them in growing order.
"""

Reply: TypeAlias = tuple[int, bool, Any]
"""`(id, ok, value)`; if not ok, the value is a `WireError`."""


class Each(tuple[int, Any, int, int, int, str | None]):
    """A request whose payload is a list of payloads, to be done one after the other, for about a millisecond.

    It comes alone in its batch. Its value is the list of the values of those that were done, at
    least one; what follows them certainly did not happen. The first error is its answer. A link or
    a worker that does not take such a request refuses it, not begun.
    """

    __slots__ = ()


Layer = Literal["mock", "bridge_mock", "full"]
ErrorKind = Literal["raised", "cancelled", "expired", "refused"]
EndKind = Literal["terminated", "killed", "exited", "signalled", "violation", "lost"]

MOST_PAYLOAD_BYTES: Final = 1 << 24
INIT_SECONDS: Final = 10.0


class WireError(NamedTuple):
    """Why a request has no value, alike on every layer.

    Attributes:
        kind: `raised` by the worker's own code; `cancelled` or `expired` before it had begun (or
            cancelled while it awaited); `refused` by the transport: stale, oversized, not carried.
        type: the exception's name, `module.QualName`.
        message: its text, at most `describe.MESSAGE_CHARACTERS`.
        category: one of the nine of `poolproof.categories`.
        traceback: where it was raised in the worker, as text; empty if nothing was raised.
        may_have_happened: False only if the handler certainly was not entered.
    """

    kind: ErrorKind
    type: str
    message: str
    category: str
    traceback: str
    may_have_happened: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """How a worker ended.

    Attributes:
        kind: `terminated` as asked; `killed` by us, also when its grace was over; `exited` by
            itself; `signalled` by somebody else; `violation` of the protocol, and so ended by us;
            `lost` if the connection or its zygote was gone and nothing more is known.
        detail: the same for people.
        status: exit code, or minus a signal's number; None where there is no process, or it is not
            known.
        begun: ids of requests without a reply that may have happened.
        untouched: ids of requests without a reply that certainly did not happen.
    """

    kind: EndKind
    detail: str
    status: int | None = None
    begun: tuple[int, ...] = ()
    untouched: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What a worker's own process uses: resident bytes (shared pages included), CPU seconds."""

    rss_bytes: int
    cpu_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Command:
    """A worker that somebody wrote in another language: a program that speaks docs/protocol.md.

    Attributes:
        argv: the program and its arguments; it finds its connection as descriptors 0 and 1.
    """

    argv: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class WorkerSpec:
    """How a worker is made.

    Attributes:
        target: a class whose instances have `handle(request)`, and if they like `init()`, `ping()`
            and `terminate()`, each sync or async; or a function of one request. On the full layer
            it must be found by its name in its module, or be a `Command`.
        args: for the class, or after the request for a function.
        kwargs: the same.
        init_seconds: how long it may take until it is ready.
        most_payload_bytes: the longest payload or value, encoded.
    """

    target: Callable[..., Any] | Command
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict[str, Any])
    init_seconds: float = INIT_SECONDS
    most_payload_bytes: int = MOST_PAYLOAD_BYTES

    @property
    def name(self) -> str:
        """What is started, for people."""
        if isinstance(self.target, Command):
            return " ".join(self.target.argv)
        return getattr(self.target, "__qualname__", None) or repr(self.target)


class WorkerEvents(Protocol):
    """How a link speaks to its pool: plain calls on the loop's thread, never from within its own methods."""

    def replied(self, link: "WorkerLink", replies: Sequence[Reply]) -> None:
        """Take a batch of replies; each id was sent on this link and is answered once."""
        ...

    def ended(self, link: "WorkerLink", end: End) -> None:
        """Take a worker's end; exactly once for each link, and nothing comes after it."""
        ...

    def noted(self, link: "WorkerLink", what: str, detail: str) -> None:
        """Take what is worth a line in a history and ends nothing: a dropped duplicate, a stale reply."""
        ...


class WorkerLink(Protocol):
    """One worker from outside.

    Attributes:
        number: which of the pool's workers.
        epoch: which incarnation of it.
        pid: its process; None where it has none of its own.
        busy_ns: for how long it says it was busy with what it has answered, in all; brought up to
            date before its replies are told. 0 if it does not say.
    """

    number: int
    epoch: int
    pid: int | None
    busy_ns: int

    @property
    def in_flight_bytes(self) -> int:
        """About how many bytes of requests have no reply yet; 0 where there are no bytes."""
        ...

    def send(self, requests: Sequence[Request]) -> None:
        """Write the requests at once, as one batch; call it once a loop turn with all there is.

        It never blocks and never raises for what a request holds: such a request is answered by a
        reply, `refused`. On a worker that has ended it does nothing.
        """
        ...

    def started(self) -> int:
        """Return the id of the last request that the worker began, 0 for none.

        Later ones certainly did not happen yet. A worker that keeps no such mark has begun all.
        """
        ...

    def recall(self, through: int) -> bool:
        """Have no request begun any more whose id is `through` or below; False if it cannot be.

        Each is still answered in its turn: as `cancelled`, not begun. A request that is being begun
        at this very moment may be done; whoever waits a millisecond and finds `started()` below an
        id knows that it will not be.
        """
        ...

    def cancel(self, request_id: int) -> None:
        """Ask that a request be given up; answered by its reply, whichever that is by then.

        What has not begun is skipped, what awaits is cancelled, what computes is let finish.
        """
        ...

    async def ping(self, timeout: float) -> None:  # noqa: ASYNC109 - it is said what comes of it
        """Wait until the worker answers, between two requests, and its own `ping` found it healthy.

        Raises:
            HealthCheckFailedError: it did not within `timeout` seconds, it said no, or it has ended.
        """
        ...

    async def terminate(self, grace: float) -> End:
        """Have it finish the request it is at, clean up and leave; after `grace` seconds end it by force.

        Returns when nothing of it is left; harmless if it has ended or is called twice.
        """
        ...

    def kill(self) -> None:
        """End it at once, as a crash would; harmless if it has ended."""
        ...

    def usage(self) -> Usage | None:
        """Return what the worker's process uses; None if there is none."""
        ...


class Transport(Protocol):
    """One layer's workers, for one pool."""

    layer: ClassVar[Layer]

    async def open(self) -> None:
        """Make ready; before the first `spawn`.

        Raises:
            StartFailedError: it cannot work here; says what to do.
        """
        ...

    async def spawn(
        self, spec: WorkerSpec, number: int, epoch: int, events: WorkerEvents
    ) -> WorkerLink:
        """Start a worker; return when its `init` has succeeded.

        Raises:
            StartFailedError: it could not be started, or `init` raised (then from the RemoteError).
            InitTimeoutError: it was not ready in time.
            UsageError: the spec cannot be carried out on this layer.
        """
        ...

    async def close(self) -> None:
        """End everything that it started; nothing is left when it returns. Safe twice."""
        ...
