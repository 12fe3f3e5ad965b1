"""The layer that was asked for is the layer that ran; a switch and a fallback are seen, or refused."""

import os
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from poolproof import history
from poolproof.config import LAYERS
from poolproof.errors import StartFailedError, UsageError
from poolproof.pool.failover import DESCENT, Step
from poolproof.stack import ADAPTERS, Stack, build_test_env, start_stack
from poolproof.stack.isolated import running_stack
from poolproof.stack.proof import LayerProofError, descendants, prove_layer
from poolproof.transport.base import Layer, Transport
from poolproof.transport.mock import MockTransport
from poolproof.transport.process import ProcessTransport
from tests.integration.stack.actors import Which

pytestmark = [pytest.mark.integration, pytest.mark.asyncio]
SMALL: dict[str, Any] = {"size": 1, "overflow": 0, "start_retries": 0}


def environment(layer: str, **more: Any) -> Any:
    return build_test_env(Which, layer=layer, pool=SMALL, **more)


async def runs_foreign(stack: Stack) -> bool:
    """Return, by the actor's own word, whether it is in another process."""
    _, pid, _ = await stack.submit(1)
    return bool(pid != os.getpid())


@pytest.mark.parametrize("layer", LAYERS)
async def test_a_stack_runs_where_it_was_asked_to(layer: Layer) -> None:
    async with running_stack(environment(layer)) as stack:
        assert stack.layer == layer
        assert await runs_foreign(stack) == (layer == "full")


@pytest.mark.parametrize(("origin", "target"), list(product(LAYERS, LAYERS)))
async def test_a_switch_goes_to_any_other_layer_and_is_noted(
    origin: Layer, target: Layer, tmp_path: Path
) -> None:
    env = environment(origin, history=tmp_path / "history")
    before = descendants()
    async with await start_stack(env) as stack:
        if origin == target:
            with pytest.raises(UsageError, match=f"expected another layer than {target}"):
                await stack.switch(target)
            return
        await stack.switch(target)

        prove_layer(stack, before)
        assert await runs_foreign(stack) == (target == "full")
    noted = [event.data for event in history.read(tmp_path / "history") if event.kind == "phase"]
    assert noted == [{"what": "switch", "from": origin, "to": target}]


class Unstartable:
    """A transport on which nothing starts."""

    def __init__(self, layer: Layer) -> None:
        self.layer = layer

    async def open(self) -> None:
        raise StartFailedError(f"nothing starts on {self.layer} today")

    async def close(self) -> None:
        pass


@pytest.mark.parametrize(("origin", "target"), list(product(LAYERS, LAYERS)))
async def test_a_fallback_goes_down_only_and_is_seen(
    origin: Layer, target: Layer, tmp_path: Path
) -> None:
    def broken() -> Transport:
        return Unstartable(origin)  # type: ignore[return-value]

    adapters = {**ADAPTERS, origin: broken}
    more = {"failover": [Step(target, 1)], "adapters": adapters, "history": tmp_path / "history"}
    if DESCENT.index(target) <= DESCENT.index(origin):
        with pytest.raises(UsageError, match="expected a fallback to a less real layer"):
            environment(origin, **more)
        return

    async with running_stack(environment(origin, **more)) as stack:
        assert (stack.env.layer, stack.layer) == (origin, target)
        assert [fallback.target for fallback in stack.fallbacks] == [Step(target, 1)]
        assert not await runs_foreign(stack)
    noted = [event.data.get("what") for event in history.read(tmp_path / "history")]
    assert "fallback" in noted


async def test_without_a_declared_fallback_there_is_none() -> None:
    def broken() -> Transport:
        return Unstartable("full")  # type: ignore[return-value]

    with pytest.raises(StartFailedError, match="nothing starts on full"):
        await start_stack(environment("full", adapters={**ADAPTERS, "full": broken}))


async def test_a_worker_that_a_layer_cannot_have_is_an_error_that_says_so() -> None:
    env = build_test_env(lambda request: request, layer="full", pool=SMALL)

    with pytest.raises(UsageError, match=r"^expected on the layer full a target at the top level"):
        await start_stack(env)


async def test_a_stack_that_is_slow_to_come_up_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    quick, slow = (
        replace(environment("mock", history=tmp_path / name), setup_ms=limit)
        for name, limit in (("quick", 60_000), ("slow", -1))
    )
    for env in (quick, slow):
        await (await start_stack(env)).stop()
    noted = {
        env.setup_ms: [event.data for event in history.read(env.ledger.path)]
        for env in (quick, slow)
    }

    assert not any("slow setup" in str(data) for data in noted[60_000])
    assert any("slow setup" in str(data) for data in noted[-1])
    assert [record.test for record in caplog.records] == [slow.test]  # type: ignore[attr-defined]


class Pretender(MockTransport):
    """A mock that says it is the full layer: what the plan's predecessor did."""

    layer = "full"


class Forker(ProcessTransport):
    """The full layer under the name of the mock."""

    layer = "mock"


async def test_a_mock_that_poses_as_full_fails_the_test() -> None:
    env = environment("full", adapters={**ADAPTERS, "full": Pretender})

    with pytest.raises(LayerProofError, match="to be a process below this one, got 0 such"):
        async with running_stack(env):
            pass


async def test_a_mock_that_starts_a_process_fails_the_test() -> None:
    env = environment("mock", adapters={**ADAPTERS, "mock": Forker})

    with pytest.raises(LayerProofError, match="expected no process on the layer mock"):
        async with running_stack(env):
            pass


async def test_a_stack_on_another_layer_than_asked_fails_the_test() -> None:
    env = environment("bridge_mock", adapters={**ADAPTERS, "bridge_mock": MockTransport})

    with pytest.raises(
        LayerProofError, match="expected the layer bridge_mock, got a stack on mock"
    ):
        async with running_stack(env):
            pass


async def test_an_unknown_layer_is_an_error_that_names_the_known() -> None:
    with pytest.raises(UsageError, match="mock, bridge_mock, full, got 'layer_3'"):
        environment("layer_3")
