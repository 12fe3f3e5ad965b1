"""Nobody reads real time or unseeded randomness under simulation: the pool's own code least of all."""

import asyncio
import datetime as dt
import logging
import os
import random
import secrets
import time
import uuid
from time import monotonic as bound_long_before
from typing import Any

import pytest

from poolproof import simulation
from poolproof.pool.pool import Pool
from poolproof.pool.settings import PoolSettings
from poolproof.simulation import Link, RealWorldError, Schedule, current
from poolproof.simulation.trespass import watched
from poolproof.stack import build_test_env, start_stack
from poolproof.supervision import ChildSpec, SupervisorSpec, start_supervisor
from poolproof.sync import synchronize
from poolproof.transport.base import WorkerSpec
from poolproof.transport.bridge import BridgeTransport
from poolproof.transport.mock import MockTransport

pytestmark = pytest.mark.unit

READS: Any = {
    "time.time": time.time,
    "time.monotonic": bound_long_before,
    "time.perf_counter_ns": time.perf_counter_ns,
    "time.sleep": lambda: time.sleep(0),
    "random.random": vars(random)["random"],
    "random.getrandbits": lambda: random.shuffle([1, 2, 3]),
    "os.urandom": uuid.uuid4,
    "os.urandom ": secrets.token_hex,
    "os.urandom  ": lambda: os.urandom(1),
    "datetime.now": dt.datetime.now,
    "date.today": dt.date.today,
}


async def calls(function: Any) -> None:
    function()


@pytest.mark.parametrize("name", READS)
def test_a_read_of_the_real_world_is_found_by_name_and_line(name: str) -> None:
    with pytest.raises(RealWorldError, match=r"take the time from the running loop") as caught:
        simulation.run(calls(READS[name]), strict=True)

    assert f"{name.strip()} at " in str(caught.value)


ALLOWED: Any = {
    "virtual time": lambda: current().time(),
    "the user's stream": lambda: current().streams.user.random() + 1,
    "a seeded generator": lambda: random.Random(3).random(),
    "a log record": lambda: logging.getLogger("poolproof.quiet").info("hello"),
    "a date that is given": lambda: dt.datetime.fromtimestamp(0, dt.UTC),
}


@pytest.mark.parametrize("name", ALLOWED)
def test_what_the_seed_decides_may_be_read(name: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)

    simulation.run(calls(ALLOWED[name]), strict=True)


def test_what_was_not_asked_for_is_not_refused() -> None:
    simulation.run(calls(time.time))


class Slow:
    """A worker that takes virtual time, fails now and then, and ends now and then."""

    async def handle(self, request: int) -> int:
        await asyncio.sleep(0.01 * (request % 5))
        if request % 7 == 3:
            raise ValueError(request)
        if request % 31 == 30:
            raise SystemExit(1)
        return request


async def a_pool(transport: Any) -> None:
    settings = PoolSettings(size=3, overflow=2, timeout=2.0, retry_base=0.01)
    async with Pool(WorkerSpec(target=Slow), transport, settings) as pool:
        jobs = [
            pool.submit(number, idempotent=True, session=str(number % 4)) for number in range(60)
        ]
        jobs[5].cancel()
        await asyncio.wait(jobs)
        async with pool.checkout() as lease:
            await lease.call(2)
        await pool.resize(2)
        await pool.replace_all()


async def on_mocks() -> None:
    await a_pool(MockTransport())


async def on_frames() -> None:
    await a_pool(BridgeTransport())


async def a_tree() -> None:
    async def child() -> None:
        await simulation.advance(1)
        raise ValueError

    root = await start_supervisor(SupervisorSpec(children=[ChildSpec(id="a", start=child)]))
    await simulation.advance(9)
    assert not root.alive


async def a_stack() -> None:
    async with await start_stack(
        build_test_env(Slow, layer="mock", test="t", breaker=True)
    ) as stack:
        await asyncio.wait([stack.submit(number) for number in range(20)])


async def rendezvous() -> None:
    await synchronize([asyncio.Event().wait, lambda: simulation.advance(1)], timeout=5)


async def a_network() -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.readline())
        writer.close()

    current().network.shape(Link(latency=(0.01, 0.1), loss=0.2, pieces=3))
    with current().network.at("s"):
        await asyncio.start_server(echo, port=80)
    reader, writer = await asyncio.open_connection("s", 80)
    writer.write(b"hello\n")
    assert await reader.readline() == b"hello\n"
    writer.close()


@pytest.mark.parametrize("policy", ["fifo", "random"])
@pytest.mark.parametrize("main", [on_mocks, on_frames, a_stack, a_tree, rendezvous, a_network])
def test_nothing_of_ours_reads_the_real_world(main: Any, policy: Any) -> None:
    simulation.run(main(), schedule=Schedule(policy, 1), strict=True)


def test_watching_puts_an_outer_profile_back() -> None:
    import sys  # noqa: PLC0415

    before = sys.getprofile()
    with watched():
        assert sys.getprofile() is not before

    assert sys.getprofile() is before
