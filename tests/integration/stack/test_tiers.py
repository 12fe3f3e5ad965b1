"""The layers are one stack: their histories fit the mock's model, and the full layer's traffic replays on the mock."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from poolproof import history
from poolproof.errors import PoolError
from poolproof.history import Event
from poolproof.stack import Stack, build_test_env
from poolproof.stack.conformance import Recorded, replay, violations
from poolproof.stack.isolated import running_stack
from tests.integration.stack.actors import Ledgered

pytestmark = [pytest.mark.integration, pytest.mark.asyncio]


async def traffic(stack: Stack) -> None:
    """Jobs, errors, checkouts, a cancellation, and the death of a worker, in one go."""
    jobs = [stack.submit(number) for number in range(50)]
    jobs += [stack.submit(["raise", "x"]), stack.submit(["exit"])]
    jobs[7].cancel()
    async with stack.checkout() as worker:
        await worker.call(["add", 1])
    await asyncio.gather(*jobs, return_exceptions=True)
    assert await stack.pool.map(range(40)) == list(range(40))
    stack.pool.slots()[0].link.kill()
    for number in range(20):
        try:
            await stack.submit(number)
        except PoolError:
            continue
    async with asyncio.timeout(20):  # both of the dead have been replaced
        while stack.pool.restarts < 2:  # noqa: ASYNC110 - the pool rings no bell
            await asyncio.sleep(0.001)


@pytest.mark.parametrize("layer", ["mock", "bridge_mock", "full"])
async def test_a_layers_history_fits_the_mocks_model(layer: str, tmp_path: Path) -> None:
    file = tmp_path / "history"
    env = build_test_env(Ledgered, layer=layer, pool={"size": 2, "overflow": 0}, history=file)
    async with running_stack(env) as stack:
        await traffic(stack)
    events = list(history.read(file))

    assert violations(events) == []
    assert sum(event.kind == "invoke" for event in events) == 114
    assert sum(event.kind == "death" for event in events) >= 4


def without_an_outcome(events: list[Event]) -> list[Event]:
    last = max(at for at, event in enumerate(events) if event.kind == "ok")
    return events[:last] + events[last + 1 :]


def with_an_outcome_twice(events: list[Event]) -> list[Event]:
    last = max(at for at, event in enumerate(events) if event.kind == "ok")
    return [*events[: last + 1], events[last], *events[last + 1 :]]


def with_an_answer_of_the_dead(events: list[Event]) -> list[Event]:
    return [replace_worker(event, 99) if event.kind == "ok" else event for event in events]


def replace_worker(event: Event, worker: int) -> Event:
    return Event(
        **{name: getattr(event, name) for name in ("t", "kind", "pid", "op", "job")},
        data={"worker": worker},
    )


def with_a_worker_lent_twice(events: list[Event]) -> list[Event]:
    return [event for event in events if event.message != "checkin"]


def with_a_job_nobody_submitted(events: list[Event]) -> list[Event]:
    return [event for event in events if not (event.kind == "invoke" and event.job == 3)]


def with_an_epoch_again(events: list[Event]) -> list[Event]:
    born = next(event for event in events if event.kind == "birth")
    return [*events, born]


@pytest.mark.parametrize(
    ("ablate", "found"),
    [
        (without_an_outcome, "has no outcome"),
        (with_an_outcome_twice, "has two outcomes"),
        (with_an_answer_of_the_dead, "which did not live"),
        (with_a_worker_lent_twice, "was lent twice at once"),
        (with_a_job_nobody_submitted, "was never submitted"),
        (with_an_epoch_again, "was born with epoch"),
    ],
)
async def test_the_model_refuses_a_history_that_was_tampered_with(
    ablate: Callable[[list[Event]], list[Event]], found: str, tmp_path: Path
) -> None:
    file = tmp_path / "history"
    env = build_test_env(Ledgered, layer="mock", pool={"size": 1, "overflow": 0}, history=file)
    async with running_stack(env) as stack:
        for _ in range(2):
            async with stack.checkout() as worker:
                await worker.call(1)
        await stack.submit(1)
    events = list(history.read(file))

    assert violations(events) == []
    assert any(found in problem for problem in violations(ablate(events)))


REQUESTS = [["add", 1], ["add", 41], {"a": [1, None, b"x"]}, ["raise", "no"], ["add", 0]]


@pytest.mark.parametrize("layer", ["bridge_mock", "mock"])
async def test_traffic_of_the_full_layer_replays_on_the_others(layer: str) -> None:
    one = {"size": 1, "overflow": 0}
    async with running_stack(build_test_env(Ledgered, layer="full", pool=one)) as stack:
        recorded = Recorded(stack.pool)
        for request in REQUESTS:
            await recorded.submit(request)
    async with running_stack(build_test_env(Ledgered, layer=layer, pool=one)) as stack:
        differences = await replay(recorded.traffic, stack.pool)

    assert [exchange.outcome[0] for exchange in recorded.traffic] == ["ok"] * 3 + ["error", "ok"]
    assert differences == []


async def test_a_replay_tells_what_has_changed() -> None:
    one = {"size": 1, "overflow": 0}
    async with running_stack(build_test_env(Ledgered, layer="mock", pool=one)) as stack:
        recorded = Recorded(stack.pool)
        await recorded.submit(["add", 1])
    changed = [replace(recorded.traffic[0], request=["add", 2])]
    async with running_stack(build_test_env(Ledgered, layer="mock", pool=one)) as stack:
        differences = await replay(changed, stack.pool)

    assert len(differences) == 1
    assert "recorded ('ok'" in differences[0]
