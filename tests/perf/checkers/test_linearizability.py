"""A thousand operations of eight clients are judged in time, right or wrong; what is too hard is unknown."""

import random
import time
from collections import deque
from collections.abc import Callable, Hashable, Iterable
from dataclasses import replace
from typing import Any, Final

import pytest

from poolproof.checkers.linearizability import Linearization, Model, Operation, linearize
from poolproof.checkers.sequential import REFUSED, LeaseModel, reads
from tests.perf.pace import slowness

pytestmark = pytest.mark.perf

OPERATIONS: Final = 1000
CLIENTS: Final = 8
BOUND_S: Final = 2.0
LIMIT_S: Final = 0.5


CAPACITY: Final = 4


class Queue:
    """First in, first out; the empty queue answers None, and the full one False."""

    def initial(self) -> Hashable:
        return ()

    def step(self, state: Any, operation: Operation, /) -> Iterable[Hashable]:
        if operation.name == "put":
            full = len(state) == CAPACITY
            return (
                []
                if full is operation.answer
                else [state if full else (*state, operation.argument)]
            )
        if not state:
            return [state] if operation.answer is None else []
        return [state[1:]] if operation.answer == state[0] else []


class Register:
    """One value: written, read."""

    def initial(self) -> Hashable:
        return 0

    def step(self, state: Any, operation: Operation, /) -> Iterable[Hashable]:
        if operation.name == "write":
            return [operation.argument]
        return [state] if operation.answer == state else []


Step = Callable[[int, int], tuple[str, Any, Any]]


def record(step: Step, seed: int) -> list[Operation]:
    """Let eight clients ask one after the other; each takes effect at one moment in between."""
    draw = random.Random(seed)
    free, operations = [0.0] * CLIENTS, list[tuple[float, float, float, int]]()
    for _ in range(OPERATIONS):
        client = min(range(CLIENTS), key=free.__getitem__)
        call = free[client] + draw.random() * 0.1
        effect = call + draw.random()
        free[client] = effect + draw.random()
        operations.append((effect, call, free[client], client))
    found = list[Operation]()
    for number, (_, call, returned, client) in enumerate(sorted(operations)):
        name, argument, answer = step(client, number)
        found.append(
            Operation(
                call=call, returned=returned, name=name,
                argument=argument, answer=answer, client=client,
            )
        )  # fmt: skip
    return found


def queue(seed: int) -> Step:
    draw, held = random.Random(seed), deque[int]()

    def step(_: int, number: int) -> tuple[str, Any, Any]:
        if draw.random() < 0.5:
            if len(held) == CAPACITY:
                return "put", number, False
            held.append(number)
            return "put", number, True
        return "get", None, held.popleft() if held else None

    return step


def register(seed: int) -> Step:
    draw, value = random.Random(seed), 0

    def step(_: int, number: int) -> tuple[str, Any, Any]:
        nonlocal value
        if draw.random() < 0.5:
            value = number % 5
            return "write", value, None
        return "read", None, value

    return step


def pool(seed: int) -> Step:
    draw, held = random.Random(seed), dict[int, int]()

    def step(client: int, _: int) -> tuple[str, Any, Any]:
        if client in held:
            return "checkin", held.pop(client), True
        free = sorted({0, 1, 2, 3} - set(held.values()))
        if not free:
            return "checkout", None, REFUSED
        held[client] = draw.choice(free)
        return "checkout", None, held[client]

    return step


LEASES: Final = LeaseModel(workers=(0, 1, 2, 3))


def spoil(operations: list[Operation], name: str, answer: Any) -> list[Operation]:
    """Change one answer near the end, so that the search must try everything before it."""
    at = max(
        number
        for number, one in enumerate(operations)
        if one.name == name and one.answer not in (answer, REFUSED, None)
    )
    changed = replace(operations[at], answer=answer)
    return [*operations[:at], changed, *operations[at + 1 :]]


def timed(operations: list[Operation], model: Model, **options: Any) -> tuple[Linearization, float]:
    """Return what was found and the processor time, which others on the machine do not add to."""
    begun = time.process_time()
    found = linearize(operations, model, clock=time.process_time, **options)
    return found, time.process_time() - begun


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(
    ("step", "model", "reads", "wrong"),
    [
        (queue, Queue(), lambda one: one.answer in (None, False), ("get", -1)),
        (register, Register(), lambda one: one.name == "read", ("read", -1)),
        (pool, LEASES, reads, ("checkout", -1)),
    ],
    ids=["queue", "register", "pool"],
)
def test_a_thousand_operations_of_eight_clients_are_judged_in_time(
    step: Callable[[int], Step],
    model: Model,
    reads: Callable[[Operation], bool],
    wrong: tuple[str, Any],
    seed: int,
) -> None:
    operations = record(step(seed), seed)

    right, right_s = timed(operations, model, reads=reads)
    spoiled, spoiled_s = timed(spoil(operations, *wrong), model, reads=reads)

    print(  # noqa: T201 - the figures are to be seen
        f"{right_s:.3f} s, {right.configurations} configurations; "
        f"wrong: {spoiled_s:.3f} s, {spoiled.configurations}"
    )
    assert (right.verdict, spoiled.verdict) == ("valid", "invalid")
    assert max(right_s, spoiled_s) < BOUND_S * slowness()


def test_what_is_too_hard_is_unknown_when_the_time_is_up() -> None:
    """All at once, with an answer that fits none: 2 ** 200 sets of operations would have to be tried."""
    operations = [
        Operation(call=0, returned=1, name="write", argument=number) for number in range(200)
    ]
    operations.append(Operation(call=0, returned=1, name="read", answer=-1))

    found, seconds = timed(operations, Register(), limit=LIMIT_S)

    assert found.verdict == "unknown"
    assert LIMIT_S <= seconds < BOUND_S
