"""Stacks for tests: started, proven to be on their layer, used, and gone again, whatever happened."""

import asyncio
import functools
import inspect
from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from poolproof.errors import UsageError
from poolproof.pool.pool import Pool
from poolproof.pool.settings import MS, PoolSettings
from poolproof.stack.environment import Environment, build_test_env
from poolproof.stack.proof import descendants, prove_layer
from poolproof.stack.tree import Stack, start_stack
from poolproof.supervision import IsolatedSupervisor
from poolproof.transport.base import WorkerSpec

ISOLATED: Final[Mapping[str, Any]] = {
    "size": 2,
    "overflow": 0,
    "init_timeout": 10.0,
    "order": "lifo",
    "lazy": False,
}
READY_SECONDS: Final = 10.0

Target = Callable[..., Any] | WorkerSpec
Body = Callable[..., Coroutine[Any, Any, None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class TestContext:
    """What the body of an isolated test gets.

    Attributes:
        test_id: nobody else's.
        supervisor: the root of the test's own tree.
        test_env: how everything in it is found.
        stack: the running stack.
    """

    __test__ = False

    test_id: str
    supervisor: IsolatedSupervisor
    test_env: Environment
    stack: Stack

    @property
    def pool(self) -> Pool:
        """The pool that is up now."""
        return self.stack.pool


@asynccontextmanager
async def running_stack(env: Environment, **restarts: Any) -> AsyncGenerator[Stack, None]:
    """Run a stack for the length of a block, on the layer it was asked for.

    Raises:
        LayerProofError: it does not run there.
    """
    before = descendants()
    async with await start_stack(env, **restarts) as stack:
        if not env.settings.lazy:
            prove_layer(stack, before)
        yield stack


@asynccontextmanager
async def start_isolated_pool(
    target: Target,
    *,
    layer: str = "full",
    test: str = "",
    history: Path | None = None,
    **settings: Any,
) -> AsyncGenerator[Pool, None]:
    """Run a pool of its own for the length of a block: size 2, no overflow, eager, `lifo`.

    Args:
        target: the worker.
        layer: `mock`, `bridge_mock` or `full`.
        test: the test that it is for.
        history: where its history is written.
        **settings: what of `PoolSettings` is to be otherwise.
    """
    env = build_test_env(
        target, layer=layer, test=test, pool={**ISOLATED, **settings}, history=history
    )
    async with running_stack(env) as stack:
        yield await ensure_pool_ready(stack.pool, 1)


async def ensure_pool_ready(
    pool: Pool, minimum: int = 1, *, seconds: float = READY_SECONDS
) -> Pool:
    """Wait until at least `minimum` workers are up and well; return the pool.

    Each is asked: a worker counts when it has answered a ping since the call.

    Raises:
        TimeoutError: there are fewer after `seconds`; says how many.
    """
    ready: set[tuple[int, int]] = set()
    changed = asyncio.Event()
    unfollow = pool.ledger.follow(lambda _batch: changed.set())
    try:
        async with asyncio.timeout(seconds):
            while len(ready) < minimum:
                changed.clear()
                ready = await _answering(pool)
                if len(ready) < minimum:
                    await changed.wait()
    except TimeoutError:
        raise TimeoutError(
            f"expected at least {minimum} ready workers within {seconds:g} s, "
            f"got {len(ready)}: {[worker.state for worker in pool.workers()]}"
        ) from None
    finally:
        unfollow()
    return pool


async def _answering(pool: Pool) -> set[tuple[int, int]]:
    slots = [slot for slot in pool.slots() if slot.worker.health == "healthy"]
    pings = [slot.link.ping(pool.settings.ping_timeout) for slot in slots]
    answers = await asyncio.gather(*pings, return_exceptions=True)
    return {
        (slot.number, slot.worker.epoch)
        for slot, answer in zip(slots, answers, strict=True)
        if answer is None
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How one of several concurrent operations ended.

    Attributes:
        value: what it returned.
        error: what it raised; None if it did not.
        took_ms: how long it took, in milliseconds.
    """

    value: Any
    error: BaseException | None
    took_ms: float


async def concurrent_pool_operations(
    pool: Pool,
    operations: Sequence[tuple[str, Any]] | Mapping[str, Any],
    *,
    session: Mapping[str, str] | None = None,
    deadline: float | None = None,
) -> dict[str, Outcome]:
    """Submit all requests in one turn of the loop, so that they really are concurrent.

    Args:
        pool: where.
        operations: a name for each request.
        session: by name, the session of those that have one.
        deadline: of each.

    Returns:
        The outcome of each, by its name: errors are told apart, and nothing is left running.

    Raises:
        UsageError: a name is used twice.
    """
    named = list(operations.items() if isinstance(operations, Mapping) else operations)
    if len(dict(named)) < len(named):
        raise UsageError("expected each operation to have a name of its own, got one twice")
    sessions = session or {}
    jobs = {
        name: pool.submit(request, deadline=deadline, session=sessions.get(name))
        for name, request in named
    }
    began = pool.clock()
    ended: dict[str, int] = {}
    for name, job in jobs.items():
        job.add_done_callback(lambda _job, name=name: ended.setdefault(name, pool.clock()))
    try:
        answers = await asyncio.gather(*jobs.values(), return_exceptions=True)
    except asyncio.CancelledError:
        for job in jobs.values():
            job.cancel()
        raise
    return {
        name: Outcome(
            value=None if isinstance(answer, BaseException) else answer,
            error=answer if isinstance(answer, BaseException) else None,
            took_ms=(ended[name] - began) / MS,
        )
        for name, answer in zip(jobs, answers, strict=True)
    }


def isolated_test(
    target: Target,
    *,
    layer: str = "mock",
    pool_config: Mapping[str, Any] | PoolSettings | None = None,
    max_restarts: int = 3,
) -> Callable[[Body], Callable[..., None]]:
    """Make a plain test function of a coroutine function that takes a `TestContext` first.

    The stack is started before the body and is gone after it, whatever happened; a start that fails
    leaves nothing. Nothing is linked to the test's own task, so no clean-up can meet a dead parent.

    Example:
        >>> @isolated_test(Squares, layer="full", pool_config={"size": 4})
        ... async def test_squares(context):
        ...     assert await context.pool.submit(3) == 9
    """

    def decorate(body: Body) -> Callable[..., None]:
        async def run(*args: Any, **fixtures: Any) -> None:
            env = build_test_env(target, layer=layer, test=body.__qualname__, pool=pool_config)
            async with running_stack(env, max_restarts=max_restarts) as stack:
                context = TestContext(
                    test_id=env.test_id, supervisor=stack.tree, test_env=env, stack=stack
                )
                await body(context, *args, **fixtures)

        @functools.wraps(body)
        def test(*args: Any, **fixtures: Any) -> None:
            asyncio.run(run(*args, **fixtures))

        # What pytest is to fill in: all but the context.
        signature = inspect.signature(body)
        left = list(signature.parameters.values())[1:]
        vars(test)["__signature__"] = signature.replace(parameters=left)
        del vars(test)["__wrapped__"]
        return test

    return decorate
