"""The controller's hold on one zygote, the keeper above it, and what it tells of the workers it forked."""

import asyncio
import mmap
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Protocol

import msgspec

import poolproof
from poolproof.errors import StartFailedError
from poolproof.isolation.leases import RUN_VARIABLE
from poolproof.transport import zygote
from poolproof.transport.packing import Home
from poolproof.transport.zygote import Buried, Forked, Prepared, Unforked
from poolproof.watch import procfs

START_SECONDS: Final = 20.0
END_SECONDS: Final = 5.0


class Child(Protocol):
    """What is told of one worker that a zygote was asked for."""

    def forked(self, who: procfs.Identity) -> None:
        """Take which process it is."""
        ...

    def buried(self, status: int | None, detail: str) -> None:
        """Take its end, once: nothing of it is left. The status is None if nobody knows it."""
        ...


class Slab:
    """Memory that is shared with the workers: a place for each to mark what it begins."""

    def __init__(self, places: int) -> None:
        self.file = os.memfd_create("poolproof-marks", os.MFD_CLOEXEC)
        os.ftruncate(self.file, places * zygote.STRIDE_BYTES)
        self._memory = mmap.mmap(self.file, 0)
        self._numbers = memoryview(self._memory).cast("Q")
        self._free = list(range(places))

    def take(self) -> int:
        """Return a free place, its mark at 0.

        Raises:
            StartFailedError: there is none.
        """
        if not self._free:
            raise StartFailedError(
                "expected fewer workers of one pool alive at a time, got one more than"
                f" {len(self._numbers) * 8 // zygote.STRIDE_BYTES}; make the pool smaller"
            )
        place = self._free.pop()
        self._numbers[place * zygote.STRIDE_BYTES // 8] = 0
        return place

    def give_back(self, place: int) -> None:
        """Let another worker have it."""
        self._free.append(place)

    def mark(self, place: int) -> int:
        """Return the id that the worker at this place began last, 0 for none."""
        return self._numbers[place * zygote.STRIDE_BYTES // 8]

    def close(self) -> None:
        """Let go of the memory."""
        self._numbers.release()
        self._memory.close()
        os.close(self.file)


class Zygote:
    """A running zygote; made by `start`.

    Args:
        run: the token that it and all below it carry in their environment.
        slab: shared with its workers.
        lost: told once when it is gone, and everything below it, unless by `close`.
    """

    def __init__(self, run: str, slab: Slab, lost: Callable[["Zygote", str], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._lost = lost
        self._children: dict[int, Child] = {}
        self._keys = 0
        self._turn = asyncio.Lock()
        self._answer: asyncio.Future[Prepared] = self._loop.create_future()
        self._gone = asyncio.Event()
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._keeper = _exec(run, theirs, slab)
        self.pid = self._keeper.pid
        self._control.setblocking(False)  # noqa: FBT003 - it takes no other
        self._descriptor = os.pidfd_open(self._keeper.pid)
        self._loop.add_reader(self._control, self._heard)
        self._loop.add_reader(self._descriptor, self._ended)

    async def started(self) -> None:
        """Wait until it takes orders.

        Raises:
            StartFailedError: it does not.
        """
        await self._prepared()

    async def prepare(self, home: Home | None) -> Prepared:
        """Have it import a module; return how many threads it has then, and what was raised.

        Raises:
            StartFailedError: it ended of it, or did not answer.
        """
        async with self._turn:
            self._answer = self._loop.create_future()
            self._send(zygote.Prepare(sys.path, str(Path.cwd()), home))
            return await self._prepared()

    async def _prepared(self) -> Prepared:
        try:
            async with asyncio.timeout(START_SECONDS):
                return await asyncio.shield(self._answer)
        except TimeoutError:
            self.kill()
            raise StartFailedError(
                f"expected the zygote to have imported what the workers need within"
                f" {START_SECONDS:g} s, got no answer; import less at the top of their module"
            ) from None

    def fork(self, child: Child, theirs: socket.socket, slot: int, argv: Any) -> None:
        """Have a worker forked that gets the socket `theirs`.

        Raises:
            StartFailedError: it takes no orders.
        """
        self._keys += 1
        self._children[self._keys] = child
        try:
            self._send(zygote.Fork(self._keys, slot, argv), theirs)
        except StartFailedError:
            del self._children[self._keys]
            raise

    def _send(self, message: Any, *sockets: socket.socket) -> None:
        try:
            socket.send_fds(
                self._control,
                [msgspec.msgpack.encode(message)],
                [theirs.fileno() for theirs in sockets],
            )
        except OSError as error:
            raise StartFailedError(
                f"expected a zygote that takes orders, got {error}; it is replaced when the next"
                " worker is started"
            ) from error

    def _heard(self) -> None:
        while True:
            try:
                data = self._control.recv(zygote.MESSAGE_BYTES)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            if not data:
                self._loop.remove_reader(self._control)
                return  # its keeper ends now, and all below; that is told then
            self._take(zygote.FROM_ZYGOTE.decode(data))

    def _take(self, message: Prepared | Forked | Unforked | Buried) -> None:
        if isinstance(message, Prepared):
            if not self._answer.done():
                self._answer.set_result(message)
        elif isinstance(message, Forked):
            self._children[message.key].forked(procfs.Identity(message.pid, message.born))
        elif isinstance(message, Unforked):
            self._children.pop(message.key).buried(
                None, f"it could not be forked: {message.problem}"
            )
        else:
            self._children.pop(message.key).buried(message.status, "")

    def _ended(self) -> None:
        """Note the end of the keeper, which has ended all below it before."""
        self._loop.remove_reader(self._descriptor)
        os.close(self._descriptor)
        with suppress(OSError, ValueError):
            self._heard()
        self._loop.remove_reader(self._control)
        self._control.close()
        code = self._keeper.wait()
        detail = f"its zygote ended, exit code {code}"
        self._gone.set()
        self._lost(self, detail)
        for child in list(self._children.values()):
            child.buried(None, detail)
        self._children.clear()
        if not self._answer.done():
            self._answer.set_exception(StartFailedError(f"expected a zygote, but {detail}"))
            self._answer.exception()  # it may be that nobody asks

    def kill(self) -> None:
        """End it by force, and so all its workers."""
        if not self._gone.is_set():
            self._keeper.kill()

    async def close(self) -> None:
        """End it and its workers; nothing of them is left when it returns."""
        with suppress(StartFailedError):
            self._send(zygote.Leave())
        try:
            async with asyncio.timeout(END_SECONDS):
                await self._gone.wait()
        except TimeoutError:
            self.kill()
        await self._gone.wait()


def _exec(run: str, theirs: socket.socket, slab: Slab) -> "subprocess.Popen[bytes]":
    ourselves = os.pidfd_open(os.getpid())
    descriptors = (ourselves, theirs.fileno(), slab.file)
    root = str(Path(poolproof.__file__).parent.parent)
    path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH", "")]))
    try:
        return subprocess.Popen(  # noqa: S603 - our own module
            [
                sys.executable,
                *(f"-W{option}" for option in sys.warnoptions),
                "-m",
                "poolproof.transport.zygote",
                *map(str, descriptors),
            ],
            stdin=subprocess.DEVNULL,
            env={**os.environ, RUN_VARIABLE: run, "PYTHONPATH": path},
            pass_fds=descriptors,
        )
    except OSError as error:
        raise StartFailedError(f"expected to start {sys.executable}, got {error}") from error
    finally:
        os.close(ourselves)
