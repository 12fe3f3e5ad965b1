"""The network of a simulation: hosts by name, and what happens to what is sent between them.

Nothing leaves this process. Latency, loss and order are drawn from the network's own stream of
randomness, and only where they are asked for: a fault with share 0 changes no other draw.
"""

import contextlib
import contextvars
import random
from collections import Counter
from collections.abc import Callable, Generator, Iterable
from contextvars import Context
from dataclasses import dataclass
from typing import Any, Final, Protocol

from poolproof.errors import UsageError

_NS: Final = 1_000_000_000
# A lost segment of a stream is sent again after so long (the least that RFC 6298 lets Linux wait).
RETRANSMIT_NS: Final = 200_000_000
_TRIES: Final = 15
_FIRST_FREE_PORT: Final = 49_152
_HERE: Final = frozenset({None, "", "localhost", "127.0.0.1", "::1", "0.0.0.0", "::"})  # noqa: S104

Port = int | str
Address = tuple[str, Port]
_host: contextvars.ContextVar[str] = contextvars.ContextVar("poolproof_host", default="localhost")


class Clock(Protocol):
    """What the network needs of its loop."""

    def call_after_ns(
        self, delay_ns: int, callback: Callable[[], object], context: Context
    ) -> object:
        """Call back after `delay_ns` virtual nanoseconds."""
        ...


class End(Protocol):
    """One end of a connection, at a host."""

    @property
    def here(self) -> Address:
        """Its host and port."""
        ...

    @property
    def there(self) -> Address:
        """The host and port of the other end."""
        ...

    def vanish(self) -> None:
        """Know nothing more of the connection, and tell nobody."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """How what one host sends to another travels.

    Attributes:
        latency: the least and the most seconds, drawn for each packet.
        loss: the share that is lost: of datagrams for good; of a stream's segments, they come
            0.2 s later, for each time.
        reorder: the share of datagrams that later ones may overtake.
        duplicate: the share of datagrams that come twice.
        pieces: into how many pieces one write to a stream may be cut.

    Raises:
        UsageError: a share outside 0 to 1, a latency that ends before it begins, no piece.
    """

    latency: tuple[float, float] = (0.0, 0.0)
    loss: float = 0.0
    reorder: float = 0.0
    duplicate: float = 0.0
    pieces: int = 1

    def __post_init__(self) -> None:
        shares = (self.loss, self.reorder, self.duplicate)
        if not all(0 <= share <= 1 for share in shares) or self.loss == 1:
            raise UsageError(f"link: expected shares from 0 to 1, a loss below 1, got {shares}")
        if not 0 <= self.latency[0] <= self.latency[1]:
            raise UsageError(f"link: expected latency (least, most) from 0, got {self.latency}")
        if self.pieces < 1:
            raise UsageError(f"link: expected at least 1 piece, got {self.pieces}")


_PLAIN: Final = Link()
Arrive = Callable[[], object]


class Network:
    """The hosts of one simulation and what lies between them.

    A host exists once something listens there, or `at` has named it; `localhost` always does.
    What a host sends to itself travels at once, unless a link from it to itself says otherwise.

    Attributes:
        counts: evidence of what faults did: (what, source, target) to how often, where what is
            sent, held, lost, duplicated, reordered or unheard.
    """

    def __init__(self, clock: Clock, rng: random.Random) -> None:
        self.counts: Counter[tuple[str, str, str]] = Counter()
        self._clock = clock
        self._rng = rng
        self._default = _PLAIN
        self._links: dict[tuple[str, str], Link] = {}
        self._held: dict[tuple[str, str], list[tuple[Arrive, Context]]] = {}
        self._dropping: set[tuple[str, str]] = set()
        self._crashed: set[str] = set()
        self._hosts = {"localhost"}
        self._taken: dict[Address, Any] = {}
        self._ends: dict[End, None] = {}
        self._next_port = _FIRST_FREE_PORT

    @contextlib.contextmanager
    def at(self, host: str) -> Generator[None]:
        """Let the body, and every task that it starts, listen at and send from `host`."""
        self._hosts.add(host)
        token = _host.set(host)
        try:
            yield
        finally:
            _host.reset(token)

    def shape(self, link: Link, *, source: str | None = None, target: str | None = None) -> None:
        """Let what `source` sends to `target` travel like `link`; without both, wherever nothing else is said.

        Raises:
            UsageError: one of the two without the other.
        """
        if (source is None) != (target is None):
            raise UsageError(f"expected source and target or neither, got {source} and {target}")
        if source is None or target is None:
            self._default = link
        else:
            self._links[source, target] = link

    def hold(self, source: str, target: str) -> None:
        """Keep back what `source` sends to `target`, what is under way too, until `release`."""
        self._held.setdefault((source, target), [])

    def release(self, source: str, target: str) -> None:
        """Send on what was held, in its order; what is not held is no error."""
        self._dropping.discard((source, target))
        for arrive, context in self._held.pop((source, target), []):
            self.carry(source, target, arrive, context)

    def partition(self, *groups: Iterable[str]) -> None:
        """Cut the groups of hosts off from each other: streams are held, datagrams are lost."""
        for source, target in _across([sorted(group) for group in groups]):
            self.hold(source, target)
            self._dropping.add((source, target))

    def heal(self) -> None:
        """Release everything that is held, and lose no more."""
        for source, target in list(self._held):
            self.release(source, target)

    def crash(self, host: str) -> None:
        """Silence a host: it sends nothing more and hears nothing, and nobody is told.

        Its tasks are not stopped. Connections to it are half-open: the other ends wait.
        """
        self._crashed.add(host)
        self.half_open(host)

    def restart(self, host: str) -> None:
        """Let a crashed host send and hear; it knows none of its former connections, and refuses them."""
        self._crashed.discard(host)

    def half_open(self, host: str, peer: str | None = None) -> None:
        """Let `host` forget its connections (with `peer`, or all); the other ends are not told."""
        for end in list(self._ends):
            if end.here[0] == host and peer in {None, end.there[0]}:
                end.vanish()

    @property
    def held(self) -> int:
        """How many packets are held."""
        return sum(map(len, self._held.values()))

    def here(self, host: str | None = None) -> str:
        """Return the host that a name means where this is called."""
        return _host.get() if host in _HERE else str(host)

    def knows(self, host: str) -> bool:
        """Return whether the name means a host."""
        return host in self._hosts

    def silent(self, host: str) -> bool:
        """Return whether the host has crashed."""
        return host in self._crashed

    def take(self, address: Address, owner: object) -> Address:
        """Give an address to its owner, port 0 meaning a free one.

        Raises:
            OSError: it is taken.
        """
        host, port = address
        if port == 0:
            port, self._next_port = self._next_port, self._next_port + 1
        if (host, port) in self._taken:
            raise OSError(98, f"address already in use in the simulation: {host} {port}")
        self._hosts.add(host)
        self._taken[host, port] = owner
        return host, port

    def give_back(self, address: Address) -> None:
        """Let nobody be at an address."""
        self._taken.pop(address, None)

    def owner(self, address: Address) -> Any:
        """Return who is at an address, or None."""
        return self._taken.get(address)

    def join(self, end: End) -> None:
        """Know an end of a connection."""
        self._ends[end] = None

    def leave(self, end: End) -> None:
        """Know it no longer."""
        self._ends.pop(end, None)

    def pieces(self, source: str, target: str, data: bytes) -> list[bytes]:
        """Return `data` as it will arrive, cut at random places if the link cuts."""
        most = min(self._link(source, target).pieces, len(data))
        if most <= 1:
            return [data]
        cuts = sorted(self._rng.sample(range(1, len(data)), self._rng.randint(1, most) - 1))
        return [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]

    def carry(self, source: str, target: str, arrive: Arrive, context: Context) -> None:
        """Carry a segment of a stream: it is late, but never lost while both hosts live."""
        self._count("sent", source, target)
        link = self._link(source, target)
        delay_ns = self._latency(link)
        for _ in range(_TRIES):
            if not link.loss or self._rng.random() >= link.loss:
                break
            self._count("lost", source, target)
            delay_ns += RETRANSMIT_NS
        self._travel(source, target, delay_ns, arrive, context)

    def throw(self, source: str, target: str, arrive: Arrive, context: Context) -> None:
        """Carry a datagram, which may be lost, doubled, or overtaken."""
        self._count("sent", source, target)
        link = self._link(source, target)
        if (source, target) in self._dropping or self._hits(link.loss):
            self._count("lost", source, target)
            return
        copies = 2 if self._hits(link.duplicate) else 1
        self._count("duplicated", source, target, copies - 1)
        for _ in range(copies):
            delay_ns = self._latency(link)
            if self._hits(link.reorder):
                self._count("reordered", source, target)
                delay_ns += self._rng.randint(1, max(1, round(10 * link.latency[1] * _NS)))
            self._travel(source, target, delay_ns, arrive, context)

    def _travel(
        self, source: str, target: str, delay_ns: int, arrive: Arrive, context: Context
    ) -> None:
        def reach() -> None:
            if (source, target) in self._held:
                self._keep(source, target, arrive, context)
            elif target in self._crashed:
                self._count("unheard", source, target)
            else:
                arrive()

        if source in self._crashed:
            self._count("unheard", source, target)
        elif (source, target) in self._held:
            self._keep(source, target, arrive, context)
        else:
            self._clock.call_after_ns(delay_ns, reach, context)

    def _keep(self, source: str, target: str, arrive: Arrive, context: Context) -> None:
        self._count("held", source, target)
        self._held[source, target].append((arrive, context))

    def _link(self, source: str, target: str) -> Link:
        plain = _PLAIN if source == target else self._default
        return self._links.get((source, target), plain)

    def _latency(self, link: Link) -> int:
        least, most = (round(seconds * _NS) for seconds in link.latency)
        return least if least == most else self._rng.randint(least, most)

    def _hits(self, share: float) -> bool:
        return share > 0 and self._rng.random() < share

    def _count(self, what: str, source: str, target: str, times: int = 1) -> None:
        if times:
            self.counts[what, source, target] += times


def _across(groups: list[list[str]]) -> list[tuple[str, str]]:
    return [
        (source, target)
        for one in groups
        for other in groups
        if one is not other
        for source in one
        for target in other
    ]
