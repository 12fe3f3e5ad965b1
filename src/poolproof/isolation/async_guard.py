"""The guard on event loops: looks before a test's loop is closed, while what was left on it can still be seen.

pytest-asyncio, anyio and unittest each cancel what a test left and close the loop, and nobody hears of it. Inside
of Hypothesis, whose examples share one loop, it looks after each example.
"""

import importlib
import inspect
import logging
import re
import sys
import time
import warnings
from collections.abc import Callable, Generator
from contextlib import suppress
from dataclasses import replace
from functools import partial, wraps
from typing import Any, Final

import pytest

from poolproof.isolation.attribution import Charge
from poolproof.isolation.blame import shortened
from poolproof.isolation.guard import Guard
from poolproof.isolation.resources.asynchronous import Asynchronous, raised
from poolproof.isolation.resources.base import Finding, living

TURNS: Final = 20
MOST_CANCELS: Final = 3
JOB_SECONDS: Final = 0.05

_RUNNER_FIXTURE: Final = re.compile(r"_\w+_scoped_runner")
_NEVER_AWAITED: Final = re.compile(r"coroutine '.*' was never awaited")
_NAME: Final = re.compile(r"name='([^']*)'")
_ACCUSED_NAME: Final = re.compile(r"task '([^']*)'")
_ORIGIN: Final = re.compile(r'File "(.+)", line (\d+), in (\S+)')
_SAID: Final = {
    "Task exception was never retrieved": "task-exception",
    "Future exception was never retrieved": "task-exception",
    "Task was destroyed but it is pending!": "task",
}


class AsyncGuard:
    """The hooks by which loops become known, and are looked at in time."""

    def __init__(self, guard: Guard, resource: Asynchronous) -> None:
        self._guard = guard
        self._resource = resource
        self._listener = _Listener(self._heard)
        self._depth = sys.get_coroutine_origin_tracking_depth()
        self._patches: list[Callable[[], None]] = []
        self._patched: set[Any] = set()
        self._warned: list[Any] = []
        self._warned_before = 0
        self._known: set[str] = set()

    def pytest_sessionstart(self) -> None:
        """Listen to what asyncio logs, and let coroutines know where they were made."""
        logging.getLogger("asyncio").addFilter(self._listener)
        sys.set_coroutine_origin_tracking_depth(max(self._depth, 1))

    def pytest_unconfigure(self) -> None:
        """Listen no longer."""
        logging.getLogger("asyncio").removeFilter(self._listener)
        sys.set_coroutine_origin_tracking_depth(self._depth)
        while self._patches:
            self._patches.pop()()

    def _patch(self, cls: Any, method: str, loop_of: Callable[[Any], Any]) -> None:
        """Look at a loop before the method that closes it."""
        original = cls.__dict__[method]
        if cls in self._patched:
            return
        self._patched.add(cls)

        @wraps(original)
        def closing(owner: Any, *args: Any) -> Any:
            with suppress(Exception):
                self.closing(loop_of(owner))
            return original(owner, *args)

        setattr(cls, method, closing)
        self._patches.append(lambda: setattr(cls, method, original))

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> Generator[None, None, None]:
        """Note which warnings there are already; look after anyio's runner if the test uses it."""
        self._warned = _recorded_warnings()
        self._warned_before = len(self._warned)
        if "asyncio" in sys.modules:
            self._patch_runners(item)
        return (yield)

    def _patch_runners(self, item: pytest.Item) -> None:
        unittest: Any = sys.modules.get("unittest.async_case")
        if unittest:
            self._patch(unittest.IsolatedAsyncioTestCase, "_tearDownAsyncioRunner", _loop_of_case)
        if item.get_closest_marker("anyio"):
            with suppress(ImportError, AttributeError):
                anyio: Any = importlib.import_module("anyio._backends._asyncio")
                self._patch(anyio.TestRunner, "__exit__", lambda runner: runner.get_loop())

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(
        self, fixturedef: pytest.FixtureDef[Any]
    ) -> Generator[None, object, object]:
        """Look at the loop of one of pytest-asyncio's runners after all that uses it, and before its end."""
        runner: Any = yield
        if _RUNNER_FIXTURE.fullmatch(fixturedef.argname) and hasattr(runner, "get_loop"):
            loop = runner.get_loop()
            self._resource.loops.add(loop)
            fixturedef.addfinalizer(partial(self.closing, loop))
        return runner

    def closing(self, loop: Any) -> None:
        """Charge to the running test what is left on a loop that is about to be closed."""
        guard = self._guard
        if not guard.ledger.running or loop.is_closed():
            return
        self._resource.loops.add(loop)
        with guard.looking():
            left = self._settled(self._suspects, loop)
            guard.convict(guard.owner, [self._ended(charge) for charge in left])

    def _suspects(self) -> list[Charge]:
        return self._guard.suspects(self._resource)

    def _settled(self, suspects: Callable[[], list[Charge]], loop: Any) -> list[Charge]:
        """Return what is left when the loop has had some turns, and a job that is ending a moment."""
        charges = suspects()
        if charges:
            turn(loop)
            charges = suspects()
        pause, deadline = 0.001, time.monotonic() + JOB_SECONDS
        while _only_jobs(charges) and time.monotonic() < deadline:
            time.sleep(pause)
            pause *= 2
            charges = suspects()
        return charges

    def _ended(self, charge: Charge) -> Charge:
        """Cancel a task if the policy says so; one that bears it is taken off its loop, whose end would wait for it."""
        finding = charge.finding
        if name := _ACCUSED_NAME.match(finding.what):
            self._known.add(name[1])
        if finding.resource != "task" or not self._guard.undoes(finding):
            return charge
        task: Any = charge.entry.change.key
        if cancelled(task):
            return charge
        _forget(task)
        stubborn = f"{finding.what}, and bears {MOST_CANCELS} cancellations"
        return Charge(charge.entry, replace(finding, what=stubborn))

    @pytest.hookimpl(wrapper=True)
    def pytest_pyfunc_call(self, pyfuncitem: pytest.Function) -> Generator[None, object, object]:
        """Look after each example of Hypothesis: they share a loop, and what one leaves meets the next."""
        handle: Any = getattr(pyfuncitem.obj, "hypothesis", None)
        inner = getattr(handle, "inner_test", None)
        if inner is None or inspect.iscoroutinefunction(inner):
            return (yield)
        handle.inner_test = self._watched(inner)
        try:
            return (yield)
        finally:
            handle.inner_test = inner

    def _watched(self, inner: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(inner)
        def example(*args: Any, **kwargs: Any) -> Any:
            before = self._resource.look()
            try:
                return inner(*args, **kwargs)
            finally:
                if before != self._resource.look():
                    self._after_example(before)

        return example

    def _after_example(self, before: Any) -> None:
        with self._guard.looking():
            self.nudge()
            for charge in self._guard.ledger.charges(self._resource, before):
                self._guard.accuse(self._ended(charge).finding)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Charge coroutines that were never awaited: those that pytest was warned of, and no test asked for."""
        report = yield
        if call.when == "teardown" and self._guard.ledger.running:
            with self._guard.looking():
                for finding in map(_never_awaited, self._warned[self._warned_before :]):
                    if finding is not None:
                        self._guard.accuse(finding)
            self._warned = []
        return report

    def nudge(self) -> None:
        """Give the loops of wider scopes some turns."""
        for loop in living(self._resource.loops):
            turn(loop)

    def _heard(self, record: logging.LogRecord) -> None:
        """Charge what asyncio says of a task that is gone, unless it was charged while it was there."""
        message = record.getMessage()
        kind = _SAID.get(message.partition("\n")[0])
        name = _NAME.search(message)
        if kind is None or not self._guard.ledger.running or (name and name[1] in self._known):
            return
        traceback = record.exc_info[2] if record.exc_info else None
        what = " ".join(message.split())
        self._guard.accuse(Finding(resource=kind, what=what[:200], where=raised(traceback)))


class _Listener:
    """A filter of the logger `asyncio` that lets everything pass."""

    def __init__(self, heard: Callable[[logging.LogRecord], None]) -> None:
        self._heard = heard

    def filter(self, record: logging.LogRecord) -> bool:
        with suppress(Exception):
            self._heard(record)
        return True


def _loop_of_case(case: Any) -> Any:
    return case._asyncioRunner.get_loop()  # noqa: SLF001 (unittest has no other way)


def _recorded_warnings() -> list[Any]:
    """Return the list into which pytest records the warnings of the running test; a test's own is another."""
    show = getattr(warnings, "_showwarnmsg_impl", None)
    recorded: list[Any] = getattr(show, "__self__", [])
    return recorded if hasattr(recorded, "append") else []


def _never_awaited(warning: Any) -> Finding | None:
    text = str(warning.message)
    if not issubclass(warning.category, RuntimeWarning) or not _NEVER_AWAITED.match(text):
        return None
    place = f"{shortened(warning.filename)}:{warning.lineno}"
    if origin := _ORIGIN.search(text):
        place = f"{shortened(origin[1])}:{origin[2]} in {origin[3]}"
    what = text.strip().partition("\n")[0]
    return Finding(resource="coroutine", what=what, where=f"created at {place}")


def _only_jobs(charges: list[Charge]) -> bool:
    return any(charge.finding.resource == "executor-job" for charge in charges)


def turn(loop: Any) -> None:
    """Let what is ready on a loop run; no time passes for it."""
    if loop.is_closed() or loop.is_running():
        return
    with suppress(RuntimeError):
        loop.run_until_complete(_turns())


async def _turns() -> None:
    for _ in range(TURNS):
        await _Turn()


class _Turn:
    """What `asyncio.sleep(0)` awaits, without the import: most suites have no loop."""

    def __await__(self) -> Generator[None, None, None]:
        yield


def cancelled(task: Any) -> bool:
    """Cancel a task, some times over; return whether it has ended."""
    loop = task.get_loop()
    if loop.is_closed() or loop.is_running():
        return True
    for _ in range(MOST_CANCELS):
        if task.done():
            break
        task.cancel()
        turn(loop)
    return bool(task.done())


def _forget(task: Any) -> None:
    task._log_destroy_pending = False  # noqa: SLF001 (it is reported already)
    unregister = getattr(sys.modules["asyncio.tasks"], "_unregister_task", None)
    if unregister is not None:
        unregister(task)
