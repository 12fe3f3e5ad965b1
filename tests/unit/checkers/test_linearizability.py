"""The search for an order agrees with trying all orders, and says what it found, or that it cannot."""

import itertools
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poolproof.checkers.linearizability import Model, Operation, linearize, operations_of
from poolproof.checkers.sequential import (
    CANCELLED,
    REFUSED,
    JobModel,
    LeaseModel,
    by_job,
    by_worker,
    reads,
)
from poolproof.errors import UsageError
from poolproof.history import Event

pytestmark = pytest.mark.unit


class Register:
    """One value: written, read."""

    def initial(self) -> Hashable:
        return 0

    def step(self, state: Any, operation: Operation, /) -> Iterable[Hashable]:
        if operation.name == "write":
            return [operation.argument]
        return [state] if operation.returned is None or operation.answer == state else []


class Bag:
    """Values put in, and one of them, it is not known which, thrown away."""

    def initial(self) -> Hashable:
        return ()

    def step(self, state: Any, operation: Operation, /) -> Iterable[Hashable]:
        if operation.name == "put":
            return [tuple(sorted([*state, operation.argument]))]
        if operation.name == "drop":
            return [state[:at] + state[at + 1 :] for at in range(len(state))]
        return [state] if operation.answer == len(state) or operation.returned is None else []


def is_in_time(order: Sequence[Operation]) -> bool:
    return not any(
        late.returned is not None and late.returned < early.call
        for early, late in itertools.combinations(order, 2)
    )


def is_allowed(order: Sequence[Operation], model: Model) -> bool:
    states: set[Hashable] = {model.initial()}
    for one in order:
        states = {after for state in states for after in model.step(state, one)}
    return bool(states)


def every_order(operations: Sequence[Operation]) -> Iterator[tuple[Operation, ...]]:
    answered = [one for one in operations if one.returned is not None]
    opened = [one for one in operations if one.returned is None]
    for count in range(len(opened) + 1):
        for some in itertools.combinations(opened, count):
            yield from itertools.permutations([*answered, *some])


def by_trying_all(operations: Sequence[Operation], model: Model) -> str:
    orders = (order for order in every_order(operations) if is_in_time(order))
    return "valid" if any(is_allowed(order, model) for order in orders) else "invalid"


@st.composite
def histories(draw: st.DrawFn, names: Sequence[str]) -> list[Operation]:
    small = st.integers(0, 2)
    operations: list[Operation] = []
    for client in range(draw(st.integers(1, 6))):
        call = draw(st.integers(0, 8))
        operations.append(
            Operation(
                call=call,
                returned=draw(st.none() | st.integers(call, call + 6)),
                name=draw(st.sampled_from(names)),
                argument=draw(small),
                answer=draw(small),
                client=client,
            )
        )
    return operations


@given(histories(["read", "write"]))
def test_it_agrees_with_trying_every_order_of_a_register(operations: list[Operation]) -> None:
    assert linearize(operations, Register()).verdict == by_trying_all(operations, Register())


@given(histories(["put", "drop", "count"]))
def test_it_agrees_where_one_operation_has_several_effects(operations: list[Operation]) -> None:
    assert linearize(operations, Bag()).verdict == by_trying_all(operations, Bag())


@given(histories(["checkout", "checkin", "kill"]))
def test_it_agrees_on_the_leases_of_a_pool(operations: list[Operation]) -> None:
    model = LeaseModel(workers=(0, 1))

    assert linearize(operations, model).verdict == by_trying_all(operations, model)


@given(histories(["read", "write"]))
def test_reads_that_are_taken_at_once_change_no_verdict(operations: list[Operation]) -> None:
    found = linearize(operations, Register(), reads=lambda one: one.name == "read")

    assert found.verdict == by_trying_all(operations, Register())


@given(histories(["checkout", "checkin", "kill"]))
def test_refusals_that_are_taken_at_once_change_no_verdict(operations: list[Operation]) -> None:
    history = [replace(one, answer=one.answer or REFUSED) for one in operations]
    model = LeaseModel(workers=(1, 2))

    assert linearize(history, model, reads=reads).verdict == by_trying_all(history, model)


@given(histories(["read", "write"]))
def test_what_it_finds_is_an_order_and_what_it_does_not_find_is_the_beginning_of_one(
    operations: list[Operation],
) -> None:
    found = linearize(operations, Register())

    assert is_in_time(found.order)
    assert is_allowed(found.order, Register())
    answered = [one for one in operations if one.returned is not None]
    if found.verdict == "valid":
        assert all(one in found.order for one in answered)
    else:
        assert found.stuck
        assert not any(
            is_in_time([*found.order, one]) and is_allowed([*found.order, one], Register())
            for one in found.stuck
        )


def operation(call: float, returned: float | None, name: str, **fields: Any) -> Operation:
    return Operation(call=call, returned=returned, name=name, **fields)


@given(histories(["read", "write"]), histories(["read", "write"]))
def test_partitions_are_judged_as_the_whole_would_be(
    one: list[Operation], other: list[Operation]
) -> None:
    class Registers:
        def initial(self) -> Hashable:
            return (0, 0)

        def step(self, state: Any, operation: Operation, /) -> Iterable[Hashable]:
            at = int(operation.client == "other")
            for after in Register().step(state[at], operation):
                yield (after, state[1]) if at == 0 else (state[0], after)

    both = [operation(o.call, o.returned, o.name, argument=o.argument, answer=o.answer, client=who)
            for who, part in (("one", one), ("other", other)) for o in part]  # fmt: skip

    assert (
        linearize(both, Register(), partition=lambda o: o.client).verdict
        == linearize(both, Registers()).verdict
    )


def test_touching_operations_are_concurrent() -> None:
    """Both moments belong to an operation."""
    first = operation(0, 5, "write", argument=1)

    assert linearize([first, operation(5, 9, "read", answer=0)], Register()).verdict == "valid"
    assert linearize([first, operation(6, 9, "read", answer=0)], Register()).verdict == "invalid"


def test_an_open_operation_takes_place_late_or_never() -> None:
    lost = operation(0, None, "write", argument=1)
    reads = [
        operation(10 * n, 10 * n + 5, "read", answer=answer) for n, answer in enumerate([0, 1])
    ]

    assert linearize([lost, *reads], Register()).verdict == "valid"
    assert linearize([lost, reads[0]], Register()).verdict == "valid"
    assert linearize([reads[1]], Register()).verdict == "invalid"


def test_a_failure_tells_the_longest_beginning_and_what_could_not_be_next() -> None:
    history = [
        operation(0, 1, "checkout", answer="w1", client="a"),
        operation(2, 3, "checkout", answer="w1", client="b"),
    ]

    found = linearize(history, LeaseModel(workers=("w1", "w2")))

    assert found.verdict == "invalid"
    assert found.order == (history[0],)
    assert found.stuck == (history[1],)
    assert found.reason == (
        "no order of 2 operations is allowed; the longest beginning has 1 and leads to "
        "frozenset({('w1', 'a')}), in which none of these can be next: "
        "b: checkout(None) -> 'w1'"
    )


def test_an_answer_before_its_call_is_refused() -> None:
    with pytest.raises(UsageError, match="expected an answer not before its call"):
        linearize([operation(5, 4, "read")], Register())


def hard(count: int) -> list[Operation]:
    """Return concurrent writes of different values, and a read of what nobody wrote."""
    writes = [operation(0, 100, "write", argument=n) for n in range(count)]
    return [*writes, operation(50, 100, "read", answer=-1)]


def test_where_the_time_is_up_it_is_unknown() -> None:
    ticks = itertools.count()

    found = linearize(hard(30), Register(), limit=20.0, clock=lambda: float(next(ticks)))

    assert found.verdict == "unknown"
    assert found.reason == f"the limit was reached after {found.configurations} configurations"


def test_one_partition_that_is_certainly_wrong_stands_over_one_that_is_unknown() -> None:
    ticks = itertools.count()
    wrong = operation(0, 1, "read", answer=7, client="z")

    found = linearize(
        [wrong, *hard(30)],
        Register(),
        partition=lambda one: one.client,
        limit=20.0,
        clock=lambda: float(next(ticks)),
    )

    assert (found.verdict, found.partition) == ("invalid", "z")


def test_an_empty_history_is_in_order() -> None:
    assert linearize([], Register()).verdict == "valid"


def test_a_pool_may_refuse_only_while_it_is_full() -> None:
    refused = operation(2, 3, "checkout", answer=REFUSED, client="b")
    lent = operation(0, 1, "checkout", answer="w1", client="a")

    assert linearize([lent, refused], LeaseModel(workers=("w1",))).verdict == "valid"
    assert linearize([refused], LeaseModel(workers=("w1",))).verdict == "invalid"
    lenient = LeaseModel(workers=("w1",), refuses="at any time")
    assert linearize([refused], lenient).verdict == "valid"


def test_the_worker_of_a_killed_client_is_free() -> None:
    history = [
        operation(0, 1, "checkout", answer="w1", client="a"),
        operation(2, 3, "kill", argument="w1"),
        operation(4, 5, "checkout", answer="w1", client="b"),
        operation(6, 7, "checkin", argument="w1", answer=False, client="a"),
        operation(8, 9, "checkin", argument="w1", answer=True, client="b"),
    ]
    model = LeaseModel(workers=("w1",))

    assert linearize(history, model, partition=by_worker).verdict == "valid"
    assert linearize(history[:1] + history[2:], model, partition=by_worker).verdict == "invalid"


JOB = "job 1"


@pytest.mark.parametrize(
    ("verdict", "steps"),
    [
        ("valid", [("submit", "accepted"), ("result", 5), ("result", 5), ("cancel", False)]),
        ("valid", [("submit", "accepted"), ("cancel", True), ("result", CANCELLED)]),
        ("valid", [("submit", REFUSED), ("cancel", False)]),
        ("invalid", [("submit", "accepted"), ("result", 5), ("result", 6)]),
        ("invalid", [("submit", "accepted"), ("cancel", True), ("result", 5)]),
        ("invalid", [("submit", REFUSED), ("result", 5)]),
        ("invalid", [("submit", "accepted"), ("cancel", False), ("result", CANCELLED)]),
        ("invalid", [("result", 5)]),
    ],
)
def test_a_job_has_one_outcome(verdict: str, steps: list[tuple[str, Any]]) -> None:
    history = [
        operation(2 * at, 2 * at + 1, name, argument=JOB, answer=answer)
        for at, (name, answer) in enumerate(steps)
    ]

    assert linearize(history, JobModel(), partition=by_job).verdict == verdict


def test_an_open_cancel_may_have_worked_or_not() -> None:
    begin = [
        operation(0, 1, "submit", argument=JOB, answer="accepted"),
        operation(2, None, "cancel", argument=JOB),
    ]
    for outcome in (5, CANCELLED):
        history = [*begin, operation(4, 5, "result", argument=JOB, answer=outcome)]
        assert linearize(history, JobModel(), partition=by_job).verdict == "valid"


@pytest.mark.parametrize("model", [JobModel(), LeaseModel(workers=(1,))])
def test_an_operation_that_a_model_does_not_know_is_refused(model: Model) -> None:
    with pytest.raises(UsageError, match=r"got .*'dance'"):
        linearize([operation(0, 1, "dance")], model)


def test_the_operations_of_a_history_are_read_from_its_events() -> None:
    def event(t: int, kind: str, job: int, **data: Any) -> Event:
        return Event(t=t, kind=kind, op="submit", job=job, data=data)

    events = [
        event(0, "invoke", 1, client="a", argument="x"),
        event(1, "invoke", 2),
        event(2, "ok", 1, answer="accepted"),
        event(3, "fail", 2),
        event(4, "invoke", 3),
        event(5, "info", 3),
        event(6, "invoke", 4),
    ]

    found = operations_of(events)

    assert [(one.call, one.returned) for one in found] == [(0, 2), (4, None), (6, None)]
    assert (found[0].client, found[0].argument, found[0].answer) == ("a", "x", "accepted")
