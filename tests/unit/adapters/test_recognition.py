"""A pool's family is told from its shape; nothing is submitted, and the error says what to do."""

import asyncio
import math
import multiprocessing
import multiprocessing.pool
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import Any, Self

import pytest

from poolproof.adapters.asyncio import AsyncioPool
from poolproof.adapters.base import Adapter, TargetProblem
from poolproof.adapters.executor import ExecutorPool
from poolproof.adapters.multiprocessing import MultiprocessingPool
from poolproof.adapters.protocol import ProtocolPool
from poolproof.adapters.registry import EXAMPLE, by_name, families, looked_for, recognise

pytestmark = pytest.mark.unit


class Own:
    """All four calls, and `submit` and `shutdown` of an executor besides."""

    job_style = "coroutine"

    def start(self) -> None: ...
    def submit(self, function: Any, *args: Any) -> Any: ...
    def wait(self, handle: Any) -> Any: ...
    def stop(self) -> None: ...
    def shutdown(self) -> None: ...


class Pebble:
    def schedule(self, function: Any, args: Any = (), timeout: float | None = None) -> Any: ...
    def close(self) -> None: ...
    def join(self) -> None: ...


class OddSubmit(Pebble):
    def submit(self, function: Any, queue: str, /, *args: Any) -> Any: ...


class BothWorlds:
    """Sync and async at once, as dask's client: its plain `submit` is for threads."""

    def __enter__(self) -> Self: ...  # type: ignore[empty-body]
    def __exit__(self, *error: object) -> None: ...
    async def __aenter__(self) -> Self: ...  # type: ignore[empty-body]
    async def aclose(self) -> None: ...
    def submit(self, function: Any, *args: Any) -> "Future[Any]": ...  # type: ignore[empty-body]
    def close(self) -> None: ...


class ApplyIsCoroutine:
    async def apply(
        self, func: Callable[..., Awaitable[Any]], args: Any = None, kwds: Any = None
    ) -> Any: ...
    def close(self) -> None: ...
    async def join(self) -> None: ...


class ApplyAsyncIsCoroutine:
    async def apply_async(self, func: Any, args: Any = ()) -> Any: ...
    async def submit(self, func: Any, *args: Any) -> Any: ...


class SubmitGivesFuture:
    def submit(self, function: Any) -> "asyncio.Future[Any]": ...  # type: ignore[empty-body]


class SubmitGivesUnknown:
    """Nothing is known of `submit`; that it is for coroutines shows in its end."""

    def submit(self, function, *args): ...  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN002, ANN201
    async def close(self) -> None: ...


class SubmitSpeaksOfAwaitables:
    """An annotation that cannot be evaluated is read as text."""

    def submit(self, function: Any) -> "Awaitable[NoSuchType]": ...  # type: ignore[name-defined,empty-body]  # noqa: F821


class FourCoroutines:
    async def start(self) -> None: ...
    async def submit(self, function: Any, *args: Any) -> Any: ...
    async def wait(self, handle: Any) -> Any: ...
    async def stop(self) -> None: ...


class RunIsItsMainLoop:
    """`run` takes no job: it is not the way in."""

    async def run(self) -> None: ...
    async def execute(self, function: Any, *args: Any) -> Any: ...


class Hostile:
    @property
    def submit(self) -> Any:
        raise RuntimeError("not before start")

    def apply_async(self, func: Any, args: Any = ()) -> Any: ...


@pytest.mark.parametrize(
    ("pool", "expected"),
    [
        (Own(), ProtocolPool),
        (Pebble(), ExecutorPool),
        (BothWorlds(), ExecutorPool),
        (Executor(), ExecutorPool),
        (Hostile(), MultiprocessingPool),
        (ApplyIsCoroutine(), AsyncioPool),
        (ApplyAsyncIsCoroutine(), AsyncioPool),
        (SubmitGivesFuture(), AsyncioPool),
        (SubmitGivesUnknown(), AsyncioPool),
        (SubmitSpeaksOfAwaitables(), AsyncioPool),
        (FourCoroutines(), AsyncioPool),
        (RunIsItsMainLoop(), AsyncioPool),
        (asyncio.TaskGroup(), AsyncioPool),
    ],
    ids=lambda value: type(value).__name__,
)
def test_shape_tells_the_family(pool: object, expected: Callable[[Any], Adapter]) -> None:
    assert recognise(pool) is expected


def test_pools_of_the_standard_library_are_recognised() -> None:
    with ThreadPoolExecutor(1) as executor, multiprocessing.pool.ThreadPool(1) as pool:
        assert recognise(executor) is ExecutorPool
        assert recognise(pool) is MultiprocessingPool


def test_recognising_and_adapting_calls_nothing() -> None:
    class Recorder:
        calls: list[str] = []  # noqa: RUF012

        def submit(self, *_job: Any) -> None:
            self.calls.append("submit")

        def shutdown(self) -> None:
            self.calls.append("shutdown")

    pool = Recorder()
    recognise(pool)(pool)

    assert pool.calls == []


def test_families_are_asked_in_the_order_of_their_rank() -> None:
    assert [family.name for family in families()] == [
        "protocol",
        "multiprocessing",
        "executor",
        "asyncio",
    ]


def test_names_choose_a_family() -> None:
    assert by_name("asyncio") is AsyncioPool


def test_an_unknown_name_gets_the_known_ones() -> None:
    with pytest.raises(
        TargetProblem,
        match=r"^expected an adapter among protocol, multiprocessing, executor, asyncio, "
        r"got 'executr'; did you mean 'executor'\?$",
    ):
        by_name("executr")


def test_a_name_like_none_says_how_to_name_an_own_one() -> None:
    with pytest.raises(TargetProblem, match=r"got 'ray'; your own is named module:Class$"):
        by_name("ray")


def test_an_adapter_of_the_users_own_is_found_and_used() -> None:
    chosen = by_name("my.module:Own", {"my.module:Own": lambda _pool: Own()}.__getitem__)
    adapted = chosen(object())

    assert chosen.fits(object())
    assert isinstance(adapted, ProtocolPool)
    assert adapted.job_style == "coroutine"


def test_an_own_adapter_that_lacks_calls_is_refused() -> None:
    chosen = by_name("my:Class", lambda _name: lambda pool: pool)

    with pytest.raises(
        TargetProblem,
        match=r"^expected my:Class\(pool\) to offer start, submit, wait, stop, "
        r"got Pebble without a plain start, submit, wait, stop$",
    ):
        chosen(Pebble())


def test_an_own_adapter_that_raises_is_refused() -> None:
    chosen = by_name("math:sqrt", lambda _name: math.sqrt)

    with pytest.raises(
        TargetProblem, match=r"^expected math:sqrt\(pool\) to return an adapter, got TypeError: "
    ):
        chosen(Pebble())


@pytest.mark.parametrize(
    ("thing", "described"),
    [
        (None, "got None (is a `return` missing?);"),
        (7, "got 7 of type int;"),
        (math, "got the module math;"),
        (Own, "got the class Own (return an instance of it);"),
        ("x" * 99, "got '" + "x" * 56 + "... of type str;"),
    ],
    ids=["none", "number", "module", "class", "long"],
)
def test_nonsense_is_described(thing: object, described: str) -> None:
    with pytest.raises(TargetProblem) as raised:
        recognise(thing, "pools:make")

    text = str(raised.value)
    assert text.startswith("expected pools:make to return a pool, got ")
    assert described in text


def test_a_stranger_is_described_by_its_methods() -> None:
    class Stranger:
        def __repr__(self) -> str:
            raise ValueError

        def push(self) -> None: ...
        def drain(self) -> None: ...

    with pytest.raises(TargetProblem, match=r"got <no repr> of type .*Stranger with the methods"):
        recognise(Stranger())


def test_the_error_shows_every_shape_and_the_adapter_to_write() -> None:
    with pytest.raises(TargetProblem) as raised:
        recognise(object())

    text = str(raised.value)
    assert f"looked for {looked_for()}. Or return an adapter from the factory:" in text
    assert "def wait(self, handle): return handle.result()" in text


def test_the_adapter_of_the_example_is_one() -> None:
    scope: dict[str, Any] = {}
    source = EXAMPLE.partition("\n\n")[2].replace("NAME", "submit")
    exec("if True:\n" + source, scope)

    adapted = scope["Adapted"](ThreadPoolExecutor(1))

    assert recognise(adapted) is ProtocolPool
    adapted.start()
    assert adapted.wait(adapted.submit(abs, -4)) == 4
    adapted.pool.shutdown()


def test_an_entry_that_needs_more_than_a_job_is_a_problem_of_the_target() -> None:
    class Needy(OddSubmit):
        schedule = None  # type: ignore[assignment]

    with pytest.raises(TargetProblem, match=r"got one that also needs 'queue'"):
        ExecutorPool(Needy())


def test_the_second_entry_is_used_where_the_first_needs_too_much() -> None:
    assert ExecutorPool(OddSubmit())._entry.__name__ == "schedule"


@pytest.mark.parametrize(
    ("adapter", "message"),
    [
        (ExecutorPool, r"^expected submit or schedule, got object without them$"),
        (MultiprocessingPool, r"^expected apply_async, got object without it$"),
        (ProtocolPool, r"^expected the pool to offer start, submit, wait, stop, got object "),
        (AsyncioPool, r"^expected one of submit, apply, run, spawn, .* got object without; return"),
    ],
)
def test_an_adapter_forced_on_the_wrong_pool_says_so(
    adapter: Callable[[Any], Adapter], message: str
) -> None:
    with pytest.raises(TargetProblem, match=message):
        adapter(object())


def test_a_job_style_that_does_not_exist_is_refused() -> None:
    class Styled(Own):
        job_style = "async"

    with pytest.raises(
        TargetProblem, match=r"^expected job_style to be one of plain, coroutine, unknown, got 'as"
    ):
        ProtocolPool(Styled())


def test_submit_without_a_future_is_refused_by_name() -> None:
    class Forgetful(Own):
        pass

    with pytest.raises(TargetProblem, match=r"^expected submit to return a future with result\(\)"):
        ExecutorPool(Forgetful()).submit(abs, 1)


def test_apply_async_without_a_result_is_refused_by_name() -> None:
    with pytest.raises(TargetProblem, match=r"^expected apply_async to return a result with get"):
        MultiprocessingPool(Hostile()).submit(abs, 1)


def test_callbacks_are_offered_only_where_apply_async_takes_them() -> None:
    adapted = MultiprocessingPool(Hostile())

    assert adapted.offers == frozenset()
    with pytest.raises(NotImplementedError, match=r"^expected one of \[\], got 'callback'; look"):
        adapted.submit_with_callback(print, abs, 1)


def test_optional_members_of_a_worker_pool_are_offered_and_used() -> None:
    class Rich(Own):
        def cancel(self, handle: str) -> int:
            return int(handle == "mine")

        def workers(self) -> tuple[int, ...]:
            return (1, 2)

        def submit_with_callback(self, callback: Any, function: Any, *args: Any) -> Any:
            return callback, function, args

        def run_main(self, script: Callable[[], None]) -> None:
            self.ran = True
            script()

    pool, ran = Rich(), list[str]()
    adapted = ProtocolPool(pool)
    adapted.run_main(lambda: ran.append("script"))

    assert adapted.offers == {"cancel", "callback", "workers"}
    assert adapted.cancel("mine") is True
    assert adapted.workers() == [1, 2]
    assert adapted.submit_with_callback(print, abs, 1) == (print, abs, (1,))
    assert (pool.ran, ran) == (True, ["script"])


@pytest.mark.parametrize(
    "make",
    [
        lambda: ExecutorPool(Pebble()),
        lambda: MultiprocessingPool(Hostile()),
        lambda: ProtocolPool(Own()),
    ],
    ids=["executor", "multiprocessing", "protocol"],
)
def test_an_error_of_the_script_passes(make: Callable[[], Adapter]) -> None:
    def script() -> None:
        raise LookupError("mine")

    with pytest.raises(LookupError, match=r"^mine$"):
        make().run_main(script)
