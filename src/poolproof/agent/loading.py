"""A load as the owner is told of it: which generator drives the pool, with which work."""

import threading
from array import array
from collections.abc import Callable
from time import monotonic_ns as clock
from typing import Any

from poolproof.adapters.asyncio import AsyncioPool
from poolproof.adapters.base import Adapter, TargetProblem
from poolproof.agent import journal, operations
from poolproof.agent.declarations import OwnJob
from poolproof.agent.generator import (
    SOON_NS,
    Asked,
    ClosedInThread,
    ClosedOnLoop,
    Equal,
    Generator,
    LoopCaller,
    OpenInThread,
    OpenOnLoop,
    Rows,
    ThreadCaller,
    Work,
    overhead_ns,
)

Command = dict[str, Any]


def begin(
    command: Command, adapter: Adapter, style: str, own: tuple[OwnJob, ...], equal: Equal
) -> Generator:
    """Begin a load; return at once. It journals its `invoke` with its beginning, and its `ok` with its end.

    Args:
        command: `directory` with the files `times`, `kinds` and `sessions`, `operations` as (name, argument),
            `drain` in seconds, and where it is closed `clients` and `seconds`.
        adapter: the started pool.
        style: "plain" or "coroutine": what the pool takes.
        own: jobs that the target declares.
        equal: how an answer is compared.

    Raises:
        TargetProblem: the target does not take what is asked of it.
    """
    kinds = [
        _variants(name, argument, style, own, equal) for name, argument in command["operations"]
    ]
    work = Work(kinds, _read(command, "kinds", "B"), _sessions(command, adapter))
    rows = Rows(f"{command['directory']}/rows")
    if isinstance(adapter, AsyncioPool):
        return _on_loop(command, adapter, work, rows)
    return _in_thread(command, adapter, work, rows)


def _variants(
    name: str, argument: Any, style: str, own: tuple[OwnJob, ...], equal: Equal
) -> list[Asked]:
    if name == "own":
        if not own:
            raise TargetProblem(
                "expected a target with jobs of its own for the operation own, got none; see docs/targets.md"
            )
        return [Asked(job.arguments[0], job.arguments[1:], job.expected, equal) for job in own]
    known = operations.COROUTINES if style == "coroutine" else operations.PLAIN
    payload = bytes(int(argument)) if name == "echo" else argument
    return [Asked(known[name], (payload,), payload if name == "echo" else None, equal)]


def _read(command: Command, name: str, code: str) -> "array[int]":
    with open(f"{command['directory']}/{name}", "rb") as file:
        return array(code, file.read())


def _sessions(command: Command, adapter: Adapter) -> "array[int]":
    sessions = _read(command, "sessions", "I")
    if sessions and not (isinstance(adapter, AsyncioPool) and adapter.takes("session")):
        raise TargetProblem(
            "expected a pool whose submit takes session=... for --sessions, got one without"
        )
    return sessions


def _begun(command: Command, cost: int) -> int:
    """Journal that it begins, and what an operation costs the generator; return when."""
    zero = clock() + SOON_NS
    journal.write("invoke", op="load", data={"zero": zero, "overhead_ns": cost, **_size(command)})
    return zero


def _size(command: Command) -> dict[str, Any]:
    return {name: command[name] for name in ("clients", "seconds") if name in command}


def _over(generator: Generator) -> None:
    data = {"sent": generator.sent, "dropped": generator.dropped, "open": generator.open}
    journal.write("ok", op="load", data=data)


def _on_loop(command: Command, adapter: AsyncioPool, work: Work, rows: Rows) -> Generator:
    generator, start = _paced(command, rows, OpenOnLoop, ClosedOnLoop)
    generator.caller = LoopCaller(adapter, work, rows, generator.ended)
    adapter.on_loop(start)
    return generator


def _in_thread(command: Command, adapter: Adapter, work: Work, rows: Rows) -> Generator:
    generator, start = _paced(command, rows, OpenInThread, ClosedInThread)
    generator.caller = ThreadCaller(adapter, work, rows, generator.ended, _in_new_thread)
    threading.Thread(target=start, name="poolproof-generator", daemon=True).start()
    return generator


def _paced(
    command: Command,
    rows: Rows,
    open_: type[OpenOnLoop | OpenInThread],
    closed: type[ClosedOnLoop | ClosedInThread],
) -> tuple[Generator, Callable[[], None]]:
    """Return the generator, and what starts it."""
    cost = overhead_ns(on_loop=open_ is OpenOnLoop)
    if clients := command.get("clients"):
        looped = closed(rows, command["drain"], _over)
        until = _begun(command, cost) + int(command["seconds"] * 1e9)
        return looped, lambda: looped.start(clients, until)
    planned = open_(rows, command["drain"], _over)
    times = _read(command, "times", "q")
    zero = _begun(command, cost)
    return planned, lambda: planned.start(times, zero)


def _in_new_thread(wait: Callable[[], None]) -> None:
    threading.Thread(target=wait, name="poolproof-waiter", daemon=True).start()
