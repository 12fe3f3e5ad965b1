"""What every adapter must keep, as cases that anybody can run on an adapter or a pool of their own.

With pytest:

    @pytest.mark.parametrize("case", conformance_cases(), ids=lambda case: case.name)
    def test_my_adapter_conforms(case):
        case.check(lambda: MyAdapter(MyPool(2)))

or, for a pool as it is found by its name, `case.check_target("mypackage.pools:make")`.
The cases call no test framework: a case that fails raises AssertionError. POSIX only (named pipes).
"""

import asyncio
import os
import tempfile
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from poolproof.adapters.base import Adapter

LIMIT_SECONDS: Final = 20.0
"""How long one blocking call may take; all of them normally take milliseconds."""

OFFERS: Final = frozenset({"cancel", "callback", "workers", "loop"})


def add(left: int, right: int) -> int:
    """Job: return the sum."""
    return left + right


def pair(*arguments: object) -> list[object]:
    """Job: return its arguments, in their order."""
    return list(arguments)


def explode(text: str) -> None:
    """Job: raise ValueError with that text."""
    raise ValueError(text)


def pass_gate(path: str) -> str:
    """Job: block until somebody opens the named pipe for writing and closes it."""
    Path(path).read_bytes()
    return "through"


async def add_coroutine(left: int, right: int) -> int:
    """Job: as `add`."""
    return add(left, right)


async def pair_coroutine(*arguments: object) -> list[object]:
    """Job: as `pair`."""
    return pair(*arguments)


async def explode_coroutine(text: str) -> None:
    """Job: as `explode`."""
    explode(text)


async def pass_gate_coroutine(path: str) -> str:
    """Job: as `pass_gate`, without blocking the loop that it runs on."""
    return await asyncio.to_thread(pass_gate, path)


@dataclass(frozen=True, slots=True, kw_only=True)
class Jobs:
    """The jobs of a case, in the style that the pool takes."""

    add: Callable[..., Any]
    pair: Callable[..., Any]
    explode: Callable[..., Any]
    pass_gate: Callable[..., Any]


PLAIN: Final = Jobs(add=add, pair=pair, explode=explode, pass_gate=pass_gate)
COROUTINE: Final = Jobs(
    add=add_coroutine, pair=pair_coroutine, explode=explode_coroutine, pass_gate=pass_gate_coroutine
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One claim about an adapter.

    Attributes:
        name: as in a test's id.
        claim: what is checked, in one sentence.
        body: checks it on a started adapter; raises AssertionError.
    """

    name: str
    claim: str
    body: Callable[[Adapter, Jobs], None]

    def check(self, make: Callable[[], Adapter]) -> None:
        """Check the claim on the adapter that `make` makes; call it in the main thread."""
        adapter = make()
        adapter.run_main(lambda: self._run(adapter))

    def check_target(self, name: str, workers: int = 2, *, adapter: str | None = None) -> None:
        """Check the claim on the pool of a target, by its name as on the command line."""
        from poolproof.agent.target import host, resolve  # noqa: PLC0415 - it imports all adapters

        host(resolve(name), workers, lambda adapted, _pool: self._run(adapted), adapter=adapter)

    def _run(self, adapter: Adapter) -> None:
        adapter.start()
        try:
            self.body(adapter, _jobs_for(adapter))
        finally:
            within(adapter.stop, "stop()")


_cases: Final[list[Case]] = []


def conformance_cases() -> tuple[Case, ...]:
    """Return all cases."""
    return tuple(_cases)


def _case(body: Callable[[Adapter, Jobs], None]) -> Callable[[Adapter, Jobs], None]:
    claim = (body.__doc__ or "").strip()
    _cases.append(Case(name=body.__name__.strip("_"), claim=claim, body=body))
    return body


def within(call: Callable[[], Any], what: str) -> Any:
    """Return what `call` returns, or raise what it raises.

    Args:
        call: what may block.
        what: its name, for the message.

    Raises:
        AssertionError: it took longer than `LIMIT_SECONDS`.
    """
    outcome: list[tuple[Literal["returned", "raised"], Any]] = []

    def follow() -> None:
        try:
            outcome.append(("returned", call()))
        except BaseException as error:  # noqa: BLE001 - raised again by the caller
            outcome.append(("raised", error))

    thread = threading.Thread(target=follow, name=f"conformance {what}", daemon=True)
    thread.start()
    thread.join(LIMIT_SECONDS)
    assert outcome, f"expected {what} to end within {LIMIT_SECONDS} s, got no end"
    kind, value = outcome[0]
    if kind == "raised":
        raise value
    return value


def _jobs_for(adapter: Adapter) -> Jobs:
    """Return jobs in the pool's style; where it is unknown, find out with a plain one."""
    styles = ("plain", "coroutine", "unknown")
    assert adapter.job_style in styles, f"expected one of {styles}, got {adapter.job_style!r}"
    if adapter.job_style == "unknown":
        try:
            answered = _ask(adapter, add, 1, 2)
        except TypeError:
            return COROUTINE
        return PLAIN if answered == add(1, 2) else COROUTINE
    return COROUTINE if adapter.job_style == "coroutine" else PLAIN


def _ask(adapter: Adapter, function: Callable[..., Any], *args: Any) -> Any:
    handle = adapter.submit(function, *args)
    return within(lambda: adapter.wait(handle), "wait()")


def _error_of(call: Callable[[], Any]) -> BaseException:
    try:
        answered = within(call, "wait()")
    except AssertionError:
        raise
    except BaseException as error:  # noqa: BLE001 - whatever it is, it is the answer
        return error
    raise AssertionError(f"expected an error, got the result {answered!r}")


def _expect(got: object, expected: object) -> None:
    assert got == expected, f"expected {expected!r}, got {got!r}"


@contextmanager
def _gate() -> Generator[str]:
    """Make a named pipe, and in the end let through whatever is still stuck there."""
    with tempfile.TemporaryDirectory() as directory:
        path = str(Path(directory, "gate"))
        os.mkfifo(path)
        try:
            yield path
        finally:
            _let_through(path)


def _let_through(path: str) -> None:
    # Whoever comes later finds no pipe; whoever is there reads its end.
    writer = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    Path(path).unlink()
    os.close(writer)


def _open_gate(path: str) -> None:
    os.close(os.open(path, os.O_WRONLY | os.O_CLOEXEC))


def _expect_not_offered(call: Callable[[], Any], what: str) -> None:
    try:
        call()
    except NotImplementedError:
        return
    raise AssertionError(f"expected NotImplementedError for {what!r}, which is not in offers")


@_case
def _returns_the_result(adapter: Adapter, jobs: Jobs) -> None:
    """`wait` returns what the job returned."""
    _expect(_ask(adapter, jobs.add, 20, 3), 23)


@_case
def _keeps_arguments_in_order(adapter: Adapter, jobs: Jobs) -> None:
    """The job gets its arguments, each as it was, in their order; or none."""
    _expect(_ask(adapter, jobs.pair, "a", (2,), None), ["a", (2,), None])
    _expect(_ask(adapter, jobs.pair), [])


@_case
def _keeps_jobs_apart(adapter: Adapter, jobs: Jobs) -> None:
    """Each of many handles answers for its own job, in whatever order they are asked."""
    handles = [adapter.submit(jobs.add, 100, number) for number in range(20)]

    def ask_all() -> list[Any]:
        return [adapter.wait(handle) for handle in reversed(handles)]

    _expect(within(ask_all, "wait()"), [100 + number for number in reversed(range(20))])


@_case
def _raises_the_error(adapter: Adapter, jobs: Jobs) -> None:
    """`wait` raises when the job raised, and the error speaks of what was raised."""
    handle = adapter.submit(jobs.explode, "a cracked jug")
    error = _error_of(lambda: adapter.wait(handle))
    assert "a cracked jug" in str(error), f"expected its text in the error, got {error!r}"


@_case
def _answers_twice_alike(adapter: Adapter, jobs: Jobs) -> None:
    """A second `wait` for the same handle gives the same result, or an error of the same type."""
    good, bad = adapter.submit(jobs.add, 1, 1), adapter.submit(jobs.explode, "again")
    _expect([within(lambda: adapter.wait(good), "wait()") for _ in range(2)], [2, 2])
    kinds = [type(_error_of(lambda: adapter.wait(bad))) for _ in range(2)]
    _expect(kinds[1], kinds[0])


@_case
def _submits_without_waiting(adapter: Adapter, jobs: Jobs) -> None:
    """`submit` returns while its job is still running."""
    with _gate() as gate:
        handle = within(lambda: adapter.submit(jobs.pass_gate, gate), "submit()")
        within(lambda: _open_gate(gate), "the job's start")
        _expect(within(lambda: adapter.wait(handle), "wait()"), "through")


@_case
def _answers_all_who_wait(adapter: Adapter, jobs: Jobs) -> None:
    """Two threads that wait for one running job both get its result."""
    with _gate() as gate:
        handle = adapter.submit(jobs.pass_gate, gate)
        answers: list[Any] = []
        waiting = [
            threading.Thread(target=lambda: answers.append(adapter.wait(handle)), daemon=True)
            for _ in range(2)
        ]
        for thread in waiting:
            thread.start()
        within(lambda: _open_gate(gate), "the job's start")
        for thread in waiting:
            thread.join(LIMIT_SECONDS)
        _expect(answers, ["through", "through"])


@_case
def _serves_other_threads(adapter: Adapter, jobs: Jobs) -> None:
    """`submit` and `wait` work in a thread that did not start the pool."""
    _expect(within(lambda: adapter.wait(adapter.submit(jobs.add, 4, 5)), "submit()"), 9)


@_case
def _stops_unused(_adapter: Adapter, _jobs: Jobs) -> None:
    """`stop` ends for a pool that has been started and nothing else."""


@_case
def _offers_what_it_says(adapter: Adapter, _jobs: Jobs) -> None:
    """`offers` holds known words only, and the adapter has a name."""
    assert adapter.offers <= OFFERS, f"expected some of {OFFERS}, got {adapter.offers}"
    assert adapter.name, "expected a name, got none"


@_case
def _cancels_nothing_that_is_over(adapter: Adapter, jobs: Jobs) -> None:
    """A job that is over is not cancelled any more; without the offer, `cancel` says so."""
    handle = adapter.submit(jobs.add, 2, 2)
    _expect(within(lambda: adapter.wait(handle), "wait()"), 4)
    if "cancel" not in adapter.offers:
        _expect_not_offered(lambda: adapter.cancel(handle), "cancel")
        return
    _expect(within(lambda: adapter.cancel(handle), "cancel()"), expected=False)
    _expect(within(lambda: adapter.wait(handle), "wait()"), 4)


@_case
def _calls_back_once(adapter: Adapter, jobs: Jobs) -> None:
    """The callback is called once for a result and once for an error; or it is not offered."""
    if "callback" not in adapter.offers:
        _expect_not_offered(lambda: adapter.submit_with_callback(print, jobs.add, 1, 1), "callback")
        return
    for function, args in ((jobs.add, (1, 1)), (jobs.explode, ("called back",))):
        called, calls = threading.Event(), list[object]()

        def callback(answer: object, called: threading.Event = called, /) -> None:
            calls.append(answer)  # noqa: B023 - it is called within this turn
            called.set()

        adapter.submit_with_callback(callback, function, *args)
        assert called.wait(LIMIT_SECONDS), "expected the callback to be called, got no call"
        # What comes later would have come before this answer.
        _expect(_ask(adapter, jobs.add, 1, 1), 2)
        _expect(len(calls), 1)


@_case
def _names_live_workers(adapter: Adapter, jobs: Jobs) -> None:
    """The workers that it names, if it names any, are live processes."""
    _expect(_ask(adapter, jobs.add, 1, 2), 3)
    workers = adapter.workers()
    assert (workers is not None) == ("workers" in adapter.offers), f"expected as offered: {workers}"
    for pid in workers or ():
        os.kill(pid, 0)


@_case
def _serves_after_an_error(adapter: Adapter, jobs: Jobs) -> None:
    """A job that raised does not keep the next one from being served."""
    handle = adapter.submit(jobs.explode, "unheard")
    _error_of(lambda: adapter.wait(handle))
    _expect(_ask(adapter, jobs.add, 6, 1), 7)
