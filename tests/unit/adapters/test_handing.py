"""How a job is handed to a method, told from its signature alone."""

import functools
from collections.abc import Awaitable, Callable
from typing import Any, cast

import pytest

from poolproof.adapters.base import TargetProblem
from poolproof.adapters.handing import handing

pytestmark = pytest.mark.unit

NEEDS = (
    "expected submit(function, *args), got one that also needs '{}'; "
    "return an adapter from the factory that gives it"
)

Seen = tuple[tuple[Any, ...], dict[str, Any]]


def _handed(method: Callable[..., Seen], *args: Any, function: Any = abs) -> Seen:
    return cast("Seen", handing(method, "submit").call(method, function, args))


def test_arguments_are_spread_where_the_method_takes_them_spread() -> None:
    def submit(fn: Any, /, *args: Any, **kwargs: Any) -> Seen:
        return (fn, *args), kwargs

    assert _handed(submit, 1, 2) == ((abs, 1, 2), {})


def test_arguments_are_packed_where_the_method_takes_them_as_one() -> None:
    def apply(func: Any, args: Any = (), kwds: Any = None, callback: Any = None) -> Seen:
        return (func, args, kwds, callback), {}

    assert _handed(apply, 1, 2) == ((abs, (1, 2), None, None), {})


def test_a_time_limit_before_the_arguments_is_none() -> None:
    def submit(function: Any, timeout: Any, /, *args: Any) -> Seen:
        return (function, timeout, *args), {}

    assert _handed(submit, 1) == ((abs, None, 1), {})


def test_a_default_before_the_arguments_stays() -> None:
    def submit(function: Any, priority: int = 5, *args: Any) -> Seen:
        return (function, priority, *args), {}

    assert _handed(submit, 1) == ((abs, 5, 1), {})


def test_a_time_limit_that_is_a_keyword_is_none() -> None:
    def submit(function: Any, *args: Any, timeout: Any) -> Seen:
        return (function, *args), {"timeout": timeout}

    assert _handed(submit, 1) == ((abs, 1), {"timeout": None})


def test_a_method_of_one_parameter_gets_a_job_with_its_arguments_bound() -> None:
    def submit(request: Any, retries: int = 3) -> Seen:
        return (request,), {"retries": retries}

    (job,), named = _handed(submit, -7)

    assert isinstance(job, functools.partial)
    assert (job(), named) == (7, {"retries": 3})


def test_a_payload_without_arguments_is_handed_over_as_it_is() -> None:
    def submit(request: Any) -> Seen:
        return (request,), {}

    assert _handed(submit, function={"op": "echo"}) == (({"op": "echo"},), {})


def test_a_coroutine_is_made_where_the_method_takes_one() -> None:
    def spawn(coro: Any, *, name: str | None = None) -> Seen:
        return (coro, name), {}

    assert _handed(spawn, -3) == ((3, None), {})
    assert handing(spawn, "spawn").job_style == "coroutine"


def test_a_method_without_a_signature_is_taken_to_spread() -> None:
    assert handing(dict, "submit").way == "spread"


def test_more_keywords_pass() -> None:
    def apply_async(func: Any, args: Any, callback: Any = None) -> Seen:
        return (func, args), {"callback": callback}

    way = handing(apply_async, "apply_async")

    assert way.call(apply_async, abs, (1,), callback=print) == ((abs, (1,)), {"callback": print})


def test_an_annotation_of_an_awaitable_tells_the_style() -> None:
    def typed(func: Callable[..., Awaitable[int]], args: Any = ()) -> Seen:
        return (func, args), {}

    def as_text(func: "Callable[..., Coroutine[Any, Any, int]]", *args: Any) -> Seen:  # type: ignore[name-defined]  # noqa: F821
        return (func, args), {}

    def silent(func: Callable[..., int], *args: Any) -> Seen:
        return (func, args), {}

    styles = [handing(one, "submit").job_style for one in (typed, as_text, silent)]
    assert styles == ["coroutine", "coroutine", "unknown"]


@pytest.mark.parametrize(
    ("method", "message"),
    [
        (lambda: None, "expected submit(function, *args), got submit() that takes no job"),
        (
            lambda function, queue, *args: None,  # noqa: ARG005
            NEEDS.format("queue"),
        ),
        (
            lambda function, *, tenant: None,  # noqa: ARG005
            NEEDS.format("tenant"),
        ),
        (
            lambda function, args, queue: None,  # noqa: ARG005
            NEEDS.format("queue"),
        ),
    ],
)
def test_a_method_that_needs_more_is_refused(method: Callable[..., Any], message: str) -> None:
    with pytest.raises(TargetProblem) as raised:
        handing(method, "submit")

    assert str(raised.value) == message
