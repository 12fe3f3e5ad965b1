"""The warm process that forks workers: it has imported their modules, has one thread, and buries its dead.

Run by exec, with a keeper above it that runs no line of a worker's code (`agent.keeper`). A worker
is in a session of its own and collects its own orphans, so what is left without a parent here
belongs to a worker that is dead. While nothing is asked of it, it forks one worker ahead, which
waits for its order before any line of its author's code: most of what a birth takes is over then.
"""

import gc
import mmap
import os
import select
import signal
import socket
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, NamedTuple, NoReturn

import msgspec

from poolproof.agent import containment, keeper
from poolproof.transport import describe, packing, worker
from poolproof.watch import procfs

MESSAGE_BYTES: Final = 1 << 16
STRIDE_BYTES: Final = 64  # a cache line for each worker
MARK_BYTES: Final = 16
NOT_EXECUTED: Final = 127
IDLE_MS: Final = 1
"""After how long without an order the next worker is forked ahead: a start that is going on comes first."""


class Prepare(msgspec.Struct, tag=True, frozen=True):
    """Import what the workers will need."""

    path: list[str]
    directory: str
    home: packing.Home | None


class Fork(msgspec.Struct, tag=True, frozen=True):
    """Fork one worker; its socket comes with the message.

    Attributes:
        key: what it is called in what is told of it.
        slot: where it marks what it begins.
        argv: executed instead, if it is a command.
    """

    key: int
    slot: int
    argv: tuple[str, ...] | None


class Prepared(msgspec.Struct, tag=True, frozen=True):
    """How many threads there are now, and why the import failed, if it did."""

    threads: int
    problem: list[Any] | None


class Forked(msgspec.Struct, tag=True, frozen=True):
    """A worker exists; `born` is its start in clock ticks since boot, 0 if it is gone already."""

    key: int
    pid: int
    born: int


class Unforked(msgspec.Struct, tag=True, frozen=True):
    """The system would not fork."""

    key: int
    problem: str


class Buried(msgspec.Struct, tag=True, frozen=True):
    """A worker and all it had started are gone; `status` as of `os.waitstatus_to_exitcode`."""

    key: int
    status: int


class Leave(msgspec.Struct, tag=True, frozen=True):
    """End all workers and leave."""


TO_ZYGOTE: Final = msgspec.msgpack.Decoder(Prepare | Fork | Leave)
FROM_ZYGOTE: Final = msgspec.msgpack.Decoder(Prepared | Forked | Unforked | Buried)


class Unborn(NamedTuple):
    """A worker that was forked ahead, and waits at `order` for what it is to be."""

    who: procfs.Identity
    order: socket.socket


class Zygote:
    """Obeys the messages that come over `control`, one a packet, until it ends."""

    def __init__(self, control: socket.socket, slab: mmap.mmap) -> None:
        self._control, self._slab = control, slab
        self._keys: dict[int, int] = {}
        self._unborn: Unborn | None = None
        self._ready = False
        self._alarm, self._bell = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def serve(self) -> None:
        """Fork and bury; return when the controller is gone or wants no more."""
        containment.become_subreaper()
        signal.set_wakeup_fd(self._bell, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, _be_woken)
        waiting = select.poll()
        waiting.register(self._control, select.POLLIN)
        waiting.register(self._alarm, select.POLLIN)
        self._tell(Prepared(_threads(), None))
        while self._turn(waiting):
            pass
        self._let_go()

    def _turn(self, waiting: select.poll) -> bool:
        """Do what is to be done next; return False for the end."""
        ahead = self._ready and self._unborn is None
        ready = {descriptor for descriptor, _ in waiting.poll(IDLE_MS if ahead else None)}
        if not ready:
            self._fork_ahead()
        if self._alarm in ready:
            os.read(self._alarm, 4096)
            self._bury()
        return self._control.fileno() not in ready or self._obey()

    def _obey(self) -> bool:
        try:
            data, descriptors, _, _ = socket.recv_fds(self._control, MESSAGE_BYTES, 1)
        except ConnectionError:
            return False
        if not data:
            return False
        message = TO_ZYGOTE.decode(data)
        if isinstance(message, Fork):
            self._give_birth(message, data, descriptors[0])
        elif isinstance(message, Prepare):
            self._prepare(message)
        return not isinstance(message, Leave)

    def _prepare(self, message: Prepare) -> None:
        problem = None
        self._let_go()  # it has not imported what is imported now
        try:
            os.chdir(message.directory)
            sys.path[:] = message.path
            if message.home is not None:
                packing.settle(message.home)
        except BaseException as error:  # noqa: BLE001 - an import may raise anything, SystemExit included
            problem = list(describe.raised(error))
        gc.collect()
        gc.freeze()  # what is shared stays shared: a collection in a worker would copy every page
        self._tell(Prepared(_threads(), problem))

    def _give_birth(self, message: Fork, data: bytes, descriptor: int) -> None:
        """Let the unborn be this worker, or a child that is forked now."""
        try:
            who = self._order(data, descriptor) or self._fork_now(message, descriptor)
        except OSError as error:
            self._tell(Unforked(message.key, str(error)))
        else:
            self._keys[who.pid] = message.key
            self._tell(Forked(message.key, who.pid, who.born))
        finally:
            os.close(descriptor)
        self._ready = True

    def _order(self, data: bytes, descriptor: int) -> procfs.Identity | None:
        """Tell the unborn what it is to be; None if there is none, or it has died."""
        unborn, self._unborn = self._unborn, None
        if unborn is None:
            return None
        with unborn.order:
            try:
                socket.send_fds(unborn.order, [data], [descriptor])
            except OSError:
                return None
        return unborn.who

    def _fork_now(self, message: Fork, descriptor: int) -> procfs.Identity:
        parent = os.getpid()
        pid = os.fork()
        if pid == 0:
            self._be(lambda: self._be_worker(message, descriptor), parent)
        return procfs.identity(pid) or procfs.Identity(pid, 0)

    def _fork_ahead(self) -> None:
        """Fork the next worker; where the system would not, it is asked again with the next order."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        parent = os.getpid()
        try:
            pid = os.fork()
        except OSError:
            self._ready = False
            ours.close()
        else:
            if pid == 0:
                ours.close()
                self._be(lambda: self._await_birth(theirs), parent)
            self._unborn = Unborn(procfs.identity(pid) or procfs.Identity(pid, 0), ours)
        finally:
            theirs.close()

    def _let_go(self) -> None:
        """End the unborn: it sees the end of its connection."""
        if self._unborn is not None:
            self._unborn.order.close()
            self._unborn = None

    def _be(self, work: Callable[[], NoReturn], parent: int) -> NoReturn:
        """Be a child: contained, and with nothing that is the zygote's."""
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for inherited in (self._control.detach(), self._alarm, self._bell):
                os.close(inherited)
            self._let_go()
            os.setsid()
            containment.die_with_parent(parent)
            containment.become_subreaper()
            work()
        except BaseException:  # noqa: BLE001 - it must not run on as a second zygote
            traceback.print_exc()
            worker.leave(1)

    def _await_birth(self, order: socket.socket) -> NoReturn:
        worker.rehearse()
        with order:
            data, descriptors, _, _ = socket.recv_fds(order, MESSAGE_BYTES, 1)
        if not data:
            worker.leave(0)
        message = TO_ZYGOTE.decode(data)
        assert isinstance(message, Fork)
        self._be_worker(message, descriptors[0])

    def _be_worker(self, message: Fork, descriptor: int) -> NoReturn:
        if message.argv is not None:
            _execute(message.argv, descriptor)
        place = message.slot * STRIDE_BYTES
        mark = memoryview(self._slab)[place : place + MARK_BYTES].cast("Q")
        worker.main(socket.socket(fileno=descriptor), mark)

    def _bury(self) -> None:
        """Reap what has ended, with all it has left, and tell of the workers among it."""
        while (pid := _dead_child()) is not None:
            key = self._keys.pop(pid, None)
            if self._unborn is not None and pid == self._unborn.who.pid:
                self._let_go()
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, signal.SIGKILL)  # not reaped yet, so the number is still its own
            status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            self._end_orphans()
            if key is not None:
                self._tell(Buried(key, status))

    def _end_orphans(self) -> None:
        """End every child that is no worker of ours, and what it leaves in turn."""
        ours = self._keys.keys() | ({self._unborn.who.pid} if self._unborn else set[int]())
        while orphans := [pid for pid in containment.children(os.getpid()) if pid not in ours]:
            for pid in orphans:
                with suppress(ProcessLookupError, ChildProcessError):
                    os.kill(pid, signal.SIGKILL)
                    os.waitpid(pid, 0)

    def _tell(self, message: Prepared | Forked | Unforked | Buried) -> None:
        with suppress(ConnectionError):  # the controller is gone, as the next look at it will find
            self._control.send(msgspec.msgpack.encode(message))


def _dead_child() -> int | None:
    """Return a child that has ended and is not reaped yet."""
    try:
        found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return None
    return None if found is None else found.si_pid


def _execute(argv: tuple[str, ...], descriptor: int) -> NoReturn:
    os.dup2(descriptor, 0)
    os.dup2(descriptor, 1)
    try:
        os.execvp(argv[0], argv)  # noqa: S606 - the command that the pool's owner named
    except OSError as error:
        os.write(2, f"poolproof: {argv[0]}: {error}\n".encode())
        os._exit(NOT_EXECUTED)


def _threads() -> int:
    return len(os.listdir("/proc/self/task"))  # noqa: PTH208 - pathlib is slower


def _be_woken(_number: int, _frame: object) -> None:
    """Do nothing: the signal has already rung the bell."""


def main(controller: int, control: int, slab: int) -> int:
    """Be keeper and, below it, zygote.

    Args:
        controller: a pidfd of the process whose end ends all of this.
        control: the socket on which the zygote is told what to do.
        slab: a memory file in which workers mark what they begin.
    """
    # Low numbers: the keeper's select takes none above 1023.
    controller, control, slab = (os.dup(descriptor) for descriptor in (controller, control, slab))
    shared = mmap.mmap(slab, 0)
    os.close(slab)
    return keeper.main(controller, control, lambda sock: Zygote(sock, shared).serve())


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:4])))
