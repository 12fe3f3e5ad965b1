"""Finds concurrency bugs of published asyncio packages in simulation, and tells each as a story.

usage: python scripts/findings_races.py [NAME...]    in an environment with the packages that are named in
docs/findings_races.md; a package that is not there is said to be missing. Exit code: 0 if every bug was found.
"""

import asyncio
import contextlib
import importlib.metadata
import sys
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Final

from poolproof.chaos.orders import shrink_order
from poolproof.chaos.shrink import CONFIRMATIONS
from poolproof.simulation import Played, Schedule, play

MOST_SEEDS: Final = 1000
POLICIES: Final[tuple[Any, ...]] = ("fifo", "random", "pct", "delay")


class BrokenPromiseError(Exception):
    """What the package promises did not hold."""


class Told:
    """What happened in one run, in the words of the people in it."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        """Add a line."""
        self.lines.append(text)


Scene = Callable[[Told], Coroutine[Any, Any, None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One scene, the package that it tries, and the public report of the bug."""

    name: str
    package: str
    report: str
    scene: Scene

    def play(self, schedule: Schedule) -> tuple[Played[None], list[str]]:
        """Run the scene once; return what became of it and what was told."""
        told = Told()
        return play(self.scene(told), schedule), told.lines


async def turns(number: int) -> None:
    """Let the others run, so many times."""
    for _ in range(number):
        await asyncio.sleep(0)


async def serve_pages(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer GET in the protocol of Redis, one command after the other."""
    with contextlib.suppress(asyncio.CancelledError):  # the end of the scene
        while line := await reader.readline():
            words: list[str] = []
            for _ in range(int(line[1:])):
                size = int((await reader.readline())[1:])
                words.append((await reader.readexactly(size + 2))[:-2].decode())
            page = f"page of {words[1]}".encode()
            writer.write(b"$%d\r\n%s\r\n" % (len(page), page))


async def redis_scene(told: Told) -> None:
    """Alice closes her browser while her page is being fetched; then Bob asks for his."""
    server = await asyncio.start_server(serve_pages, "localhost", 6379)
    redis = import_module("redis.asyncio").Redis(host="localhost", port=6379)

    async def visit(name: str) -> None:
        told.say(f"{name} asks for 'page of {name}'")
        page = (await redis.get(name)).decode()
        told.say(f"{name} is shown {page!r}")
        if page != f"page of {name}":
            raise BrokenPromiseError(f"{name} was shown {page!r}")

    await visit("Carol")  # so that the pool has a connection
    alice = asyncio.create_task(visit("Alice"), name="Alice")

    async def close_the_browser() -> None:
        await turns(2)
        told.say(
            "Alice closes her browser: "
            + ("her request is cancelled" if alice.cancel() else "it was over")
        )

    await asyncio.wait([alice, asyncio.create_task(close_the_browser(), name="Alice's browser")])
    try:
        await visit("Bob")
    finally:
        server.close()
        await redis.close()


def queue_scene(make: Callable[[], Any]) -> Scene:
    """Return the scene of a queue: what is put in is served, or still in it."""

    async def scene(told: Told) -> None:
        """One of two workers is sent home while orders come in."""
        queue, served = make(), list[int]()

        async def work(name: str) -> None:
            while True:
                order = await queue.get()
                told.say(f"{name} takes order {order}")
                served.append(order)

        workers = [
            asyncio.create_task(work(name), name=name)
            for name in ("the day shift", "the night shift")
        ]

        async def take_orders() -> None:
            for order in range(3):
                await turns(3)
                await queue.put(order)
                told.say(f"order {order} is put into the queue")

        async def send_home() -> None:
            await turns(5)
            told.say("the day shift is sent home: its task is cancelled")
            workers[0].cancel()

        await asyncio.gather(
            asyncio.create_task(take_orders(), name="the counter"),
            asyncio.create_task(send_home(), name="the boss"),
        )
        await asyncio.sleep(1)
        left = [queue.get_nowait() for _ in range(queue.qsize())]
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
        if lost := sorted({0, 1, 2} - {*served, *left}):
            told.say(f"order {lost[0]} is neither served nor in the queue")
            raise BrokenPromiseError(f"order {lost[0]} is lost")

    return scene


def tornado_queue() -> Any:
    """Return a queue of tornado."""
    return import_module("tornado.queues").Queue()


async def anyio_scene(told: Told) -> None:
    """Bob, who waits for Alice's place, gives up while she leaves; then Carol comes."""
    place = import_module("anyio").Semaphore(1)

    async def visit(name: str, pause: int, stay: int) -> None:
        await turns(pause)
        told.say(f"{name} comes")
        async with place:
            told.say(f"{name} has the place")
            await turns(stay)
            told.say(f"{name} leaves")

    guests = [
        asyncio.create_task(visit("Alice", 0, 6), name="Alice"),
        asyncio.create_task(visit("Bob", 3, 1), name="Bob"),
        asyncio.create_task(visit("Carol", 12, 1), name="Carol"),
    ]

    async def give_up() -> None:
        await turns(6)
        told.say("Bob gives up: his task is cancelled")
        guests[1].cancel()

    giving_up = asyncio.create_task(give_up(), name="Bob's phone")
    _, waiting = await asyncio.wait([*guests, giving_up], timeout=60)
    names = [task.get_name() for task in waiting]
    for task in waiting:
        task.cancel()
    await asyncio.gather(*guests, return_exceptions=True)
    if names:
        told.say(f"{names[0]} still waits, a minute after everybody has left")
        raise BrokenPromiseError(f"{names[0]} waits for ever for a place that is free")


async def serve_http(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer every request with two letters, on a connection that is kept."""
    with contextlib.suppress(asyncio.CancelledError, ConnectionError):
        while await reader.readline():
            while (await reader.readline()).strip():
                pass
            await turns(2)
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    writer.close()


def http_connector() -> Any:
    """Return aiohttp's pool of one connection; how it connects is ours: its resolver needs threads."""
    base: Any = import_module("aiohttp.connector").BaseConnector

    class OneConnection(base):  # type: ignore[misc]
        async def _create_connection(self, *_: object) -> Any:
            loop = asyncio.get_running_loop()
            return (await loop.create_connection(self._factory, "localhost", 80))[1]

    return OneConnection(limit=1)


async def http_scene(told: Told) -> None:
    """Three share one connection; the second gives up while the first hands it on."""
    server = await asyncio.start_server(serve_http, "localhost", 80)
    async with import_module("aiohttp").ClientSession(connector=http_connector()) as session:

        async def visit(name: str, pause: int) -> None:
            await turns(pause)
            told.say(f"{name} asks")
            async with session.get(f"http://localhost/{name}") as answer:
                await answer.read()
            told.say(f"{name} is answered")

        visits = [
            asyncio.create_task(visit(name, pause), name=name)
            for name, pause in (("Alice", 0), ("Bob", 2), ("Carol", 4))
        ]

        async def give_up() -> None:
            await turns(15)
            told.say(
                "Bob gives up: " + ("his task is cancelled" if visits[1].cancel() else "too late")
            )

        giving_up = asyncio.create_task(give_up(), name="Bob's phone")
        _, waiting = await asyncio.wait([*visits, giving_up], timeout=60)
        names = [task.get_name() for task in waiting]
        for task in waiting:
            task.cancel()
        await asyncio.gather(*visits, return_exceptions=True)
    server.close()
    if names:
        told.say(f"{names[0]} still waits, a minute after everybody has left")
        raise BrokenPromiseError(f"{names[0]} waits for a connection that nobody has")


FINDINGS: Final = (
    Finding(
        name="redis",
        package="redis",
        report="redis/redis-py#2624, CVE-2023-28859",
        scene=redis_scene,
    ),
    Finding(
        name="tornado",
        package="tornado",
        report="tornadoweb/tornado#2826",
        scene=queue_scene(tornado_queue),
    ),
    Finding(name="anyio", package="anyio", report="agronholm/anyio#1145", scene=anyio_scene),
    Finding(name="aiohttp", package="aiohttp", report="aio-libs/aiohttp#9670", scene=http_scene),
)
# The same scene on a queue that keeps its promise: nothing may be found.
CONTROL: Final = Finding(name="control", package="", report="", scene=queue_scene(asyncio.Queue))


def first(finding: Finding, policy: Any, most: int) -> tuple[int, Played[None]] | None:
    """Return the first seed of a policy that breaks the promise, and its run."""
    length = max(finding.play(Schedule())[0].steps, 1)
    for seed in range(1 if policy == "fifo" else most):
        played, _ = finding.play(Schedule(policy=policy, seed=seed, length=length))
        if isinstance(played.error, BrokenPromiseError):
            return seed, played
    return None


def tell(finding: Finding) -> bool:
    """Search, shrink, and print the story; return whether the bug was found."""
    begun = time.perf_counter()
    version = importlib.metadata.version(finding.package)
    print(f"\n## {finding.package} {version} ({finding.report})\n")
    found = {policy: first(finding, policy, MOST_SEEDS) for policy in POLICIES}
    seeds = ", ".join(f"{policy} {run[0] + 1 if run else '-'}" for policy, run in found.items())
    print(f"seeds to find: {seeds}")
    runs = [run[1] for run in found.values() if run]
    if not runs:
        print("not found")
        return False
    shortest = min(runs, key=lambda played: len(played.deviations))
    shrunk = shrink_order(lambda schedule: finding.play(schedule)[0], shortest)
    small = shrunk.plan
    print(
        f"deviations from first-in-first-out: {len(shortest.deviations)} as found, shrunk to "
        f"{list(small.deviations)}; {shrunk.again} of {CONFIRMATIONS} repeats; "
        f"{time.perf_counter() - begun:.1f} s\n"
    )
    for title, schedule in (("first in, first out", Schedule()), ("with these deviations", small)):
        played, lines = finding.play(schedule)
        print(f"{title}:")
        print("\n".join(f"  {line}" for line in lines))
        print(f"  -> {played.error or 'as promised'}")
    return shrunk.confirmed


def main(names: list[str]) -> int:
    """Tell every finding, or those that are named; return 1 if one was not found."""
    missed = 0
    for finding in FINDINGS:
        if names and finding.name not in names:
            continue
        try:
            missed += not tell(finding)
        except ModuleNotFoundError as missing:
            print(f"\n## {finding.package}: {missing}; see docs/findings_races.md")
            missed += 1
    silent = not any(first(CONTROL, policy, MOST_SEEDS) for policy in POLICIES)
    print(
        f"\ncontrol, the same orders through asyncio.Queue: {'nothing found' if silent else 'ACCUSED'}"
    )
    return 1 if missed or not silent else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
