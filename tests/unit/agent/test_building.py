"""What a factory is called with, and what is said when it cannot be."""

import functools
import multiprocessing
import multiprocessing.pool
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from typing import Any, Optional

import pytest

from poolproof.adapters.base import TargetProblem
from poolproof.agent.building import NeedsLoopError, arguments, build
from poolproof.agent.naming import Factory

pytestmark = pytest.mark.unit


def _factory(function: Callable[..., Any]) -> Factory:
    return Factory(name="pools:make", function=function)


def _nothing() -> None: ...
def _first(how_many: Any) -> None: ...
def _only_place(how_many: Any, /) -> None: ...
def _keyword(name: str = "x", *, n_jobs: int = 1) -> None: ...
def _later(host: str = "x", Workers: int = 1) -> None: ...  # noqa: N803
def _optional(loop: Any = None) -> None: ...
def _flag(debug: bool = False) -> None: ...  # noqa: FBT001, FBT002
def _default(slots: Any = 4) -> None: ...
def _typed(slots: int | None = None) -> None: ...
def _typed_old(slots: Optional[int] = None) -> None: ...  # noqa: UP045
def _endpoint(where: "Endpoint" = None) -> None: ...  # type: ignore[name-defined]  # noqa: F821
def _spread(*args: Any) -> None: ...
def _named(**named: Any) -> None: ...
def _keyword_only(*, loop: Any = None) -> None: ...


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (multiprocessing.Pool, ((2,), {})),
        (multiprocessing.pool.ThreadPool, ((2,), {})),
        (ProcessPoolExecutor, ((2,), {})),
        (functools.partial(ThreadPoolExecutor, thread_name_prefix="x"), ((2,), {})),
        (_nothing, ((), {})),
        (_first, ((2,), {})),
        (_only_place, ((2,), {})),
        (_keyword, ((), {"n_jobs": 2})),
        (_later, ((), {"Workers": 2})),
        (_optional, ((), {})),
        (_flag, ((), {})),
        (_default, ((2,), {})),
        (_typed, ((2,), {})),
        (_typed_old, ((2,), {})),
        (_endpoint, ((), {})),
        (_spread, ((2,), {})),
        (_named, ((), {})),
        (_keyword_only, ((), {})),
        (dict, ((2,), {})),
    ],
)
def test_the_number_of_workers_goes_where_it_belongs(
    function: Callable[..., Any], expected: Any
) -> None:
    assert arguments(_factory(function), 2) == expected


def test_a_pool_is_built() -> None:
    pool = build(_factory(ThreadPoolExecutor), 3)

    assert isinstance(pool, ThreadPoolExecutor)
    assert pool._max_workers == 3


@pytest.mark.parametrize(
    ("function", "missing", "call"),
    [
        (lambda url: None, None, None),  # noqa: ARG005 - it may well be the number
        (lambda url, n: None, "url", "url=..."),  # noqa: ARG005
        (lambda n, broker, *, queue: None, "broker, queue", "broker=..., queue=..."),  # noqa: ARG005
    ],
)
def test_a_factory_that_needs_more_is_refused_and_shown_how(
    function: Callable[..., Any], missing: str | None, call: str | None
) -> None:
    if missing is None:
        build(_factory(function), 2)
        return
    with pytest.raises(TargetProblem) as raised:
        build(_factory(function), 2)

    assert str(raised.value) == (
        "expected a factory that takes the number of workers, or nothing, got pools:make, "
        f"which also needs {missing}; write one into a file, and name it as file.py:make:\n\n"
        f"    def make(workers):\n        return <lambda>({call})\n"
    )


def test_a_parameter_of_another_type_does_not_take_the_number() -> None:
    def make(broker: str) -> None: ...

    with pytest.raises(TargetProblem, match=r"which also needs broker; write one into a file"):
        build(_factory(make), 2)


def test_a_factory_that_raises_is_quoted_with_its_own_frame() -> None:
    def make(n: int) -> None:
        multiprocessing.get_context(f"no such context {n}")

    with pytest.raises(TargetProblem) as raised:
        build(_factory(make), 2)

    assert str(raised.value) == (
        "expected pools:make to return a pool, got ValueError: cannot find context for "
        f"'no such context 2' ({__file__}:{make.__code__.co_firstlineno + 1} in make); "
        "it was called as make(2)"
    )


def test_a_factory_that_exits_is_a_problem() -> None:
    def make(*, workers: int) -> None:
        raise SystemExit(workers)

    with pytest.raises(
        TargetProblem, match=r"got SystemExit: 2 .*; it was called as make\(workers=2\)$"
    ):
        build(_factory(make), 2)


def test_a_runtime_error_is_a_problem_like_others() -> None:
    def make() -> None:
        raise RuntimeError("no room")

    with pytest.raises(TargetProblem, match=r"got RuntimeError: no room .* as make\(\)$"):
        build(_factory(make), 2)


def test_a_factory_that_misses_an_event_loop_says_so() -> None:
    def make() -> None:
        raise RuntimeError("no running event loop")

    with pytest.raises(NeedsLoopError, match=r"^no running event loop$"):
        build(_factory(make), 2)
