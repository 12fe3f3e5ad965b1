"""What no seed decides is refused by its name: threads, processes, signals, sockets, files."""

import asyncio
import signal
import socket
import sys
import threading
from typing import Any

import pytest

from poolproof import simulation
from poolproof.simulation import RealWorldError
from poolproof.simulation.refusal import RefusesTheRealWorld

pytestmark = pytest.mark.unit


async def a_thread() -> None:
    await asyncio.to_thread(print)


async def a_process() -> None:
    await asyncio.create_subprocess_exec(sys.executable)


async def a_shell() -> None:
    await asyncio.create_subprocess_shell("true")


async def a_signal() -> None:
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, print)


async def a_descriptor() -> None:
    asyncio.get_running_loop().add_reader(0, print)


async def a_socket() -> None:
    with socket.socket() as real:
        await asyncio.open_connection(sock=real)


async def a_lookup() -> None:
    await asyncio.get_running_loop().getaddrinfo("localhost", 80)


async def encryption() -> None:
    await asyncio.open_connection("localhost", 443, ssl=True)


async def another_thread() -> None:
    loop, caught = asyncio.get_running_loop(), list[Exception]()

    def call() -> None:
        try:
            loop.call_soon_threadsafe(print)
        except RealWorldError as error:
            caught.append(error)

    thread = threading.Thread(target=call)
    thread.start()
    thread.join()
    raise caught[0]


@pytest.mark.parametrize(
    ("asks", "name"),
    [
        (a_thread, "run_in_executor (a thread)"),
        (a_process, "subprocess_exec (an operating-system process)"),
        (a_shell, "subprocess_shell (an operating-system process)"),
        (a_signal, "add_signal_handler (a signal of the operating system)"),
        (a_descriptor, "add_reader (a real file descriptor)"),
        (a_socket, "create_connection(sock=...) (a real socket)"),
        (a_lookup, "getaddrinfo (a real socket)"),
        (encryption, "create_connection(ssl=...) (encryption)"),
        (another_thread, "call_soon_threadsafe from another thread (a thread)"),
    ],
)
def test_the_real_world_is_refused_by_name(asks: Any, name: str) -> None:
    with pytest.raises(RealWorldError) as caught:
        simulation.run(asks())

    assert f"expected only what a simulation can hold, got {name}" in str(caught.value)


def test_whatever_the_stock_loop_needs_the_system_for_is_refused_or_kept_in_memory() -> None:
    """A method that a later Python adds to its selector loop must be thought about here."""
    stock = {
        name
        for name in vars(asyncio.SelectorEventLoop) | vars(asyncio.BaseEventLoop)
        if name[0] != "_"
    }
    for base in asyncio.SelectorEventLoop.__mro__:
        stock |= {name for name in vars(base) if not name.startswith("_")}
    refused = {name for name in vars(RefusesTheRealWorld) if not name.startswith("_")}
    in_memory = {name for name in stock if name.startswith("create_")}
    of_the_loop = {
        *("run_forever", "run_until_complete", "stop", "close", "is_running", "is_closed", "time"),
        *("call_soon", "call_later", "call_at", "call_soon_threadsafe", "get_debug", "set_debug"),
        *("get_task_factory", "set_task_factory", "slow_callback_duration"),
        *("get_exception_handler", "set_exception_handler", "call_exception_handler"),
        *("default_exception_handler", "shutdown_asyncgens", "shutdown_default_executor"),
    }

    of_pairs = {"add_reader", "add_writer", "remove_reader", "remove_writer"}

    assert stock - refused - in_memory - of_the_loop - of_pairs == set()
