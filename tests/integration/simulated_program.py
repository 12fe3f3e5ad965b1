"""A program for fresh processes: plays one plan, prints the hash of its trace and the hash of its history.

    python simulated_program.py actors|pool SCHEDULE_AS_JSON

`actors` needs the standard library only; `pool` is our own pool on the mock layer. Both do what makes
runs differ where a loop lets them: sets of tasks and futures, cancellations, time-outs, chance,
garbage in cycles, and in the first a lossy network.
"""

import asyncio
import contextlib
import hashlib
import json
import sys
from typing import Any

from poolproof.simulation import Link, Schedule, current, from_json, play

History = list[tuple[Any, ...]]


async def actors() -> History:
    """Have clients ask actors over a network, some of them in vain."""
    loop, history = current(), list[tuple[Any, ...]]()
    rng = loop.streams.user

    def note(*what: object) -> None:
        history.append((loop.now_ns, *what))

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while line := await reader.readline():
                await asyncio.sleep(rng.choice((0.0, 0.001, 0.02)))
                writer.write(line.upper())
        writer.close()

    async def ask(client: int) -> None:
        reader, writer = await asyncio.open_connection("server", 80)
        for number in range(5):
            writer.write(f"{client} {number}\n".encode())
            try:
                note("answer", await asyncio.wait_for(reader.readline(), 0.05))
            except TimeoutError:
                note("late", client, number)
        writer.close()

    loop.network.shape(Link(latency=(0.001, 0.01), loss=0.05, pieces=2))
    with loop.network.at("server"):
        server = await asyncio.start_server(answer, port=80)
    tasks = {asyncio.create_task(ask(client), name=f"client-{client}") for client in range(8)}
    futures = {loop.create_future() for _ in range(20)}
    for number, future in enumerate(futures):
        loop.call_later(number / 1000, future.set_result, number)
    while tasks:
        done, tasks = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        note("done", *(task.get_name() for task in done))
        cycle: list[Any] = []
        cycle.append(cycle)
    note("futures", *(future.result() for future in futures))
    server.close()
    return history


async def pool() -> History:
    """Submit to a pool whose workers fail and end now and then; its own ledger is the history."""
    from poolproof.pool.pool import Pool  # noqa: PLC0415 - needs more than the standard library
    from poolproof.pool.settings import PoolSettings  # noqa: PLC0415
    from poolproof.transport.base import WorkerSpec  # noqa: PLC0415
    from poolproof.transport.mock import MockTransport  # noqa: PLC0415

    settings = PoolSettings(size=3, overflow=2, timeout=2.0, retry_base=0.01)
    async with Pool(WorkerSpec(target=Careless), MockTransport(), settings) as made:
        history: History = []
        unfollow = made.ledger.follow(history.extend)
        jobs = {
            made.submit(number, session=str(number % 4), idempotent=True) for number in range(80)
        }
        next(iter(jobs)).cancel()
        await asyncio.wait(jobs)
        await made.replace_all()
        unfollow()
    assert all(job.cancelled() or job.exception() is None or job.number for job in jobs)
    return history


class Careless:
    """A worker that takes virtual time, raises now and then, and ends now and then."""

    async def handle(self, request: int) -> int:
        """Return the request, mostly."""
        await asyncio.sleep(0.01 * (request % 5))
        if request % 7 == 3:
            raise ValueError(request)
        if request % 31 == 30:
            raise SystemExit(1)
        return request


def hashes(name: str, schedule: Schedule) -> tuple[str, str]:
    """Return the hash of the trace and of the history of one run."""
    played = play({"actors": actors, "pool": pool}[name](), schedule)
    if played.error is not None:
        raise played.error
    assert played.value
    return played.trace, hashlib.sha256(repr(played.value).encode()).hexdigest()[:32]


if __name__ == "__main__":
    print(*hashes(sys.argv[1], from_json(json.loads(sys.argv[2]))))  # noqa: T201 - its answer
