"""How a worker's start fails, in the same words on every layer; and how one starts on this loop."""

import asyncio
import socket

from poolproof.errors import InitTimeoutError, StartFailedError, UsageError
from poolproof.transport import actor as acting
from poolproof.transport import describe
from poolproof.transport.actor import Actor
from poolproof.transport.base import Command, WireError, WorkerSpec
from poolproof.transport.wire import Splice


async def start(spec: WorkerSpec) -> Actor:
    """Make the actor of a spec on this loop, and run its `init`.

    Raises:
        StartFailedError: its constructor or `init` raised.
        InitTimeoutError: `init` was not done in time.
        UsageError: the spec is none, or needs a process.
    """
    check_for_this_process(spec)
    try:
        async with asyncio.timeout(spec.init_seconds):
            made = await begin(spec)
    except TimeoutError:
        raise init_timeout(spec) from None
    if isinstance(made, WireError):
        raise start_failed(spec) from describe.remote(made)
    return made


async def begin(spec: WorkerSpec, _hello: bytes | None = None) -> Actor | WireError:
    """The same, without a bound on its time; what was raised is returned."""
    try:
        made = acting.make(spec)
        if made.init is not None:
            await acting.awaited(made.init)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - it is the author's code
        return describe.raised(error)
    return made


def connected(spec: WorkerSpec, splice: Splice | None) -> tuple[socket.socket, socket.socket]:
    """Return the two ends of a new connection, ours first, with what is to lie between them.

    Raises:
        StartFailedError: that refused it.
    """
    ours, theirs = socket.socketpair()
    if splice is None:
        return ours, theirs
    try:
        return splice(ours), theirs
    except OSError as error:
        theirs.close()
        raise start_lost(spec, f"its connection was refused: {error}") from error


def check_for_this_process(spec: WorkerSpec) -> None:
    """Refuse a spec that cannot be carried out in this process.

    Raises:
        UsageError: it is no worker, or a command.
    """
    acting.check(spec)
    if isinstance(spec.target, Command):
        raise UsageError(
            f"expected a class or a function on a layer without processes, got the command"
            f" {spec.name}; use the layer full"
        )


def init_timeout(spec: WorkerSpec) -> InitTimeoutError:
    """Return the error for a worker that was not ready in time."""
    return InitTimeoutError(
        f"expected {spec.name} to be ready within {spec.init_seconds:g} s, got nothing from it;"
        " give it more init_seconds if it is only slow"
    )


def start_failed(spec: WorkerSpec) -> StartFailedError:
    """Return the error for a worker whose making or `init` raised; raise it from what was raised."""
    return StartFailedError(
        f"expected {spec.name} to start, but it raised; the cause, with its traceback, is attached"
    )


def start_lost(spec: WorkerSpec, detail: str) -> StartFailedError:
    """Return the error for a worker that ended before it was ready."""
    return StartFailedError(f"expected {spec.name} to start, but it ended before it was: {detail}")
