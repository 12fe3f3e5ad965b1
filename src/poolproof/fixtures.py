"""Fixtures for the author of actors: `stack` and `isolated_pool`, each once on every layer.

Loaded with the plugin into every suite: the standard library and pytest only, the rest when a
fixture is used.
"""

from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

import pytest

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from poolproof.pool.pool import Pool
    from poolproof.stack import Stack

LAYERS: Final = ("mock", "bridge_mock", "full")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test that takes our `stack` or `isolated_pool`, and names no layer, on every layer."""
    ours = "poolproof_stacks" in metafunc.fixturenames and "layer" in metafunc.fixturenames
    if ours and metafunc.definition.get_closest_marker("layer") is None:
        each = [pytest.param(layer, marks=pytest.mark.layer(layer)) for layer in LAYERS]
        metafunc.parametrize("layer", each)


@pytest.fixture
def layer() -> str:
    """The layer that the test runs on; each test is given its own."""
    raise pytest.UsageError(
        "expected a test that takes `layer` to be marked, as in @pytest.mark.layer('mock', 'full'), "
        "or to take `stack`; got neither"
    )


@pytest.fixture
def poolproof_stacks() -> None:
    """By this name a test is known to take a fixture of ours, and no other of the same name."""


@pytest.fixture
def stack(
    request: pytest.FixtureRequest,
    layer: str,
    poolproof_stacks: None,  # noqa: ARG001
) -> "Callable[..., AbstractAsyncContextManager[Stack]]":
    """Start stacks of workers on the test's layer, to be used by `async with ... as running`.

    Options are those of `PoolSettings`, and `max_restarts`, `breaker`, `history`, `failover`. A
    stack that is not on the layer fails the test; one that fell back as declared is reported with
    the test, as its property `fallback`.
    """

    def start(
        target: Any,
        *,
        max_restarts: int = 3,
        breaker: bool = False,
        history: Any = None,
        failover: Any = (),
        **settings: Any,
    ) -> "AbstractAsyncContextManager[Stack]":
        from poolproof.stack import build_test_env  # noqa: PLC0415 - late, as the charter says
        from poolproof.stack.isolated import running_stack  # noqa: PLC0415

        env = build_test_env(
            target,
            layer=layer,
            test=request.node.nodeid,
            pool=settings,
            breaker=breaker,
            history=history,
            failover=failover,
        )
        return _told(running_stack(env, max_restarts=max_restarts), request.node)

    return start


@asynccontextmanager
async def _told(
    starting: "AbstractAsyncContextManager[Stack]", node: pytest.Item
) -> "AsyncGenerator[Stack, None]":
    async with starting as running:
        for fallback in running.fallbacks:
            way = f"{fallback.origin.layer} -> {fallback.target.layer}: {fallback.reason}"
            node.user_properties.append(("fallback", way))
        yield running


@pytest.fixture
def isolated_pool(
    request: pytest.FixtureRequest,
    layer: str,
    poolproof_stacks: None,  # noqa: ARG001
) -> "Callable[..., AbstractAsyncContextManager[Pool]]":
    """Start pools of workers on the test's layer, to be used by `async with ... as pool`."""

    def start(target: Any, **settings: Any) -> "AbstractAsyncContextManager[Pool]":
        from poolproof.stack.isolated import start_isolated_pool  # noqa: PLC0415

        return start_isolated_pool(target, layer=layer, test=request.node.nodeid, **settings)

    return start
