"""Clean-up: every step is run, everything proves its release, and what has to be awaited is ended in its loop."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Iterator
from typing import Any

import pytest

from poolproof.errors import UsageError
from poolproof.isolation import closing
from poolproof.isolation.cleaning import Cleaned, CleanupError, Released, release_all, run
from poolproof.isolation.closing import Block, Open, Service, Task, end_all

pytestmark = pytest.mark.unit


class Thing:
    def __init__(self, what: str, log: list[str], *, error: Exception | None = None) -> None:
        self.what, self.log, self.error = what, log, error
        self.gone = False

    def release(self) -> None:
        self.log.append(self.what)
        if self.error:
            raise self.error
        self.gone = True

    def released(self) -> bool:
        return self.gone


def gone(what: str) -> Released:
    return Released(what=what, verified=True)


class TestSteps:
    def test_each_is_run_though_those_before_it_raised(self) -> None:
        def broken() -> Iterator[Released]:
            yield gone("first half")
            raise OSError("no")

        cleaned = run([("one", broken), ("two", lambda: [gone("b")]), ("three", broken)])

        assert [one.what for one in cleaned.released] == ["first half", "b", "first half"]
        assert [step for step, _ in cleaned.errors] == ["one", "three"]
        assert not cleaned.complete

    def test_a_keyboard_interrupt_is_raised_after_all_the_others(self) -> None:
        log: list[str] = []

        def interrupted() -> list[Released]:
            raise KeyboardInterrupt

        def last() -> list[Released]:
            log.append("last")
            return []

        with pytest.raises(KeyboardInterrupt):
            run([("one", interrupted), ("two", last)])
        assert log == ["last"]

    def test_it_is_complete_only_if_everything_proves_its_release(self) -> None:
        assert run([("one", lambda: [gone("a")])]).complete
        assert not run([("one", lambda: [Released(what="a", verified=False)])]).complete

    def test_the_error_says_everything_that_is_left(self) -> None:
        cleaned = Cleaned(
            (Released(what="a", verified=False, note="stuck"), Released(what="b", verified=False)),
            (("step", OSError("no")),),
        )

        assert str(CleanupError(cleaned)) == (
            "expected everything of this sandbox to be released,"
            " got a: stuck; b: not released; step raised OSError('no')"
        )
        assert list(cleaned.lines()) == [
            "a: stuck",
            "b: was released, but has not proved it",
            "step: raised OSError('no')",
        ]


class TestReleasing:
    def test_in_reverse_order_all_of_them_and_the_broken_stay_for_the_next_time(self) -> None:
        log: list[str] = []
        broken = Thing("b", log, error=OSError("no"))
        held = [Thing("a", log), broken, Thing("c", log)]
        with pytest.raises(ExceptionGroup, match="1 of 1 could not be released"):
            list(release_all(held))  # type: ignore[arg-type]

        assert log == ["c", "b", "a"]
        assert held == [broken]
        broken.error = None
        assert [one.verified for one in release_all(held)] == [True]  # type: ignore[arg-type]
        assert list(release_all(held)) == []  # type: ignore[arg-type]


async def forever() -> None:
    await asyncio.Event().wait()


async def ignore_cancelling(go: asyncio.Event) -> None:
    while not go.is_set():
        with contextlib.suppress(asyncio.CancelledError):
            await go.wait()


def ended(work: Any) -> Any:
    return asyncio.run(work)


class TestTasks:
    def test_one_that_runs_is_cancelled_and_awaited(self) -> None:
        async def main() -> tuple[Cleaned, bool]:
            task = asyncio.ensure_future(forever())
            opened: list[Open] = [Task(task, "task a")]
            return await end_all(opened), task.cancelled() and not opened

        assert ended(main()) == (Cleaned((gone("task a"),)), True)

    def test_one_that_is_stubborn_is_reported_and_stays(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(closing, "CANCEL_SECONDS", 0.01)

        async def main() -> tuple[Cleaned, int, Cleaned]:
            go = asyncio.Event()
            opened: list[Open] = [Task(asyncio.ensure_future(ignore_cancelling(go)), "task a")]
            await asyncio.sleep(0)
            first, left = await end_all(opened), len(opened)
            go.set()
            await asyncio.sleep(0)
            return first, left, await end_all(opened)

        first, left, second = ended(main())

        assert not first.complete
        assert next(first.lines()).startswith("task a: stubborn: still running 0.01 s after")
        assert (left, second.complete) == (1, True)

    def test_an_error_that_nobody_has_seen_is_not_swallowed(self) -> None:
        async def fail() -> None:
            raise ValueError("unseen")

        async def main(*, look: bool) -> Cleaned:
            task = asyncio.ensure_future(fail())
            await asyncio.wait([task])
            if look:
                task.exception()
            return await end_all([Task(task, "task a")])

        assert [repr(error) for _, error in ended(main(look=False)).errors] == [
            "ValueError('unseen')"
        ]
        assert ended(main(look=True)).complete


class Closing:
    def __init__(self, log: list[str]) -> None:
        self.log = log

    async def aclose(self) -> None:
        self.log.append("closed")


class TestServices:
    def test_the_end_is_awaited_once(self) -> None:
        log: list[str] = []
        service = Service(Closing(log), "it")

        async def main() -> None:
            await end_all([service])
            await end_all([service])

        ended(main())
        assert log == ["closed"]

    def test_one_without_an_end_has_ended(self) -> None:
        assert Service(object(), "it").ended()

    def test_without_a_loop_only_what_need_not_be_awaited_is_ended(self) -> None:
        log: list[str] = []
        plain = type("Plain", (), {"close": lambda _self: log.append("plain")})()
        service = Service(plain, "it")
        service.end_now()
        service.end_now()

        assert service.ended()
        assert log == ["plain"]
        with pytest.raises(UsageError, match=r"^expected an async test to end it"):
            Service(Closing(log), "it").end_now()


@contextlib.asynccontextmanager
async def block(log: list[str], name: str, error: Exception | None = None) -> AsyncGenerator[None]:
    yield
    log.append(name)
    if error:
        raise error


class TestBlocks:
    def test_they_are_left_in_reverse_order_though_one_raises(self) -> None:
        log: list[str] = []

        async def main() -> Cleaned:
            opened: list[Open] = []
            for name, error in (("a", None), ("b", OSError("no")), ("c", None)):
                manager = block(log, name, error)
                await manager.__aenter__()
                opened.append(Block(manager, name, None))
            return await end_all(opened)

        cleaned = ended(main())

        assert log == ["c", "b", "a"]
        assert [one.verified for one in cleaned.released] == [True, False, True]
        assert [what for what, _ in cleaned.errors] == ["b"]

    def test_a_proof_that_does_not_hold_is_said(self) -> None:
        async def main() -> Cleaned:
            manager = block([], "a")
            await manager.__aenter__()
            return await end_all([Block(manager, "a", lambda: False)])

        assert not ended(main()).complete

    def test_one_that_never_ends_is_given_up(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(closing, "CLOSE_SECONDS", 0.01)

        @contextlib.asynccontextmanager
        async def stuck() -> AsyncGenerator[None]:
            yield
            await forever()

        async def main() -> Cleaned:
            manager = stuck()
            await manager.__aenter__()
            return await end_all([Block(manager, "a", None)])

        assert list(ended(main()).lines()) == ["a: its end was not over after 0.01 s"]
