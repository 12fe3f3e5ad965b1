"""A scripted worker plays its instructions, all of them and nothing else; and whoever does not is found out."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from poolproof.errors import RemoteError, StartFailedError, UsageError, WorkerDiedError
from poolproof.pool.pool import Pool
from poolproof.pool.settings import PoolSettings
from poolproof.sync import wait_for
from poolproof.transport import packing
from poolproof.transport.base import Transport, WorkerSpec
from poolproof.transport.bridge import BridgeTransport
from poolproof.transport.mock import MockTransport
from poolproof.transport.script import Handle, Init, Instruction, Ping, Script, Terminate

pytestmark = pytest.mark.unit

Make = Callable[..., Script]


def played_by(script: Script, transport: Transport | None = None, **settings: Any) -> Pool:
    """Return a pool of one worker, which nobody asks for anything but the test."""
    chosen = PoolSettings(size=1, **settings)
    return Pool(WorkerSpec(target=script.worker), transport or MockTransport(), chosen)


async def plays_in_order(make: Make) -> None:
    script = make(Handle({"add": 4}, returns=4), Handle(does=lambda request: request * 2))
    async with played_by(script) as pool:
        assert await pool.submit({"add": 4}) == 4
        assert await pool.submit(21) == 42
    script.assert_drained()


async def goes_on_after_a_death(make: Make) -> None:
    script = make(Init(), Handle(exits=3), Init(), Handle("again", returns=1), Terminate())
    async with played_by(script) as pool:
        with pytest.raises(WorkerDiedError):
            await pool.submit("first")
        assert await pool.submit("again") == 1
    script.assert_drained()


async def raises_what_it_says(make: Make) -> None:
    script = make(Handle(raises=ValueError("overdrawn")))
    async with played_by(script) as pool:
        with pytest.raises(RemoteError, match="ValueError: overdrawn"):
            await pool.submit(1)
    script.assert_drained()


async def waits_until_it_may_go_on(make: Make) -> None:
    gate = asyncio.Event()
    script = make(Handle(until=gate, returns="late"))
    async with played_by(script) as pool:
        job = pool.submit(1)
        await wait_for(lambda: not script.left, timeout=5)
        assert not job.done()
        gate.set()
        assert await job == "late"


async def tells_what_was_not_played(make: Make) -> None:
    script = make(Handle(1), Handle(2), Ping())
    async with played_by(script) as pool:
        await pool.submit(1)
    with pytest.raises(AssertionError, match=r"got 2 instructions left: handle\(2\), ping\(\)$"):
        script.assert_drained()


async def refuses_another_request(make: Make) -> None:
    script = make(Handle("this"))
    async with played_by(script) as pool:
        with pytest.raises(RemoteError, match=r"expected handle\('this'\) next, got handle\('that"):
            await pool.submit("that")
        assert await pool.submit("this") is None
    with pytest.raises(AssertionError, match=r"got handle\('that'\)$"):
        script.assert_drained()


async def refuses_another_call(make: Make) -> None:
    script = make(Handle(1), Terminate())
    async with played_by(script):
        pass
    with pytest.raises(AssertionError, match=r"expected handle\(1\) next, got terminate\(\)"):
        script.assert_drained()


async def refuses_one_call_more(make: Make) -> None:
    script = make(Handle())
    async with played_by(script) as pool:
        await pool.submit(1)
        with pytest.raises(RemoteError, match=r"expected no more calls next, got handle\(2\)"):
            await pool.submit(2)
    with pytest.raises(AssertionError, match="expected no more calls next"):
        script.assert_drained()


async def fails_a_start_that_is_not_in_it(make: Make) -> None:
    script = make(Handle(), Init())
    with pytest.raises(StartFailedError):
        async with played_by(script, start_retries=0):
            pass


CHECKS: list[Callable[[Make], Awaitable[None]]] = [
    plays_in_order,
    goes_on_after_a_death,
    raises_what_it_says,
    waits_until_it_may_go_on,
    tells_what_was_not_played,
    refuses_another_request,
    refuses_another_call,
    refuses_one_call_more,
    fails_a_start_that_is_not_in_it,
]


@pytest.mark.asyncio
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_a_script(check: Callable[[Make], Awaitable[None]]) -> None:
    await check(Script)


class PlaysTheLast(Script):
    async def play(self, call: Any, *request: Any) -> Any:
        self._left.rotate(call in self._named)
        return await super().play(call, *request)


class NeverMovesOn(Script):
    async def play(self, _call: Any, *request: Any) -> Any:
        return await self._left[0].play(request)


class BeginsAnew(Script):
    def __init__(self, *instructions: Instruction) -> None:
        super().__init__(*instructions)
        self._all = instructions

    async def play(self, call: Any, *request: Any) -> Any:
        if call == "init":
            self._left.clear()
            self._left.extend(self._all)
        return await super().play(call, *request)


class TakesAnyRequest(Script):
    async def play(self, _call: Any, *request: Any) -> Any:
        return await self._left.popleft().play(request) if self._left else None


class ForgetsWhatWasWrong(Script):
    def _refuse(self, call: Any, request: Any) -> None:
        try:
            super()._refuse(call, request)
        finally:
            self.problems.clear()


class IsAlwaysDrained(Script):
    def assert_drained(self) -> None:
        pass


class NeverWaits(Script):
    def __init__(self, *instructions: Instruction) -> None:
        super().__init__(*instructions)
        for instruction in instructions:
            if instruction.until is not None:
                instruction.until.set()


ABLATIONS: list[tuple[type[Script], Callable[[Make], Awaitable[None]]]] = [
    (PlaysTheLast, plays_in_order),
    (NeverMovesOn, tells_what_was_not_played),
    (BeginsAnew, goes_on_after_a_death),
    (TakesAnyRequest, refuses_another_request),
    (TakesAnyRequest, refuses_one_call_more),
    (ForgetsWhatWasWrong, refuses_another_call),
    (IsAlwaysDrained, tells_what_was_not_played),
    (NeverWaits, waits_until_it_may_go_on),
]


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("ablation", "check"), ABLATIONS, ids=[f"{a.__name__}-{c.__name__}" for a, c in ABLATIONS]
)
async def test_a_script_that_is_not_kept_is_found_out(
    ablation: type[Script], check: Callable[[Make], Awaitable[None]]
) -> None:
    with pytest.raises((Exception, pytest.fail.Exception)):
        await check(ablation)


@pytest.mark.asyncio
async def test_what_no_instruction_names_is_not_scripted() -> None:
    script = Script(Handle(returns=1))
    async with played_by(script) as pool:
        await pool.slots()[0].link.ping(5)
        assert await pool.submit(0) == 1
    script.assert_drained()


@pytest.mark.asyncio
async def test_a_script_is_played_over_the_real_protocol_too() -> None:
    script = Script(Init(), Ping(), Handle([1], returns=(2,)), Terminate())
    async with played_by(script, BridgeTransport()) as pool:
        await pool.slots()[0].link.ping(5)
        assert await pool.submit((1,)) == [2]
    script.assert_drained()


def test_a_process_of_its_own_cannot_play_a_script() -> None:
    with pytest.raises(UsageError, match=r"^expected on the layer full a target at the top level"):
        packing.packed(WorkerSpec(target=Script().worker))
