"""Streams and datagrams in memory: late, lost, held, half-open or unheard, and seeded in all of it."""

import asyncio
import socket
from collections.abc import Coroutine
from typing import Any

import pytest

from poolproof.errors import UsageError
from poolproof.simulation import Link, Network, Schedule, advance, current, play, run
from poolproof.simulation.connection import Connection
from poolproof.simulation.network import RETRANSMIT_NS

pytestmark = pytest.mark.unit


async def _shout(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer each line in capitals, until the end or a break."""
    try:
        while line := await reader.readline():
            writer.write(line.upper())
            await writer.drain()
    except ConnectionError:
        pass
    finally:
        writer.close()


async def _connected(
    link: Link | None = None,
) -> tuple[Network, Any, asyncio.StreamReader, asyncio.StreamWriter]:
    """Return the network, a server on host `s`, and the client's two ends."""
    network = current().network
    with network.at("s"):
        server = await asyncio.start_server(_shout, port=80)
    network.shape(link or Link(latency=(0.01, 0.01)))
    reader, writer = await asyncio.open_connection("s", 80)
    return network, server, reader, writer


def test_lines_go_there_and_back_in_the_time_of_the_link() -> None:
    async def main() -> tuple[bytes, float]:
        _, server, reader, writer = await _connected()
        begun = current().time()
        writer.write(b"hello\n")
        answer = await reader.readline()
        took = current().time() - begun
        writer.close()
        await writer.wait_closed()
        server.close()
        await server.wait_closed()
        return answer, took

    answer, took = run(main())

    assert answer == b"HELLO\n"
    assert took == pytest.approx(0.02)


def test_a_host_reaches_itself_at_once() -> None:
    async def main() -> float:
        server = await asyncio.start_server(_shout)
        current().network.shape(Link(latency=(1, 1)))
        _, port = server.sockets[0].getsockname()
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"x\n")
        await reader.readline()
        writer.close()
        return current().time()

    assert run(main()) == 0


@pytest.mark.parametrize("seed", range(10))
def test_a_stream_keeps_its_bytes_whatever_the_link_does(seed: int) -> None:
    sent = bytes(range(256)) * 20

    async def main() -> bytes:
        _, _, reader, writer = await _connected(Link(latency=(0, 0.1), loss=0.3, pieces=9))
        for start in range(0, len(sent), 100):
            writer.write(sent[start : start + 100].hex().encode())
        writer.write(b"\n")
        line = await reader.readline()
        writer.close()
        return bytes.fromhex(line.decode())

    assert run(main(), schedule=Schedule("random", seed)) == sent


def test_a_lost_segment_comes_after_the_retransmission() -> None:
    async def main() -> int:
        network, _, reader, writer = await _connected(Link())
        network.shape(Link(loss=0.999), source="localhost", target="s")
        begun = current().now_ns
        writer.write(b"x\n")
        await reader.readline()
        writer.close()
        assert network.counts["lost", "localhost", "s"] > 0
        return current().now_ns - begun

    took_ns = run(main())

    assert took_ns > 0
    assert took_ns % RETRANSMIT_NS == 0


def test_a_partition_holds_streams_and_heals_in_order() -> None:
    async def main() -> list[bytes]:
        network, _, reader, writer = await _connected()
        writer.write(b"under way\n")
        network.partition(["localhost"], ["s"])
        writer.write(b"a\n")
        writer.write(b"b\n")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.readline(), 60)
        assert network.held == 3
        network.heal()
        lines = [await reader.readline() for _ in range(3)]
        assert network.held == 0
        writer.close()
        return lines

    assert run(main()) == [b"UNDER WAY\n", b"A\n", b"B\n"]


def test_one_direction_can_be_held_alone() -> None:
    async def main() -> bytes:
        network, _, reader, writer = await _connected()
        network.hold("s", "localhost")
        writer.write(b"a\n")
        await advance(1)
        assert network.counts["held", "s", "localhost"] == 1
        assert network.counts["held", "localhost", "s"] == 0
        network.release("s", "localhost")
        line = await reader.readline()
        writer.close()
        return line

    assert run(main()) == b"A\n"


def test_a_crash_is_silent_and_after_the_restart_the_connection_is_refused() -> None:
    async def main() -> None:
        network, _, reader, writer = await _connected()
        network.crash("s")
        assert network.silent("s")
        writer.write(b"a\n")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.readline(), 3600)
        network.restart("s")
        writer.write(b"b\n")
        with pytest.raises(ConnectionResetError):
            await reader.readline()
        assert network.counts["unheard", "localhost", "s"] == 1
        writer.close()

    assert play(_left_open(main())).error is None


def test_a_half_open_end_is_told_nothing_until_it_writes() -> None:
    async def main() -> None:
        network, _, reader, writer = await _connected()
        network.half_open("s", "localhost")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.readline(), 3600)
        writer.write(b"a\n")
        with pytest.raises(ConnectionResetError):
            await reader.readline()
        writer.close()

    assert play(_left_open(main())).error is None


def test_a_silent_peer_stops_the_writer() -> None:
    async def main() -> None:
        network, _, _, writer = await _connected()
        network.hold("localhost", "s")
        writer.write(bytes(100_000))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(writer.drain(), 3600)
        network.heal()
        await writer.drain()
        writer.transport.abort()

    run(main())


def test_nobody_there_is_refused_and_an_unknown_host_has_no_address() -> None:
    async def main() -> None:
        _, server, _, writer = await _connected()
        with pytest.raises(ConnectionRefusedError, match=r"nobody at \('s', 81\)"):
            await asyncio.open_connection("s", 81)
        with pytest.raises(
            socket.gaierror, match=r"no host 'elsewhere' here: listen there, or name"
        ):
            await asyncio.open_connection("elsewhere", 80)
        with pytest.raises(OSError, match="address already in use in the simulation: s 80"):
            await asyncio.start_server(_shout, "s", 80)
        server.close()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("s", 80)
        writer.close()

    run(main())


def test_a_silent_host_is_given_up_after_the_time_of_linux() -> None:
    async def main() -> float:
        network, _, _, writer = await _connected()
        network.crash("s")
        begun = current().time()
        with pytest.raises(TimeoutError):
            await asyncio.open_connection("s", 80)
        writer.close()
        return current().time() - begun

    assert play(_left_open(main())).value == 127


def test_half_closing_leaves_the_other_direction_open() -> None:
    async def main() -> bytes:
        _, _, reader, writer = await _connected()
        writer.write(b"last")
        writer.write_eof()
        assert writer.can_write_eof()
        with pytest.raises(RuntimeError, match="after write_eof"):
            writer.write(b"more")
        answer = await reader.read()
        writer.close()
        return answer

    assert run(main()) == b"LAST"


def test_an_abort_resets_the_other_end_and_a_server_can_end_its_clients() -> None:
    async def main() -> None:
        _, server, reader, writer = await _connected()
        await advance(1)
        server.abort_clients()
        with pytest.raises(ConnectionResetError):
            await reader.readline()
        writer.close()
        reader, writer = await asyncio.open_connection("s", 80)
        await advance(1)
        server.close_clients()
        assert await reader.read() == b""
        writer.close()
        server.close()
        await server.wait_closed()
        assert server.sockets == ()
        assert not server.is_serving()

    run(main())


def test_a_paused_reader_gets_everything_afterwards_in_order() -> None:
    async def main() -> bytes:
        network = current().network
        got = bytearray()

        class Slow(asyncio.Protocol):
            transport: Any

            def connection_made(self, transport: Any) -> None:
                self.transport = transport
                transport.pause_reading()

            def data_received(self, data: bytes) -> None:
                got.extend(data)

        loop, accepted = asyncio.get_running_loop(), Slow()
        with network.at("s"):
            server = await loop.create_server(lambda: accepted, port=80)
        _, writer = await asyncio.open_connection("s", 80)
        writer.writelines([b"a", b"b"])
        writer.write_eof()
        await advance(1)
        assert not got
        assert not accepted.transport.is_reading()
        accepted.transport.resume_reading()
        await advance(1)
        writer.close()
        server.close()
        return bytes(got)

    assert run(main()) == b"ab"


def test_a_buffered_protocol_is_filled() -> None:
    class Small(asyncio.BufferedProtocol):
        def __init__(self) -> None:
            self.space, self.got = bytearray(3), bytearray()

        def get_buffer(self, sizehint: int) -> bytearray:  # noqa: ARG002 - asyncio's name
            return self.space

        def buffer_updated(self, nbytes: int) -> None:
            self.got += self.space[:nbytes]

    async def main() -> bytes:
        loop, accepted = asyncio.get_running_loop(), Small()
        await loop.create_unix_server(lambda: accepted, "sock")
        transport, _ = await loop.create_unix_connection(asyncio.Protocol, "sock")
        transport.write(b"seven b")
        await advance(1)
        transport.close()
        return bytes(accepted.got)

    assert run(main()) == b"seven b"


def test_a_transport_tells_its_addresses_and_limits() -> None:
    async def main() -> None:
        _, _, _, writer = await _connected()
        transport: Any = writer.transport
        assert isinstance(transport, Connection)
        assert writer.get_extra_info("peername") == ("s", 80)
        assert writer.get_extra_info("sockname")[0] == "localhost"
        transport.set_write_buffer_limits(high=100)
        assert transport.get_write_buffer_limits() == (25, 100)
        writer.write(b"x" * 50)
        assert transport.get_write_buffer_size() == 50
        protocol = transport.get_protocol()
        transport.set_protocol(protocol)
        writer.close()
        writer.write(b"dropped")
        assert transport.is_closing()

    run(main())


class Mail(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self.got: list[tuple[bytes, Any]] = []

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.got.append((data, addr))


async def _mailed(link: Link, number: int) -> list[int]:
    """Send that many numbers from one host to another; return them as they came."""
    loop, network = current(), current().network
    with network.at("s"):
        heard, mail = await loop.create_datagram_endpoint(Mail, local_addr=(None, 53))
    sender, _ = await loop.create_datagram_endpoint(asyncio.DatagramProtocol, remote_addr=("s", 53))
    network.shape(link)
    for one in range(number):
        sender.sendto(str(one).encode())
    await advance(60)
    sender.close()
    heard.close()
    assert all(host == "localhost" for _, (host, _) in mail.got)
    return [int(data) for data, _ in mail.got]


def test_datagrams_arrive_in_order_on_a_plain_link() -> None:
    assert run(_mailed(Link(latency=(0.01, 0.01)), 100)) == list(range(100))


@pytest.mark.parametrize(
    ("link", "what"),
    [
        (Link(loss=0.5), "lost"),
        (Link(duplicate=0.5), "duplicated"),
        (Link(latency=(0.01, 0.01), reorder=0.3), "reordered"),
    ],
)
def test_a_link_loses_doubles_and_reorders_datagrams_and_counts_it(link: Link, what: str) -> None:
    async def main() -> tuple[list[int], int]:
        got = await _mailed(link, 200)
        return got, current().network.counts[what, "localhost", "s"]

    got, counted = run(main())

    assert 20 < counted < 180
    assert {
        "lost": len(got) == 200 - counted,
        "duplicated": len(got) == 200 + counted,
        "reordered": sorted(got) == list(range(200)) and got != sorted(got),
    }[what]


def test_a_partition_loses_datagrams_and_a_hold_keeps_them() -> None:
    async def main() -> tuple[list[bytes], int]:
        loop, network = current(), current().network
        with network.at("s"):
            heard, mail = await loop.create_datagram_endpoint(Mail, local_addr=(None, 53))
        sender, _ = await loop.create_datagram_endpoint(asyncio.DatagramProtocol)
        with pytest.raises(ValueError, match="expected an address to send to"):
            sender.sendto(b"nowhere")
        network.partition({"localhost"}, {"s"})
        sender.sendto(b"lost", ("s", 53))
        network.heal()
        network.hold("localhost", "s")
        sender.sendto(b"kept", ("s", 53))
        await advance(60)
        assert mail.got == []
        network.release("localhost", "s")
        await advance(60)
        sender.sendto(b"to nobody", ("s", 54))
        heard.abort()
        sender.close()
        return [data for data, _ in mail.got], network.counts["lost", "localhost", "s"]

    assert run(main()) == ([b"kept"], 1)


@pytest.mark.parametrize("share", ["loss", "reorder", "duplicate"])
def test_a_fault_of_share_zero_leaves_the_trace_as_it_is(share: str) -> None:
    latency = (0.001, 0.05)
    plain = play(_mailed(Link(latency=latency), 50))
    zero = play(_mailed(Link(latency=latency, **{share: 0.0}), 50))  # type: ignore[arg-type]
    some = play(_mailed(Link(latency=latency, **{share: 0.5}), 50))  # type: ignore[arg-type]

    assert zero.trace == plain.trace
    assert some.value != plain.value


def test_the_seed_decides_what_the_network_does() -> None:
    link = Link(latency=(0.001, 0.05), loss=0.3, reorder=0.3)
    values = [run(_mailed(link, 50), schedule=Schedule(seed=seed)) for seed in (1, 1, 2)]

    assert values[0] == values[1] != values[2]


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"loss": 1.0}, "a loss below 1"),
        ({"reorder": 1.5}, "expected shares from 0 to 1"),
        ({"latency": (2.0, 1.0)}, r"expected latency \(least, most\)"),
        ({"pieces": 0}, "expected at least 1 piece"),
    ],
)
def test_a_link_that_cannot_be_is_refused(options: Any, problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        Link(**options)


def test_half_a_direction_is_refused() -> None:
    async def main() -> None:
        current().network.shape(Link(), source="s")

    with pytest.raises(UsageError, match="expected source and target or neither"):
        run(main())


async def _left_open(main: Coroutine[Any, Any, Any]) -> Any:
    """Run `main`, then end the handlers that wait at an end which nobody will tell anything."""
    current().set_exception_handler(lambda *_: None)
    value = await main
    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        task.cancel()
    return value
