"""The proxy between real sockets and simulated ones: transparent, harmful as told, healed, and telling what it did."""

import asyncio
import contextlib
import random
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poolproof import simulation
from poolproof.errors import UsageError
from poolproof.proxy import OURS, Groups, LengthPrefixed, Proxy, Raw, Resp, Spoiling, Travel
from poolproof.proxy.framing import Framing
from poolproof.proxy.pipe import WINDOW_BYTES
from poolproof.proxy.side import PairEnd
from poolproof.transport import protocol

pytestmark = pytest.mark.unit

WRITERS: list[asyncio.StreamWriter] = []
"""Those that clients have opened: closed with their proxy."""
SHORT = LengthPrefixed(header_bytes=2, width=2)


def framed(*bodies: bytes) -> bytes:
    return b"".join(len(body).to_bytes(2, "big") + body for body in bodies)


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()


@contextlib.asynccontextmanager
async def echoed(framing: Framing = Raw, seed: int = 0) -> AsyncGenerator[Proxy]:
    """An echo service behind a proxy, on whatever loop runs."""
    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()[:2]
    try:
        async with Proxy((host, port), framing=framing, seed=seed) as proxy:
            yield proxy
    finally:
        server.close()
        while WRITERS:
            WRITERS.pop().close()
        if isinstance(asyncio.get_running_loop(), simulation.SimulationLoop):
            await simulation.advance(1)  # whatever was accepted last has begun, and can end


async def client(proxy: Proxy) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    address = proxy.address
    assert not isinstance(address, str)
    reader, writer = await asyncio.open_connection(*address)
    WRITERS.append(writer)
    return reader, writer


async def ask(proxy: Proxy, *pieces: bytes) -> bytes:
    """Send the pieces, say that it is all, and return what comes back."""
    reader, writer = await client(proxy)
    for piece in pieces:
        writer.write(piece)
        await writer.drain()
    writer.write_eof()
    answer = await reader.read(-1)
    writer.close()
    return answer


def simulated(main: Callable[[], Awaitable[object]], seed: int = 0) -> simulation.Played[None]:
    async def run() -> None:
        await main()

    played = simulation.play(run(), simulation.Schedule(policy="random", seed=seed))
    if played.error:
        raise played.error
    return played


TRAVELS = st.builds(
    Travel,
    latency=st.floats(0, 2),
    jitter=st.floats(0, 2),
    slice_bytes=st.none() | st.integers(1, 50),
    bandwidth=st.none() | st.floats(100, 1e6),
)


@given(
    data=st.binary(max_size=2000),
    travel=TRAVELS,
    framing=st.sampled_from([Raw, Resp, OURS, SHORT]),
    seed=st.integers(0, 9),
)
def test_whatever_delays_and_slices_the_bytes_that_come_are_those_that_went(
    data: bytes, travel: Travel, framing: Framing, seed: int
) -> None:
    async def main() -> None:
        async with echoed(framing, seed) as proxy:
            proxy.shape(travel)
            assert await ask(proxy, data[:700], data[700:]) == data

    simulated(main, seed)


@given(
    bodies=st.lists(st.binary(max_size=9), max_size=8),
    drop=st.floats(0, 0.3),
    duplicate=st.floats(0, 0.3),
    reorder=st.floats(0, 0.4),
    seed=st.integers(0, 99),
)
def test_once_healed_everything_passes_as_it_is_on_a_connection_that_was_spoiled(
    bodies: list[bytes], drop: float, duplicate: float, reorder: float, seed: int
) -> None:
    async def main() -> None:
        async with echoed(SHORT, seed) as proxy:
            proxy.spoil(Spoiling(drop=drop, duplicate=duplicate, reorder=reorder))
            reader, writer = await client(proxy)
            writer.write(framed(*bodies))
            await simulation.advance(1)
            await proxy.heal()
            await simulation.advance(1)
            writer.write(framed(b"after"))
            writer.write_eof()
            assert (await reader.read(-1)).endswith(framed(b"after"))
            assert await proxy.healed() is not None

    simulated(main, seed)


def test_probability_zero_leaves_the_bytes_and_the_trace_unchanged() -> None:
    async def calls(*, harm: bool) -> None:
        async with echoed(OURS, 3) as proxy:
            if harm:
                proxy.shape(Travel())
                proxy.spoil(Spoiling(drop=0.0, corrupt=0.0))
            assert await ask(proxy, b"some bytes" * 50) == b"some bytes" * 50
            assert not proxy.receipts.counts

    assert (
        simulated(lambda: calls(harm=False), 5).trace
        == simulated(lambda: calls(harm=True), 5).trace
    )


@pytest.mark.asyncio
@pytest.mark.parametrize("way", ["tcp", "unix"])
async def test_on_real_sockets_too_bytes_ends_and_refusals_pass(
    way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # a socket's whole path may be too long
    data = random.Random(1).randbytes(3 * WINDOW_BYTES)
    if way == "unix":
        server = await asyncio.start_unix_server(echo, "service")
        proxy = Proxy("service", listen="proxy")
    else:
        server = await asyncio.start_server(echo, "127.0.0.1", 0)
        host, port = server.sockets[0].getsockname()
        proxy = Proxy((host, port))
    async with proxy:
        address = proxy.address

        async def reach() -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
            if isinstance(address, str):
                return await asyncio.open_unix_connection(address)
            return await asyncio.open_connection(*address)

        reader, writer = await reach()
        proxy.shape(Travel(slice_bytes=5000))

        async def say() -> None:
            writer.write(data)
            await writer.drain()
            writer.write_eof()

        _, answer = await asyncio.gather(say(), reader.read(-1))
        assert answer == data
        writer.close()
        proxy.refuse()
        with pytest.raises(ConnectionRefusedError):
            await reach()
        await proxy.heal()
        assert proxy.address == address
        assert await proxy.healed() is not None
    server.close()


@pytest.mark.asyncio
async def test_a_reset_is_felt_as_one() -> None:
    async with echoed() as proxy:
        reader, writer = await client(proxy)
        writer.write(b"hello")
        assert await reader.readexactly(5) == b"hello"
        assert proxy.reset() == 1
        with pytest.raises(ConnectionResetError):
            await reader.read()
        writer.close()
        assert proxy.receipts.evidence("reset") == "reset, both: 1 times, 0 bytes"


def test_what_is_held_is_not_read_beyond_the_window_and_goes_on_in_its_order() -> None:
    async def main() -> None:
        ours, theirs = socket.socketpair()
        async with Proxy() as proxy:
            near, far = PairEnd(proxy.splice(theirs)), PairEnd(ours)
            proxy.hold("requests")
            sent = 0

            async def flood() -> None:
                nonlocal sent
                for number in range(64):
                    await near.write(bytes([number]) * 65536)
                    sent += 1
                near.end()

            flooding = asyncio.create_task(flood())
            await simulation.advance(1)
            (connection,) = proxy.connections
            assert sent < 20
            assert connection.pipes["requests"].waiting_bytes <= WINDOW_BYTES + 65536
            proxy.release("requests")
            got = bytearray()
            while data := await far.read():
                got += data
            await flooding
            assert bytes(got) == b"".join(bytes([number]) * 65536 for number in range(64))
            assert proxy.receipts.times("held") == proxy.receipts.times("released") == 1
            far.close()
            near.close()

    simulated(main)


DONE = {
    "drop": framed(b"b", b"c"),
    "duplicate": framed(b"a", b"a", b"b", b"c"),
    "reorder": framed(b"b", b"a", b"c"),
}


@pytest.mark.parametrize("what", DONE)
def test_one_frame_is_spoiled_and_told_and_the_next_ones_pass(what: str) -> None:
    async def main() -> None:
        async with echoed(SHORT) as proxy:
            proxy.spoil(Spoiling(**{what: 1.0, "most": 1}), "requests")  # type: ignore[arg-type]
            answer = await ask(proxy, framed(b"a", b"b", b"c")[:4], framed(b"a", b"b", b"c")[4:])
            assert answer == DONE[what]
            assert proxy.receipts.counts[what, "requests"] == 1
            assert proxy.receipts.last[0].length == 3

    simulated(main)


def test_a_corrupted_frame_differs_in_one_bit_and_only_within_itself() -> None:
    async def main() -> None:
        async with echoed(SHORT) as proxy:
            proxy.spoil(Spoiling(corrupt=1.0, most=1, after=1), "replies")
            sent = framed(b"a" * 5, b"b" * 5, b"c" * 5)
            got = await ask(proxy, sent)
            bits = [(a ^ b).bit_count() for a, b in zip(sent, got, strict=True)]
            assert sum(bits) == 1
            assert sum(bits[7:14]) == 1

    simulated(main)


def test_a_request_is_done_and_its_reply_lost_with_the_connection() -> None:
    """So the caller cannot know, and what it tries again is in flight twice."""

    async def main() -> None:
        async with echoed(SHORT) as proxy:
            proxy.spoil(Spoiling(cut=1.0, most=1, after=1), "requests")
            reader, writer = await client(proxy)
            writer.write(framed(b"a"))
            assert await reader.readexactly(3) == framed(b"a")
            (connection,) = proxy.connections
            writer.write(framed(b"b"))
            with contextlib.suppress(ConnectionResetError):
                assert await reader.read() == b""
            await simulation.advance(1)
            assert connection.pipes["requests"].written_bytes == 6
            assert proxy.receipts.times("cut") == 1
            writer.close()

    simulated(main)


def test_a_half_open_connection_is_silent_until_it_is_healed_and_then_reset() -> None:
    async def main() -> None:
        async with echoed() as proxy:
            reader, writer = await client(proxy)
            writer.write(b"x")
            assert await reader.readexactly(1) == b"x"
            proxy.half_open("server")
            writer.write(b"y")
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(reader.read(), 60)
            await proxy.heal()
            with pytest.raises(ConnectionResetError):
                await reader.read()

    simulated(main)


def test_a_blackhole_swallows_and_what_was_torn_is_reset_by_the_heal() -> None:
    async def main() -> None:
        async with echoed() as proxy:
            reader, writer = await client(proxy)
            proxy.blackhole("requests")
            writer.write(b"lost")
            await simulation.advance(1)
            assert proxy.receipts.amounts["swallowed", "requests"] == 4
            assert await proxy.healed() is None
            await proxy.heal()
            with contextlib.suppress(ConnectionResetError):
                assert await asyncio.wait_for(reader.read(), 10) == b""
            assert await ask(proxy, b"new") == b"new"

    simulated(main)


def test_half_close_and_a_limit_end_a_direction_where_they_should() -> None:
    async def main() -> None:
        async with echoed() as proxy:
            reader, writer = await client(proxy)
            await simulation.advance(1)
            assert proxy.half_close("replies") == 1
            assert await reader.read() == b""
            writer.close()
            await proxy.heal()
            proxy.shape(Travel(limit_bytes=10), "replies")
            assert await ask(proxy, b"0123456789abcdef") == b"0123456789"

    simulated(main)


def test_a_new_connection_is_as_harmed_as_the_others_and_one_can_be_chosen() -> None:
    async def main() -> None:
        async with echoed() as proxy:
            proxy.hold()
            assert proxy.connections == []
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(ask(proxy, b"x"), 5)
            await proxy.heal()
            pairs = [await client(proxy), await client(proxy)]
            await simulation.advance(1)
            numbers = [connection.number for connection in proxy.connections][-2:]
            proxy.hold(only=numbers[:1])
            for _, writer in pairs:
                writer.write(b"y")
            assert await pairs[1][0].readexactly(1) == b"y"
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(pairs[0][0].read(1), 5)

    simulated(main)


def test_a_service_that_is_not_there_is_a_reset_for_its_clients() -> None:
    async def main() -> None:
        async with Proxy(("127.0.0.1", 9)) as proxy:
            reader, _ = await client(proxy)
            with pytest.raises(ConnectionResetError):
                await reader.read()
            assert proxy.receipts.times("unreachable") == 1
            assert await proxy.healed() is None

    simulated(main)


def test_groups_are_cut_off_from_each_other_and_from_nobody_else() -> None:
    async def main() -> None:
        async with echoed() as one, echoed() as two:
            groups = Groups({("a", "b"): one, ("a", "c"): two})
            assert groups.partition(["a", "c"], ["b"]) == [("a", "b")]
            assert await ask(two, b"x") == b"x"
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(ask(one, b"x"), 5)
            await groups.heal()
            assert await groups.healed() is not None
            with pytest.raises(UsageError, match="groups with a proxy between them"):
                groups.partition(["b"], ["c"])
            with pytest.raises(UsageError, match="in two"):
                groups.partition(["a"], ["a", "b"])

    simulated(main)


def test_a_swizzle_clogs_some_and_lets_all_of_them_go() -> None:
    async def main() -> None:
        async with echoed() as one, echoed() as two:
            chosen = await Groups({("a", "b"): one, ("a", "c"): two}).swizzle(random.Random(4))
            assert chosen
            assert await ask(one, b"x") == b"x" == await ask(two, b"x")

    simulated(main)


REDIS = (
    b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n"
    b"$-1\r\n"
    b"+OK\r\n"
    b"%1\r\n+a\r\n*0\r\n"
    b"|1\r\n+t\r\n:9\r\n:1\r\n"
    b"PING\r\n"
)


@pytest.mark.parametrize(
    ("framing", "stream", "frames"),
    [
        (Raw, b"abc", 1),
        (SHORT, framed(b"", b"a", b"bc"), 3),
        (Resp, REDIS, 6),
        (OURS, protocol.HEADER.pack(b"pf", 1, 21, 0, 3) + b"abc", 1),
        (LengthPrefixed(header_bytes=5, at=1, counts_bytes=4), b"Q\0\0\0\x07abc", 1),
    ],
)
def test_a_frame_ends_where_it_does_however_it_comes(
    framing: Framing, stream: bytes, frames: int
) -> None:
    for step in (1, 2, 3, len(stream)):
        cutter = framing()
        pieces = [
            piece
            for at in range(0, len(stream), step)
            for piece in cutter.cut(stream[at : at + step])
        ]
        assert b"".join(piece for piece, _ in pieces) == stream
        assert framing is Raw or sum(ends for _, ends in pieces) == frames
        assert cutter.foreign is None


@pytest.mark.parametrize(
    ("framing", "strange"),
    [(OURS, b"GET / HTTP/1.1"), (Resp, b"$x\r\n"), (Resp, b"x" * 70_000)],
)
def test_what_is_no_frame_passes_and_is_told(framing: Framing, strange: bytes) -> None:
    cutter = framing()

    assert b"".join(piece for piece, _ in cutter.cut(strange)) == strange
    assert cutter.foreign is not None


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Spoiling(drop=0.7, corrupt=0.7), "together at most 1"),
        (lambda: Spoiling(rewrite=0.1), "instead"),
        (lambda: Travel(latency=-1), "from 0 on"),
        (lambda: Travel(bandwidth=0), "above 0"),
        (lambda: LengthPrefixed(header_bytes=2, at=1), "within 2 bytes"),
        (lambda: Proxy().address, "upstream"),
    ],
)
def test_what_cannot_be_is_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        make()
