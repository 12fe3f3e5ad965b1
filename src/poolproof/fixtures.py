"""Fixtures for the author of actors: `stack` and `isolated_pool`, each once on every layer.

Loaded with the plugin into every suite: the standard library and pytest only, the rest when a
fixture is used.
"""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any, Final

import pytest

if TYPE_CHECKING:
    from poolproof.pool.pool import Pool
    from poolproof.stack import Stack

ON_EVERY_LAYER: Final = frozenset({"stack", "isolated_pool"})


@pytest.fixture
def layer() -> str:
    """The layer that the test runs on; the plugin gives each test its own."""
    raise pytest.UsageError("expected the plugin to have chosen a layer, got none; is it loaded?")


@pytest.fixture
def stack(
    request: pytest.FixtureRequest, layer: str
) -> "Callable[..., AbstractAsyncContextManager[Stack]]":
    """Start stacks on the test's layer: `async with stack(Worker, size=2) as running: ...`.

    Options are those of `PoolSettings`, and `max_restarts`, `breaker`, `history`. A stack that is
    not on the layer fails the test.
    """

    def start(
        target: Any,
        *,
        max_restarts: int = 3,
        breaker: bool = False,
        history: Any = None,
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
        )
        return running_stack(env, max_restarts=max_restarts)

    return start


@pytest.fixture
def isolated_pool(
    request: pytest.FixtureRequest, layer: str
) -> "Callable[..., AbstractAsyncContextManager[Pool]]":
    """Start pools of their own on the test's layer: `async with isolated_pool(Worker) as pool: ...`."""

    def start(target: Any, **settings: Any) -> "AbstractAsyncContextManager[Pool]":
        from poolproof.stack.isolated import start_isolated_pool  # noqa: PLC0415

        return start_isolated_pool(target, layer=layer, test=request.node.nodeid, **settings)

    return start
