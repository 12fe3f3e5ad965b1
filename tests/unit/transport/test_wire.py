"""A wire never blocks and never loses order, however little the kernel takes at a time."""

import asyncio
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest

from poolproof.transport.bridge import BridgeTransport
from poolproof.transport.stage import Stage
from poolproof.transport.wire import Wire

pytestmark = [pytest.mark.unit, pytest.mark.asyncio]


class Ear:
    def __init__(self) -> None:
        self.heard = bytearray()
        self.why: list[str] = []
        self.end = asyncio.Event()

    def received(self, data: memoryview) -> None:
        self.heard += data

    def lost(self, why: str) -> None:
        self.why.append(why)
        self.end.set()


@asynccontextmanager
async def wires() -> AsyncGenerator[tuple[Wire, Ear, Wire, Ear]]:
    ends = socket.socketpair()
    for end in ends:
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    ears = [Ear(), Ear()]
    made = [Wire(end, ear.received, ear.lost) for end, ear in zip(ends, ears, strict=True)]
    try:
        yield made[0], ears[0], made[1], ears[1]
    finally:
        for wire in made:
            wire.close()


async def test_what_the_kernel_does_not_take_is_sent_later_and_in_order() -> None:
    async with wires() as (near, _, _far, ear):
        sent = b"".join(bytes([i]) * 10_000 for i in range(30))
        for i in range(30):
            near.write(bytes([i]) * 10_000)
        assert near.unsent_bytes > 0
        near.finish()
        await ear.end.wait()

        assert bytes(ear.heard) == sent
        assert ear.why == ["the connection was closed"]
        await near.finished()


async def test_a_frame_may_be_changed_after_it_was_written() -> None:
    async with wires() as (near, _, _far, ear):
        frame = bytearray(b"a" * 20_000)
        near.write(frame)
        frame[:] = b"b" * len(frame)
        near.finish()
        await ear.end.wait()

        assert bytes(ear.heard) == b"a" * 20_000


async def test_the_end_is_told_once_and_not_to_who_closed() -> None:
    async with wires() as (near, mine, far, theirs):
        near.close()
        near.close()
        near.write(b"too late")
        await theirs.end.wait()
        far.write(b"too late")

        assert len(theirs.why) == 1
        assert mine.why == []


async def test_writing_to_who_is_gone_is_told_by_reading() -> None:
    async with wires() as (near, ear, far, _):
        near.write(b"x" * 100_000)
        far.close()
        near.write(b"y")
        await ear.end.wait()

        assert len(ear.why) == 1


async def test_what_is_said_before_the_end_is_heard() -> None:
    async with wires() as (near, _, far, ear):
        near.write(b"last words")
        near.close()
        far.drain()

        assert bytes(ear.heard) == b"last words"


async def test_bytes_in_flight_are_counted_until_they_are_answered() -> None:
    transport = BridgeTransport()
    worker = await Stage(transport).worker()
    [sent] = worker.send(["length", 10])
    worker.send(["echo", b"x" * 50_000])
    assert worker.link.in_flight_bytes >= 50_000
    await worker.heard.answer(sent + 1)

    assert worker.link.in_flight_bytes == 0
    await transport.close()
