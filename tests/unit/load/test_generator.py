"""The generator, in this process: all that is planned is sent, once, and the pool's answers are looked at."""

import asyncio
import threading
from array import array
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from time import monotonic_ns as clock
from typing import Any, Self

import pytest

from poolproof.adapters.asyncio import AsyncioPool
from poolproof.adapters.executor import ExecutorPool
from poolproof.agent import journal
from poolproof.agent.generator import (
    BLOCKED,
    DROPPED,
    OK,
    Asked,
    ClosedInThread,
    ClosedOnLoop,
    Generator,
    LoopCaller,
    OpenInThread,
    OpenOnLoop,
    Rows,
    ThreadCaller,
    Work,
    overhead_ns,
)
from poolproof.agent.operations import burn

pytestmark = pytest.mark.unit


@pytest.fixture(autouse=True)
def _no_journal(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no trial whose journal could be told of errors."""
    monkeypatch.setattr(journal, "write", lambda _kind, **_fields: None)


def work(function: Any = None, expected: Any = 7, sessions: Any = ()) -> Work:
    asked = Asked(function or (lambda: 7), (), expected, lambda a, b: a == b)
    return Work([[asked]], [0], sessions)


class LoopPool:
    """A pool on the loop; `answer` says what each job comes to."""

    def __init__(self, answer: Callable[[], Any] = lambda: 7) -> None:
        self.answer, self.sessions = answer, list[Any]()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None: ...

    async def submit(self, _function: Any, *, session: str | None = None) -> Any:
        self.sessions.append(session)
        return self.answer()


def rows_in(path: Path) -> list[tuple[int, ...]]:
    flat = array("q", path.read_bytes())
    return [tuple(flat[at : at + 4]) for at in range(0, len(flat), 4)]


def on_loop(
    path: Path,
    pool: Any,
    make: Callable[[Rows, Any], Any],
    start: Callable[[Any], None],
    **more: Any,
) -> tuple[Any, list[tuple[int, ...]]]:
    async def main() -> Any:
        over = asyncio.get_running_loop().create_future()
        generator = make(Rows(str(path)), over.set_result)
        jobs = more.get("jobs") or work()
        generator.caller = LoopCaller(AsyncioPool(pool), jobs, generator.rows, generator.ended)
        generator.caller.most_open = more.get("most", 1_000)
        start(generator)
        return await asyncio.wait_for(over, 20)

    return asyncio.run(main()), rows_in(path)


def opened(rows: Rows, over: Callable[[Generator], None]) -> OpenOnLoop:
    return OpenOnLoop(rows, 1.0, over)


TIMES = array("q", [n * 100_000 for n in range(200)])


def at_once(generator: Any) -> None:
    generator.start(TIMES, clock())


def test_every_arrival_is_sent_once_and_none_before_it_is_due(tmp_path: Path) -> None:
    began = clock()
    generator, rows = on_loop(tmp_path / "rows", LoopPool(), opened, at_once)
    answers = [row for row in rows if row[3] == OK]

    assert sorted(row[0] for row in answers) == list(range(200))
    assert all(sent >= began + TIMES[number] and done >= sent for number, sent, done, _ in answers)
    assert (generator.sent, generator.dropped, generator.open) == (200, 0, 0)


def test_a_wrong_answer_an_error_and_a_refusal_are_no_answers(tmp_path: Path) -> None:
    def raises() -> Any:
        raise LookupError

    for number, pool in enumerate((LoopPool(lambda: 8), LoopPool(raises))):
        _, rows = on_loop(tmp_path / f"rows{number}", pool, opened, at_once)
        assert {row[3] for row in rows if row[3] > BLOCKED} == {1}
        assert len(rows) >= 200


def test_what_is_open_is_bounded_and_the_rest_is_dropped_and_counted(tmp_path: Path) -> None:
    class Stuck(LoopPool):
        async def submit(self, _function: Any, *, session: str | None = None) -> Any:  # noqa: ARG002
            await asyncio.Event().wait()

    def make(rows: Rows, over: Callable[[Generator], None]) -> OpenOnLoop:
        return OpenOnLoop(rows, 0.01, over)

    generator, rows = on_loop(tmp_path / "rows", Stuck(), make, at_once, most=5)

    assert generator.dropped == sum(row[3] == DROPPED for row in rows) == 195
    assert generator.sent - generator.dropped == 5


def test_a_closed_loop_has_as_many_open_as_it_has_clients(tmp_path: Path) -> None:
    class Counting(LoopPool):
        open = most = 0

        async def submit(self, _function: Any, *, session: str | None = None) -> Any:  # noqa: ARG002
            self.open += 1
            self.most = max(self.most, self.open)
            await asyncio.sleep(0)
            self.open -= 1
            return 7

    pool = Counting()
    generator, rows = on_loop(
        tmp_path / "rows",
        pool,
        lambda rows, over: ClosedOnLoop(rows, 1.0, over),
        lambda closed: closed.start(3, clock() + 50_000_000),
    )

    assert pool.most == 3
    assert generator.sent == len([row for row in rows if row[3] == OK]) >= 3


def test_sessions_come_to_the_pool(tmp_path: Path) -> None:
    pool = LoopPool()
    on_loop(tmp_path / "rows", pool, opened, at_once, jobs=work(sessions=[3, 4]))

    assert set(pool.sessions) == {"session-3", "session-4"}


def in_thread(path: Path, pool: Any, make: Any, start: Callable[[Any], None]) -> tuple[Any, Any]:
    over: Future[Any] = Future()
    generator = make(Rows(str(path)), 5.0, over.set_result)

    def wait(function: Callable[[], None]) -> None:
        threading.Thread(target=function, daemon=True).start()

    generator.caller = ThreadCaller(pool, work(), generator.rows, generator.ended, wait)
    start(generator)
    return over.result(20), rows_in(path)


@pytest.mark.parametrize("callbacks", [True, False])
def test_a_pool_of_threads_is_asked_as_planned(tmp_path: Path, *, callbacks: bool) -> None:
    with ThreadPoolExecutor(2) as executor:
        pool = ExecutorPool(executor)
        pool.offers = pool.offers if callbacks else frozenset()
        generator, rows = in_thread(tmp_path / "rows", pool, OpenInThread, at_once)

    answers = [row for row in rows if row[3] == OK]
    assert sorted(row[0] for row in answers) == list(range(200))
    assert generator.open == 0


def test_a_closed_loop_in_threads_ends_with_nothing_open(tmp_path: Path) -> None:
    with ThreadPoolExecutor(2) as executor:
        generator, rows = in_thread(
            tmp_path / "rows",
            ExecutorPool(executor),
            ClosedInThread,
            lambda closed: closed.start(4, clock() + 50_000_000),
        )

    assert generator.sent == len([row for row in rows if row[3] == OK]) >= 1


def test_a_submit_that_blocks_is_noted_as_the_pools_doing(tmp_path: Path) -> None:
    class Slow(ExecutorPool):
        def submit_with_callback(self, callback: Any, function: Any, /, *args: Any) -> Any:
            burn(0.02)
            return super().submit_with_callback(callback, function, *args)

    with ThreadPoolExecutor(1) as executor:
        _, rows = in_thread(
            tmp_path / "rows",
            Slow(executor),
            OpenInThread,
            lambda generator: generator.start(TIMES[:3], clock()),
        )

    assert sum(row[3] == BLOCKED for row in rows) == 3


@pytest.mark.parametrize("on_loop", [True, False])
def test_its_own_cost_is_measured(*, on_loop: bool) -> None:
    assert 0 < overhead_ns(on_loop=on_loop) < 1_000_000
