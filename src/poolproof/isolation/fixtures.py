"""The fixtures of the sandbox, and what they cost, told in each test's properties.

Every suite that has poolproof installed loads this: standard library and pytest only; the rest is imported when used.
"""

import functools
import inspect
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

import pytest

if TYPE_CHECKING:
    from poolproof.isolation.cleaning import Cleaned
    from poolproof.isolation.isolated_test import IsolatedTest
    from poolproof.isolation.leases import Lease
    from poolproof.isolation.sandbox import Sandbox
    from poolproof.sync import EventCoordinator

SANDBOX: Final = "poolproof_sandbox"

_attempts = pytest.StashKey[int]()
_costs = pytest.StashKey["Costs"]()


class Costs:
    """What a test's sandbox costs, in milliseconds, and the layer that it runs on."""

    def __init__(self, layer: str) -> None:
        self.layer = layer
        self.setup_ms = 0.0
        self.cleanup_ms = 0.0

    @contextmanager
    def setup(self) -> Generator[None]:
        """Count what is done meanwhile as set-up."""
        began = time.perf_counter_ns()
        try:
            yield
        finally:
            self.setup_ms += (time.perf_counter_ns() - began) / 1e6

    @contextmanager
    def cleanup(self) -> Generator[None]:
        """Count what is done meanwhile as clean-up."""
        began = time.perf_counter_ns()
        try:
            yield
        finally:
            self.cleanup_ms += (time.perf_counter_ns() - began) / 1e6


@pytest.fixture(scope="session")
def isolation_lease() -> "Generator[Lease]":
    """This process's lease, taken when the first test needs a sandbox: what it names is cleared if the process dies."""
    from poolproof.isolation import places  # noqa: PLC0415 - late, see above

    import_module("poolproof.isolation.sandbox")  # here, so that it is no test's cost
    yield places.process_lease()
    places.release_process_lease()


@pytest.fixture
def isolation(request: pytest.FixtureRequest, isolation_lease: "Lease") -> "Generator[Sandbox]":
    """A sandbox: names and places that no other test has, and the end of whatever the test hands over to it."""
    from poolproof.isolation.cleaning import CleanupError  # noqa: PLC0415 - late, see above

    node = request.node
    costs = node.stash[_costs] = Costs(_layer(node))
    with costs.setup():
        sandbox = _begin(node, isolation_lease, request.config.getini("poolproof_redirect"))
        let_go = _end_in_the_loop(node, sandbox, costs)
    yield sandbox
    let_go()
    with costs.cleanup():
        cleaned = sandbox.cleanup()
    _tell(node, cleaned, costs, sandbox.early)
    if not cleaned.complete:
        raise CleanupError(cleaned)


def _begin(node: pytest.Item, lease: "Lease", redirect: list[str]) -> "Sandbox":
    from poolproof.isolation.names import Namespace  # noqa: PLC0415 - late, see above
    from poolproof.isolation.sandbox import Sandbox  # noqa: PLC0415 - as above

    attempt = node.stash[_attempts] = node.stash.get(_attempts, 0) + 1
    sandbox = Sandbox(Namespace(lease.run, node.nodeid, attempt), lease)
    if redirect:
        sandbox.redirect(*redirect)
    return sandbox


def _layer(node: pytest.Item) -> str:
    return next((str(value) for name, value in node.user_properties if name == "layer"), "mock")


def _end_in_the_loop(node: Any, sandbox: "Sandbox", costs: Costs) -> Callable[[], None]:
    """Have an asynchronous test end its tasks and services when its body is over, while its loop still runs.

    That is done around the test's function, so that it does not matter which plugin runs it. Return the undoing.
    """
    holder, name = node, "obj"
    if hypothesis := getattr(getattr(node, "obj", None), "hypothesis", None):
        holder, name = hypothesis, "inner_test"  # then for each example
    function = getattr(holder, name, None)
    if not inspect.iscoroutinefunction(function):
        return lambda: None

    @functools.wraps(function)
    async def body(*args: Any, **kwargs: Any) -> Any:
        try:
            return await function(*args, **kwargs)
        finally:
            with costs.cleanup():
                await sandbox.aclose()

    setattr(holder, name, body)
    return lambda: setattr(holder, name, function)


def _tell(node: pytest.Item, cleaned: "Cleaned", costs: Costs, early: list[str]) -> None:
    lines = [*(f"an earlier attempt had left {what}" for what in early), *cleaned.lines()]
    node.user_properties[:] = [entry for entry in node.user_properties if entry[0] != SANDBOX]
    told = {
        "layer": costs.layer,
        "setup_ms": round(costs.setup_ms, 4),
        "cleanup_ms": round(costs.cleanup_ms, 4),
        "released": len(cleaned.released) + len(cleaned.errors),
        "verified": sum(one.verified for one in cleaned.released),
        "found": lines,
    }
    node.user_properties.append((SANDBOX, told))
    if lines:
        node.add_report_section("teardown", "poolproof sandbox", "\n".join(lines))
    _accuse(node, cleaned)


def _accuse(node: pytest.Item, cleaned: "Cleaned") -> None:
    """Tell the guard what it cannot see any more, because the sandbox has ended it."""
    leaks = [one for one in cleaned.released if one.leak]
    guard: Any = node.config.pluginmanager.getplugin("poolproof-guard")
    if leaks and guard:
        from poolproof.isolation.resources.base import Finding  # noqa: PLC0415 - late, see above

        for one in leaks:
            guard.accuse(Finding(resource=one.leak, what=one.what))


@pytest.fixture
def async_isolation(request: pytest.FixtureRequest, isolation: "Sandbox") -> "Sandbox":
    """The same sandbox as `isolation`, for a test that is asynchronous: tasks and services are ended in its loop."""
    function = getattr(request.node, "obj", None)
    inner = getattr(getattr(function, "hypothesis", None), "inner_test", function)
    if not inspect.iscoroutinefunction(inner):
        from poolproof.errors import UsageError  # noqa: PLC0415 - late, see above

        raise UsageError(
            f"expected an async test for async_isolation, got {request.node.nodeid};"
            " make it `async def`, or take `isolation`"
        )
    return isolation


@pytest.fixture
def async_isolation_context(
    request: pytest.FixtureRequest, isolation_lease: "Lease"
) -> Callable[[str], Any]:
    """Return what opens a sandbox for a block of this test.

    ```python
    async with async_isolation_context("import") as isolation:
        ...
    ```
    """
    from poolproof.isolation import sandbox  # noqa: PLC0415 - late, see above

    assert isolation_lease.run
    node_id = request.node.nodeid
    return lambda name: sandbox.async_isolation_context(f"{node_id}[{name}]")


@pytest.fixture
def isolated_test(request: pytest.FixtureRequest, isolation: "Sandbox") -> "IsolatedTest":
    """A sandbox into which supervisors, pools and stacks of this test alone are entered, and their cost."""
    from poolproof.isolation.isolated_test import IsolatedTest  # noqa: PLC0415 - late, see above

    return IsolatedTest(isolation, request.node.stash[_costs])


@pytest.fixture
def mock_service_factory(isolation: "Sandbox") -> Callable[..., Any]:
    """`mock_service_factory("name", spec=None, **answers)`: this test's mock of a service."""
    return isolation.mock_service


@pytest.fixture
def event_coordinator() -> "EventCoordinator":
    """Barriers and events of this test alone.

    A wait that runs out of time is logged with who signalled and who waited, and pytest shows that if the test fails.
    """
    from poolproof.sync import EventCoordinator  # noqa: PLC0415 - late, see above

    return EventCoordinator()


def isolated(service: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Return a fixture that makes a service for each test alone, and ends it after the test.

    ```python
    isolated_mailer = isolated(Mailer, "localhost")
    ```
    """

    @pytest.fixture
    def fixture(isolation: "Sandbox") -> Any:
        return isolation.isolated(service, *args, **kwargs)

    return fixture


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(fixturedef: pytest.FixtureDef[Any]) -> Generator[None, Any, Any]:
    """Spare what a fixture of a wider scope starts while a sandbox is open: it is to outlive the test."""
    sandboxes = sys.modules.get("poolproof.isolation.sandbox")
    if fixturedef.scope == "function" or sandboxes is None or not sandboxes.open_sandboxes():
        return (yield)
    from poolproof.isolation import processes  # noqa: PLC0415 - late, see above

    before = processes.below()
    try:
        return (yield)
    finally:
        for sandbox in sandboxes.open_sandboxes():
            sandbox.spare(processes.below() - before)
