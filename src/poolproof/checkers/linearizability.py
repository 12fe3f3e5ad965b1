"""Is there an order of concurrent operations that a sequential model allows? A search, bounded.

The algorithm is Wing and Gong's with Lowe's memory of configurations, as in Knossos and Porcupine:
take any operation that was invoked before the first answer still outstanding, if the model allows
it; where none can be taken, take back the last one. A configuration, which operations are taken
and what the state is, is searched once. An operation whose answer nobody knows stays open to the
end of the history: it may be taken at any time after its call, or never.
"""

import time
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, Protocol

from poolproof.errors import UsageError
from poolproof.history import Event

DEFAULT_LIMIT_S: Final = 10.0
MAX_CONFIGURATIONS: Final = 1_000_000
_STEPS_BETWEEN_LOOKS_AT_THE_CLOCK: Final = 256
_HEAD: Final = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One operation of a client, from its call to its answer, both moments included.

    Two operations are in order only if one was answered before the other was called; at the same
    moment they are concurrent.

    Attributes:
        call: when it was invoked; any unit, also a number in a sequence.
        returned: when it was answered; None if that is not known, for it may have happened.
        name: what was asked for, as the model knows it.
        argument: what it was asked with.
        answer: what came back; meaningless if `returned` is None.
        client: who asked.
    """

    call: float
    returned: float | None
    name: str
    argument: Any = None
    answer: Any = None
    client: Hashable = None

    def __str__(self) -> str:
        answer = "no answer" if self.returned is None else repr(self.answer)
        return f"{self.client}: {self.name}({self.argument!r}) -> {answer}"


class Model(Protocol):
    """What an object does if it is asked one thing at a time."""

    def initial(self) -> Hashable:
        """Return the state before the first operation."""
        ...

    def step(self, state: Any, operation: Operation, /) -> Iterable[Hashable]:
        """Return the states that the operation, so answered, can leave; none if it is not allowed.

        For an operation with `returned` None: the states after any answer.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Linearization:
    """What the search found.

    Attributes:
        verdict: `valid`: `order` is one that the model allows. `invalid`: there is none. `unknown`:
            the limit was reached before either was certain.
        reason: why, in one clause.
        order: all that were answered, and the open ones that took place; or else the longest
            beginning of one that was found.
        state: the model's, after `order`.
        stuck: what could have come next in time, and is not allowed in that state.
        partition: of the operations above; the first that is not valid.
        configurations: how many were searched, over all partitions.
    """

    verdict: Literal["valid", "invalid", "unknown"]
    reason: str
    order: tuple[Operation, ...] = ()
    state: Any = None
    stuck: tuple[Operation, ...] = ()
    partition: Hashable = None
    configurations: int = 0


def linearize(
    operations: Iterable[Operation],
    model: Model,
    *,
    partition: Callable[[Operation], Hashable] | None = None,
    reads: Callable[[Operation], bool] | None = None,
    limit: float = DEFAULT_LIMIT_S,
    clock: Callable[[], float] = time.perf_counter,
) -> Linearization:
    """Search for an order of the operations that the model allows and that time allows.

    Args:
        operations: completed ones and open ones, in any order; leave out what certainly failed.
        model: what is allowed.
        partition: operations with different keys do not touch the same state: each partition is
            searched alone, which is as strict, and exponentially cheaper.
        reads: whether an operation, so answered, leaves every state in which it is allowed as it
            was. It is taken as soon as it is allowed: later can be no better.
        limit: seconds for the whole search; at most `MAX_CONFIGURATIONS` in each partition, too.
        clock: tells seconds.

    Raises:
        UsageError: an operation is answered before it is called.
    """
    parts: dict[Hashable, list[Operation]] = {}
    for one in sorted(operations, key=lambda one: one.call):
        if one.returned is not None and one.returned < one.call:
            raise UsageError(f"expected an answer not before its call, got {one!r}")
        parts.setdefault(partition(one) if partition else None, []).append(one)
    until = clock() + limit
    searches = {key: _Search(part, model, until, clock) for key, part in parts.items()}
    found = [search.run(key, reads) for key, search in searches.items()]
    total = sum(len(search.seen) for search in searches.values())
    return _worst(found, total)


def _worst(found: Sequence[Linearization], total: int) -> Linearization:
    for verdict in ("invalid", "unknown"):
        for one in found:
            if one.verdict == verdict:
                return replace(one, configurations=total)
    if len(found) == 1:
        return replace(found[0], configurations=total)
    reason = f"an order was found for each of {len(found)} partitions"
    order = tuple(operation for one in found for operation in one.order)
    return Linearization(verdict="valid", reason=reason, order=order, configurations=total)


@dataclass(slots=True)
class _Taken:
    """An operation in the order: where its call stands, what was before it, what else it could do."""

    call: int
    state: Hashable
    mask: int
    others: Iterator[Hashable]


class _Search:
    """The search of one partition: calls and answers by time, as a list that can be relinked."""

    def __init__(
        self,
        operations: Sequence[Operation],
        model: Model,
        until: float,
        clock: Callable[[], float],
    ) -> None:
        self.operations, self.model, self.until, self.clock = operations, model, until, clock
        self.seen: set[tuple[int, Hashable]] = set()
        # A model is asked once what an operation does to a state, as in Knossos.
        self.effects: dict[tuple[int, Hashable], tuple[Hashable, ...]] = {}
        self.reads: set[int] = set()
        self.taken: list[_Taken] = []
        self.longest: tuple[int, ...] = ()
        self.longest_state: Hashable = None
        self.stuck: tuple[int, ...] = ()
        self._link()

    def _link(self) -> None:
        """Put calls and answers in the order of time; at the same moment, calls come first."""
        entries = [(one.call, False, number) for number, one in enumerate(self.operations)]
        entries += [
            (one.returned, True, number)
            for number, one in enumerate(self.operations)
            if one.returned is not None
        ]
        entries.sort()
        count = len(entries)
        self.number = [number for _, _, number in entries]
        self.is_answer = [is_answer for _, is_answer, _ in entries]
        self.answer_of = {self.number[at]: at for at in range(count) if self.is_answer[at]}
        # One place more, at the end, for what comes before the first and after the last.
        self.next: list[int] = [*range(1, count), _HEAD, 0 if count else _HEAD]
        self.before = [_HEAD, *range(count - 1), count - 1] if count else [_HEAD]
        self.unanswered = len(self.answer_of)

    def run(self, key: Hashable, reads: Callable[[Operation], bool] | None) -> Linearization:
        if reads:
            self.reads = {number for number, one in enumerate(self.operations) if reads(one)}
        state, mask = self.model.initial(), 0
        at, steps = self.next[_HEAD], 0
        while self.unanswered:
            steps += 1
            if steps % _STEPS_BETWEEN_LOOKS_AT_THE_CLOCK == 1 and self._is_over():
                return self._unknown(key)
            if not self.is_answer[at]:
                number = self.number[at]
                others = iter(self.effects.get((number, state)) or self._effects(number, state))
                found = self._unseen(others, mask | 1 << number)
                if found is None:
                    at = self.next[at]
                    continue
                taken = _Taken(at, state, mask, others)
                self._lift(at)
            else:
                back = self._take_back(state)
                if back is None:
                    return self._invalid(key)
                taken, found = back
                if found is None:
                    state, mask, at = taken.state, taken.mask, self._after(taken.call)
                    continue
            self.taken.append(taken)
            (state,), mask = found, taken.mask | 1 << self.number[taken.call]
            at = self.next[_HEAD]
        return self._valid(key, state)

    def _after(self, call: int) -> int:
        """Return what to try after an operation that was taken back: nothing else after a read."""
        at = self.next[call]
        while self.number[call] in self.reads and not self.is_answer[at]:
            at = self.next[at]
        return at

    def _is_over(self) -> bool:
        return len(self.seen) > MAX_CONFIGURATIONS or self.clock() > self.until

    def _effects(self, number: int, state: Hashable) -> tuple[Hashable, ...]:
        effects = tuple(self.model.step(state, self.operations[number]))
        self.effects[number, state] = effects
        return effects

    def _unseen(self, states: Iterator[Hashable], mask: int) -> tuple[Hashable] | None:
        for state in states:
            if (mask, state) not in self.seen:
                self.seen.add((mask, state))
                return (state,)
        return None

    def _take_back(self, state: Hashable) -> tuple[_Taken, tuple[Hashable] | None] | None:
        """Return the last one taken and another state that it can lead to, or None for either."""
        if len(self.taken) >= len(self.longest):
            self.longest = tuple(self.number[one.call] for one in self.taken)
            self.longest_state, self.stuck = state, tuple(self._candidates())
        if not self.taken:
            return None
        last = self.taken.pop()
        found = self._unseen(last.others, last.mask | 1 << self.number[last.call])
        if found is None:
            self._unlift(last.call)
        return last, found

    def _candidates(self) -> Iterator[int]:
        at = self.next[_HEAD]
        while not self.is_answer[at]:
            yield self.number[at]
            at = self.next[at]

    def _lift(self, call: int) -> None:
        answer = self.answer_of.get(self.number[call])
        for at in (call,) if answer is None else (call, answer):
            before, after = self.before[at], self.next[at]
            self.next[before], self.before[after] = after, before
        self.unanswered -= answer is not None

    def _unlift(self, call: int) -> None:
        answer = self.answer_of.get(self.number[call])
        for at in (call,) if answer is None else (answer, call):
            self.next[self.before[at]] = self.before[self.next[at]] = at
        self.unanswered += answer is not None

    def _valid(self, key: Hashable, state: Hashable) -> Linearization:
        order = tuple(self.operations[self.number[one.call]] for one in self.taken)
        return Linearization(
            verdict="valid",
            reason=f"an order of {len(order)} operations was found",
            order=order,
            state=state,
            partition=key,
        )

    def _invalid(self, key: Hashable) -> Linearization:
        stuck = tuple(self.operations[number] for number in self.stuck)
        return Linearization(
            verdict="invalid",
            reason=(
                f"no order of {len(self.operations)} operations is allowed; the longest beginning "
                f"has {len(self.longest)} and leads to {self.longest_state!r}, in which none of "
                f"these can be next: {'; '.join(map(str, stuck))}"
            ),
            order=tuple(self.operations[number] for number in self.longest),
            state=self.longest_state,
            stuck=stuck,
            partition=key,
        )

    def _unknown(self, key: Hashable) -> Linearization:
        return Linearization(
            verdict="unknown",
            reason=f"the limit was reached after {len(self.seen)} configurations",
            order=tuple(self.operations[number] for number in self.longest),
            state=self.longest_state,
            stuck=tuple(self.operations[number] for number in self.stuck),
            partition=key,
        )


_Asked = tuple[str | None, int | None]


def operations_of(events: Iterable[Event]) -> list[Operation]:
    """Return the operations of a history: invoke with its ok, fail or info, by `op` and `job`.

    `fail` means that it did not happen: it is left out. `info`, and no answer at all, leave the
    operation open. The name is `op`; argument, answer and client are in `data` of the events.
    """
    done: list[Operation] = []
    asked: dict[_Asked, Event] = {}
    for event in events:
        key = (event.op, event.job)
        if event.kind == "invoke":
            asked[key] = event
        elif event.kind in ("ok", "info", "fail") and key in asked:
            invoked = asked.pop(key)
            if event.kind != "fail":
                done.append(_operation(invoked, event if event.kind == "ok" else None))
    return done + [_operation(invoked, None) for invoked in asked.values()]


def _operation(invoked: Event, answered: Event | None) -> Operation:
    return Operation(
        call=invoked.t,
        returned=None if answered is None else answered.t,
        name=invoked.op or "",
        argument=invoked.data.get("argument", invoked.job),
        answer=None if answered is None else answered.data.get("answer"),
        client=invoked.data.get("client", invoked.pid),
    )
