"""Whether the layers are one stack: every history must fit one model, and traffic of one replay on another."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from poolproof.errors import PoolError, RemoteError
from poolproof.history import Event
from poolproof.pool.pool import Pool

OUTCOMES = frozenset({"ok", "fail", "info"})


@dataclass(slots=True)
class _Model:
    """The mock's model: what may be in the history of a pool, on whatever layer."""

    open: set[tuple[str, int]] = field(default_factory=set[tuple[str, int]])
    over: set[tuple[str, int]] = field(default_factory=set[tuple[str, int]])
    living: dict[tuple[int, int], int | None] = field(
        default_factory=dict[tuple[int, int], int | None]
    )
    epochs: dict[int, int] = field(default_factory=dict[int, int])
    lent: set[int] = field(default_factory=set[int])

    def take(self, event: Event) -> Iterator[str]:
        """Take the next event; yield what the model does not allow in it."""
        if event.op in {"job", "checkout"}:
            yield from self._operation(event)
        elif event.kind == "birth":
            yield from self._birth(event)
        elif event.kind == "death":
            self.living.pop((event.data["worker"], event.data["epoch"]), None)
            self.lent.discard(event.data["worker"])

    def _operation(self, event: Event) -> Iterator[str]:
        if event.job is None:
            self.lent.discard(event.data.get("worker", -1))
            return
        name = (str(event.op), event.job)
        if event.kind == "invoke":
            if name in self.open | self.over:
                yield f"{event.op} {event.job} was submitted twice"
            self.open.add(name)
        elif event.kind in OUTCOMES:
            if name not in self.open:
                again = "has two outcomes" if name in self.over else "was never submitted"
                yield f"{event.op} {event.job} {again}"
            self.open.discard(name)
            self.over.add(name)
            yield from self._served(event)

    def _served(self, event: Event) -> Iterator[str]:
        worker = event.data.get("worker")
        if event.kind != "ok" or worker is None:
            return
        if not any(number == worker for number, _ in self.living):
            yield f"{event.op} {event.job} was answered by worker {worker}, which did not live"
        if event.op == "checkout":
            if worker in self.lent:
                yield f"worker {worker} was lent twice at once"
            self.lent.add(worker)

    def _birth(self, event: Event) -> Iterator[str]:
        number, epoch = event.data["worker"], event.data["epoch"]
        if epoch <= self.epochs.get(number, 0):
            yield f"worker {number} was born with epoch {epoch} after {self.epochs[number]}"
        self.epochs[number] = epoch
        self.living[number, epoch] = event.data.get("pid")


def violations(events: Iterable[Event]) -> list[str]:
    """Return what in a pool's whole history the mock's model does not allow; nothing if it fits."""
    model = _Model()
    found = [problem for event in events for problem in model.take(event)]
    found += [f"{op} {number} has no outcome" for op, number in sorted(model.open)]
    found += [f"worker {number} has not ended" for number, _ in sorted(model.living)]
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """A request and what came of it, in the terms that all layers share.

    Attributes:
        request: what was submitted.
        session: whose it was.
        outcome: `("ok", value)`, or `("error", class, type name, message, category)`.
    """

    request: Any
    session: str | None
    outcome: tuple[Any, ...]


class Recorded:
    """A pool whose traffic is recorded: submit through it, one request after the other.

    Attributes:
        traffic: all exchanges so far.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self.traffic: list[Exchange] = []

    async def submit(self, request: Any, *, session: str | None = None) -> Exchange:
        """Submit and await one request; its outcome is recorded, errors too."""
        outcome: tuple[Any, ...]
        try:
            outcome = ("ok", await self._pool.submit(request, session=session))
        except PoolError as error:
            outcome = _told(error)
        exchange = Exchange(request=request, session=session, outcome=outcome)
        self.traffic.append(exchange)
        return exchange


def _told(error: PoolError) -> tuple[Any, ...]:
    kind = type(error).__name__
    if isinstance(error, RemoteError):
        return ("error", kind, error.type_name, error.message, error.category.name)
    return ("error", kind, "", "", error.category.name)


async def replay(traffic: Iterable[Exchange], pool: Pool) -> list[str]:
    """Submit recorded requests again, to a pool of another layer; return each difference."""
    differences: list[str] = []
    again = Recorded(pool)
    for number, old in enumerate(traffic):
        new = await again.submit(old.request, session=old.session)
        if new.outcome != old.outcome:
            differences.append(
                f"exchange {number}, {old.request!r}: recorded {old.outcome}, now {new.outcome}"
            )
    return differences
