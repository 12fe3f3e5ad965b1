"""What every transport must keep, as cases that anybody can run on a transport of their own.

    @pytest.mark.parametrize("case", conformance_cases(), ids=lambda case: case.name)
    def test_my_transport_conforms(case):
        case.check(MyTransport)

The cases call no test framework: a case that fails raises AssertionError. `judged` plays them all
on one transport, for one that is slow to open. Long because each promise of the seam is a case here,
and they are few lines each. For a worker that somebody wrote in another language see `stranger`.
"""

# ruff: noqa: PLR2004 -- the numbers of a case are its own

import asyncio
import os
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from poolproof.errors import (
    HealthCheckFailedError,
    InitTimeoutError,
    PoolproofError,
    RemoteError,
    StartFailedError,
    UsageError,
)
from poolproof.transport import targets
from poolproof.transport.base import Transport, Usage
from poolproof.transport.stage import EPOCH, Player, Stage

LIMIT_SECONDS: Final = 20.0
"""How long a case may take; all of them normally take milliseconds."""
GRACE_SECONDS: Final = 5.0
SHORT_SECONDS: Final = 0.05
_NOTHING: Final = Usage(rss_bytes=0, cpu_seconds=0.0)
CARRIED: Final = (None, True, 0, -(1 << 63), (1 << 64) - 1, 1.5, "text", "\u00e9", b"bytes")


@dataclass(frozen=True, slots=True)
class Case:
    """One promise; `check` raises AssertionError if a transport breaks it."""

    name: str
    play: Callable[[Stage], Awaitable[None]]

    def check(self, make: Callable[[], Transport]) -> None:
        """Play it on a transport of its own, on a loop of its own."""
        asyncio.run(self.play_on(make))

    async def play_on(self, make: Callable[[], Transport]) -> None:
        """The same on the running loop."""
        transport = make()
        async with asyncio.timeout(LIMIT_SECONDS), _opened(transport):
            stage = Stage(transport)
            await self.play_at(stage)
        _must_have_ended(stage)

    async def play_at(self, stage: Stage) -> None:
        """The same on a stage whose transport is open."""
        await self.play(stage)
        stage.must_be_sound()


async def judged(
    make: Callable[[], Transport], cases: Sequence[Case] | None = None
) -> dict[str, str]:
    """Play cases on one transport, one after the other, where opening one is dear.

    Args:
        make: makes the transport.
        cases: all of them if not given.

    Returns:
        What was wrong, by the name of the case; empty if every promise is kept.
    """
    transport, wrong = make(), dict[str, str]()
    stages: list[Stage] = []
    async with _opened(transport):
        for case in conformance_cases() if cases is None else cases:
            stages.append(Stage(transport))
            try:
                async with asyncio.timeout(LIMIT_SECONDS):
                    await case.play_at(stages[-1])
            except (AssertionError, TimeoutError, PoolproofError) as problem:
                wrong[case.name] = f"{type(problem).__name__}: {problem}"
    for stage in stages:
        _must_have_ended(stage)
    return wrong


@asynccontextmanager
async def _opened(transport: Transport) -> AsyncGenerator[None]:
    await transport.open()
    try:
        yield
    finally:
        async with asyncio.timeout(LIMIT_SECONDS):
            await transport.close()
            await transport.close()


def _must_have_ended(stage: Stage) -> None:
    for player in stage.players:
        assert player.heard.end is not None, "a worker outlived close()"


_cases: Final[list[Case]] = []


def conformance_cases() -> tuple[Case, ...]:
    """Return all cases, in the order they are written here."""
    return tuple(_cases)


def _case(play: Callable[[Stage], Awaitable[None]]) -> None:
    _cases.append(Case(play.__name__.strip("_"), play))


BOTH: Final = (targets.Plain, targets.Awaiting)


@_case
async def _values_come_back_as_a_wire_has_them(stage: Stage) -> None:
    for kind in BOTH:
        worker = await stage.worker(kind)
        for value in CARRIED:
            assert await worker.ask(["echo", value]) == value
        assert await worker.ask(["echo", (1, (2,))]) == [1, [2]]
        assert await worker.ask(["echo", {1: {"a": [b""]}}]) == {1: {"a": [b""]}}


@_case
async def _nothing_is_shared(stage: Stage) -> None:
    worker, mine = await stage.worker(), [1]
    [first] = worker.send(["keep", mine])
    mine.append(2)
    kept = (await worker.heard.answer(first))[2]
    assert kept == [1]
    kept.append(3)
    assert await worker.ask(["kept"]) == [1]


@_case
async def _a_tuple_arrives_as_a_list(stage: Stage) -> None:
    worker = await stage.worker()
    assert await worker.ask(["type", ()]) == "list"
    assert await worker.ask(["type", bytearray()]) == "bytes"


@_case
async def _all_are_answered_once_and_in_order(stage: Stage) -> None:
    for kind in BOTH:
        worker = await stage.worker(kind)
        ids = [i for batch in range(20) for i in worker.send(*[["echo", batch]] * 50)]
        await worker.heard.answer(ids[-1])
        assert worker.heard.order == ids
        assert worker.link.in_flight_bytes == 0


@_case
async def _one_thing_is_done_at_a_time(stage: Stage) -> None:
    worker = await stage.worker(targets.Awaiting)
    ids = worker.send(*[["overlap"]] * 10)
    assert [(await worker.heard.answer(i))[2] for i in ids] == [1] * 10


@_case
async def _a_list_is_done_in_order_as_far_as_it_is_answered(stage: Stage) -> None:
    for kind in BOTH:
        worker = await stage.worker(kind)
        _, ok, values = await worker.heard.answer(worker.send_list(*[["count"]] * 50))
        assert ok
        assert 1 <= len(values) <= 50
        assert values == [*range(1, len(values) + 1)]
        assert await worker.ask(["count"]) == len(values) + 1


@_case
async def _the_first_error_of_a_list_is_its_answer(stage: Stage) -> None:
    for kind in BOTH:
        worker = await stage.worker(kind)
        error = await worker.heard.error(worker.send_list(["raise", "no"], ["count"]))
        assert (error.kind, error.message) == ("raised", "no")
        assert error.may_have_happened
        assert await worker.ask(["count"]) == 1


@_case
async def _a_list_that_no_wire_carries_is_refused_whole(stage: Stage) -> None:
    worker = await stage.worker()
    error = await worker.heard.error(worker.send_list(["count"], object()))
    assert (error.kind, error.may_have_happened) == ("refused", False)
    error = await worker.heard.error(worker.send_list(["object"]))
    assert (error.kind, error.may_have_happened) == ("refused", True)
    assert await worker.ask(["count"]) == 1


@_case
async def _a_large_payload_is_carried(stage: Stage) -> None:
    worker, large = await stage.worker(), os.urandom(3_000_000)
    assert await worker.ask(["echo", large]) == large


@_case
async def _an_error_has_its_type_message_and_traceback(stage: Stage) -> None:
    for kind in BOTH:
        worker = await stage.worker(kind)
        [failed] = worker.send(["raise", "no such thing"])
        error = await worker.heard.error(failed)
        assert error[:4] == ("raised", "ValueError", "no such thing", "python"), error
        assert error.may_have_happened
        assert "raise ValueError(text)" in error.traceback
        theirs = error.traceback.count(f'File "{targets.__file__}"')
        assert error.traceback.count("File ") == theirs, f"our own frames in {error.traceback}"
        assert await worker.ask(["echo", 1]) == 1


@_case
async def _an_error_says_its_category(stage: Stage) -> None:
    worker = await stage.worker()
    [failed] = worker.send(["raise own", "full"])
    error = await worker.heard.error(failed)
    assert error.type == f"{targets.__name__}.OwnError"
    assert error.category == "resource"


@_case
async def _an_error_of_any_text_is_carried(stage: Stage) -> None:
    worker = await stage.worker()
    ids = worker.send(["raise surrogate"], ["raise", "x" * 1_000_000], ["raise unprintable"])
    texts = [(await worker.heard.error(i)).message for i in ids]
    assert "\\udc" in texts[0]
    assert 100 < len(texts[1]) < 10_000
    assert "ZeroDivisionError" in texts[2]


@_case
async def _what_no_wire_carries_is_refused_alone(stage: Stage) -> None:
    worker = await stage.worker()
    bad = [object(), 1 << 70, "\ud800", 1j]
    ids = worker.send(["echo", 1], *bad, ["echo", 2])
    errors = [await worker.heard.error(i) for i in ids[1:-1]]
    assert {(e.kind, e.category, e.may_have_happened) for e in errors} == {
        ("refused", "communication", False)
    }
    assert (await worker.heard.answer(ids[-1]))[2] == 2


@_case
async def _a_value_that_no_wire_carries_is_an_error_after_the_fact(stage: Stage) -> None:
    for kind in BOTH:
        worker = await stage.worker(kind)
        ids = worker.send(["echo", 1], ["object"], ["echo", 2])
        error = await worker.heard.error(ids[1])
        assert (error.kind, error.may_have_happened) == ("refused", True)
        assert (await worker.heard.answer(ids[2]))[2] == 2


@_case
async def _what_is_too_long_is_refused(stage: Stage) -> None:
    worker = await stage.worker(most_payload_bytes=1000)
    ids = worker.send(["echo", b"x" * 900], b"x" * 1000, ["length", 1001])
    assert (await worker.heard.answer(ids[0]))[1]
    before, after = [await worker.heard.error(i) for i in ids[1:]]
    assert (before.kind, before.may_have_happened) == ("refused", False)
    assert (after.kind, after.may_have_happened) == ("refused", True)


@_case
async def _a_stale_request_is_not_done(stage: Stage) -> None:
    worker = await stage.worker()
    [old] = worker.send(["count"], epoch=EPOCH - 1)
    error = await worker.heard.error(old)
    assert (error.kind, error.may_have_happened) == ("refused", False)
    assert await worker.ask(["count"]) == 1


@_case
async def _an_expired_request_is_not_done(stage: Stage) -> None:
    for kind in BOTH:
        worker = await stage.worker(kind)
        [late] = worker.send(["count"], deadline_ns=1)
        error = await worker.heard.error(late)
        assert (error.kind, error.category) == ("expired", "timeout")
        assert not error.may_have_happened
        now_ns = round(asyncio.get_running_loop().time() * 1e9)
        [early] = worker.send(["count"], deadline_ns=now_ns + 60_000_000_000)
        assert (await worker.heard.answer(early))[2] == 1


@_case
async def _what_awaits_and_what_waits_can_be_cancelled(stage: Stage) -> None:
    worker = await stage.worker(targets.Awaiting)
    hanging, waiting, last = worker.send(["hang"], ["count"], ["count"])
    await _until_begun(worker, hanging)
    worker.link.cancel(waiting)
    worker.link.cancel(hanging)
    begun, skipped = await worker.heard.error(hanging), await worker.heard.error(waiting)
    assert (begun.kind, begun.may_have_happened) == ("cancelled", True)
    assert (skipped.kind, skipped.may_have_happened) == ("cancelled", False)
    assert (await worker.heard.answer(last))[2] == 1
    worker.link.cancel(last)
    assert await worker.ask(["count"]) == 2


@_case
async def _what_is_recalled_is_not_begun(stage: Stage) -> None:
    worker = await stage.worker(targets.Awaiting)
    hanging, second, third, last = worker.send(["hang"], ["count"], ["count"], ["count"])
    await _until_begun(worker, hanging)
    assert worker.link.recall(third)
    worker.link.cancel(hanging)
    errors = [await worker.heard.error(i) for i in (second, third)]
    assert {(e.kind, e.may_have_happened) for e in errors} == {("cancelled", False)}
    assert (await worker.heard.error(hanging)).may_have_happened
    assert (await worker.heard.answer(last))[2] == 1
    assert worker.link.recall(hanging)
    assert await worker.ask(["count"]) == 2


@_case
async def _init_has_run_before_the_first_request(stage: Stage) -> None:
    for kind in BOTH:
        worker = await stage.worker(kind, "given")
        assert await worker.ask(["ready"]) == ["given", True]


@_case
async def _a_function_is_a_worker(stage: Stage) -> None:
    for function in (targets.double, targets.double_awaiting):
        worker = await stage.worker(function, 1)
        assert await worker.ask(20) == 41


@_case
async def _a_start_that_raises_tells_what(stage: Stage) -> None:
    for target in (targets.Unmakeable, targets.Uninitialised, targets.UninitialisedAwaiting):
        error = await stage.no_worker(StartFailedError, target)
        cause = error.__cause__
        assert isinstance(cause, RemoteError), repr(cause)
        assert (cause.type_name, cause.message) == ("ValueError", "not today")
        assert "not today" in cause.remote_traceback


@_case
async def _a_start_that_hangs_times_out(stage: Stage) -> None:
    await stage.no_worker(InitTimeoutError, targets.Slow, init_seconds=SHORT_SECONDS)


@_case
async def _what_is_no_worker_is_refused(stage: Stage) -> None:
    for target in (targets.NoWorker, 3):
        await stage.no_worker(UsageError, target)


@_case
async def _ping_tells_health(stage: Stage) -> None:
    for kind in BOTH:
        worker = await stage.worker(kind)
        await worker.link.ping(GRACE_SECONDS)
        for mood in ("unwell", "failing"):
            assert await worker.ask(["mood", mood]) is None
            await _must_be_unwell(worker, GRACE_SECONDS)
        await worker.ask(["mood", "well"])
        await worker.link.ping(GRACE_SECONDS)
        worker.kill()
        await worker.heard.ending()
        await _must_be_unwell(worker, GRACE_SECONDS)


@_case
async def _ping_comes_after_what_was_sent(stage: Stage) -> None:
    worker = await stage.worker()
    [sent] = worker.send(["count"])
    await worker.link.ping(GRACE_SECONDS)
    assert sent in worker.heard.replies


@_case
async def _a_ping_that_hangs_times_out(stage: Stage) -> None:
    worker = await stage.worker(targets.Awaiting)
    [hanging] = worker.send(["hang"])
    await _until_begun(worker, hanging)
    await _must_be_unwell(worker, SHORT_SECONDS)


@_case
async def _a_worker_leaves_when_told(stage: Stage) -> None:
    for kind in BOTH:
        worker = await stage.worker(kind)
        assert await worker.ask(["echo", 1]) == 1
        end = await worker.link.terminate(GRACE_SECONDS)
        assert (end.kind, end.begun, end.untouched) == ("terminated", (), ()), end
        assert worker.heard.end == end
        assert await worker.link.terminate(GRACE_SECONDS) == end


@_case
async def _what_it_says_of_its_own_end_is_told(stage: Stage) -> None:
    worker = await stage.worker()
    await worker.ask(["mood", "failing"])
    end = await worker.link.terminate(GRACE_SECONDS)
    assert end.kind == "terminated"
    assert "ZeroDivisionError" in end.detail


@_case
async def _leaving_ends_after_the_current_request(stage: Stage) -> None:
    worker = await stage.worker(targets.Awaiting)
    current, waiting = worker.send(["hang"], ["count"])
    await _until_begun(worker, current)
    leaving = asyncio.ensure_future(worker.link.terminate(GRACE_SECONDS))
    await asyncio.sleep(0)
    worker.link.cancel(current)
    end = await leaving
    assert (await worker.heard.error(current)).may_have_happened
    assert (end.kind, end.begun, end.untouched) == ("terminated", (), (waiting,))


@_case
async def _who_does_not_leave_is_ended(stage: Stage) -> None:
    worker = await stage.worker(targets.Awaiting)
    hanging, waiting = worker.send(["hang"], ["count"])
    await _until_begun(worker, hanging)
    end = await worker.link.terminate(SHORT_SECONDS)
    assert (end.kind, end.begun, end.untouched) == ("killed", (hanging,), (waiting,))


@_case
async def _a_kill_tells_what_was_begun(stage: Stage) -> None:
    worker = await stage.worker(targets.Awaiting)
    done, hanging, *waiting = worker.send(["echo", 1], ["hang"], ["count"], ["count"])
    await worker.heard.answer(done)
    await _until_begun(worker, hanging)
    worker.kill()
    worker.kill()
    end = await worker.heard.ending()
    assert (end.kind, end.begun, end.untouched) == ("killed", (hanging,), tuple(waiting))
    assert await worker.link.terminate(GRACE_SECONDS) == end


@_case
async def _an_idle_worker_that_is_killed_touched_nothing(stage: Stage) -> None:
    worker = await stage.worker()
    await worker.ask(["count"])
    worker.kill()
    sent = worker.send(["count"])
    end = await worker.heard.ending()
    assert set(end.begun) <= set(sent)
    assert not worker.heard.replies.keys() & set(end.begun)


@_case
async def _a_handler_may_end_its_worker(stage: Stage) -> None:
    for kind in BOTH:
        worker = await stage.worker(kind)
        done, exiting, waiting = worker.send(["echo", 1], ["exit", 3], ["count"])
        end = await worker.heard.ending()
        assert (await worker.heard.answer(done))[2] == 1
        assert (end.kind, end.status) == ("exited", 3)
        assert (end.begun, end.untouched) == ((exiting,), (waiting,))


@_case
async def _nothing_comes_after_the_end(stage: Stage) -> None:
    worker = await stage.worker()
    worker.kill()
    await worker.heard.ending()
    worker.send(["count"], object())
    worker.kill()
    worker.link.cancel(1)
    await asyncio.sleep(SHORT_SECONDS)  # for an event that must not come
    assert not worker.heard.replies


@_case
async def _another_incarnation_begins_anew(stage: Stage) -> None:
    worker = await stage.worker()
    assert await worker.ask(["count"]) == 1
    worker.kill()
    await worker.heard.ending()
    again = await stage.worker(epoch=EPOCH + 1)
    assert await again.ask(["count"]) == 1


@_case
async def _the_layer_is_what_it_says(stage: Stage) -> None:
    workers = [await stage.worker() for _ in range(2)]
    pids = {await worker.ask(["pid"]) for worker in workers}
    if stage.transport.layer == "full":
        assert len(pids) == 2
        assert os.getpid() not in pids
        assert pids == {worker.link.pid for worker in workers}
        assert all((worker.link.usage() or _NOTHING).rss_bytes > 0 for worker in workers)
    else:
        assert pids == {os.getpid()}
        assert {(worker.link.pid, worker.link.usage()) for worker in workers} == {(None, None)}


@_case
async def _close_ends_what_hangs(stage: Stage) -> None:
    worker = await stage.worker(targets.Awaiting)
    [hanging] = worker.send(["hang"])
    await _until_begun(worker, hanging)


async def _until_begun(worker: Player, request_id: int) -> None:
    while worker.link.started() < request_id:  # noqa: ASYNC110 - shared memory sets no event
        await asyncio.sleep(0)


async def _must_be_unwell(worker: Player, seconds: float) -> None:
    try:
        await worker.link.ping(seconds)
    except HealthCheckFailedError:
        return
    raise AssertionError("expected HealthCheckFailedError from ping, got none")
