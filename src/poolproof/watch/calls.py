"""What a blocked task waits for, and until when: the lines of /proc/PID/task/TID/syscall, decoded.

x86_64 and aarch64, native processes. On another machine no wait can be told from an unlimited one,
and all are `UNREADABLE`. Waits that a line does not show are taken for unlimited: a socket's own
time-out (SO_RCVTIMEO), the kernel's timers behind connect, and recvmmsg, whose time-out is looked
at only after a datagram came.
"""

import os
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Final, Protocol

RUNNING: Final = b"running"
_NS: Final = 1_000_000_000

# Reads so many bytes at an address of the waiting process; None where it may not be read.
ReadMemory = Callable[[int, int], bytes | None]


class Bound(Enum):
    """How a wait is limited."""

    UNLIMITED = "unlimited"
    RELATIVE = "relative"
    ABSOLUTE = "absolute"
    UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True)
class Wait:
    """A wait's limit: `ns` is its length if relative, its end (CLOCK_MONOTONIC) if absolute."""

    bound: Bound
    ns: int = 0


class Waiting(Protocol):
    """Whatever knows its `wait`: a task of a sample."""

    @property
    def wait(self) -> Wait:
        """The limit of the wait it is in."""
        ...


UNLIMITED: Final = Wait(Bound.UNLIMITED)
UNREADABLE: Final = Wait(Bound.UNREADABLE)

_NUMBERS: Final = {
    "x86_64": {
        "read": 0, "write": 1, "poll": 7, "readv": 19, "writev": 20, "select": 23, "nanosleep": 35,
        "accept": 43, "sendto": 44, "recvfrom": 45, "sendmsg": 46, "recvmsg": 47, "clone": 56,
        "vfork": 58, "rt_sigtimedwait": 128, "futex": 202, "io_getevents": 208, "restart_syscall":
        219, "semtimedop": 220, "clock_nanosleep": 230, "epoll_wait": 232, "mq_timedsend": 242,
        "mq_timedreceive": 243, "pselect6": 270, "ppoll": 271, "epoll_pwait": 281, "accept4": 288,
    },
    "aarch64": {
        "io_getevents": 4, "epoll_pwait": 22, "read": 63, "write": 64, "readv": 65, "writev": 66,
        "pselect6": 72, "ppoll": 73, "futex": 98, "nanosleep": 101, "clock_nanosleep": 115,
        "restart_syscall": 128, "rt_sigtimedwait": 137, "mq_timedsend": 182, "mq_timedreceive": 183,
        "semtimedop": 192, "accept": 202, "sendto": 206, "recvfrom": 207, "sendmsg": 211, "recvmsg":
        212, "clone": 220, "accept4": 242,
    },
}  # fmt: skip
# Numbered alike on both machines.
_SINCE_2019: Final = {
    "io_uring_enter": 426,
    "clone3": 435,
    "epoll_pwait2": 441,
    "futex_waitv": 449,
    "futex_wait": 455,
}
_IO_PGETEVENTS: Final = {"x86_64": 333, "aarch64": 292}

_ON_DESCRIPTOR: Final = frozenset(
    (
        *("read", "write", "readv", "writev", "accept", "accept4", "sendto", "recvfrom"),
        *("sendmsg", "recvmsg", "epoll_wait", "epoll_pwait", "epoll_pwait2"),
    )
)
_ON_CHILD: Final = frozenset(("vfork", "clone", "clone3"))
# Which argument holds the time-out of the waits that are limited relatively.
_MILLISECONDS: Final = {"poll": 2, "epoll_wait": 3, "epoll_pwait": 3}
_TIMESPEC: Final = {
    "ppoll": 2, "pselect6": 4, "epoll_pwait2": 3, "nanosleep": 0, "rt_sigtimedwait": 2,
    "semtimedop": 3, "io_getevents": 4, "io_pgetevents": 4,
}  # fmt: skip

_FUTEX_COMMAND: Final = 0x7F
_FUTEX_CLOCK_REALTIME: Final = 0x100
_FUTEX_WAIT: Final = 0
_FUTEX_LOCK_PI: Final = 6
_FUTEX_TIMED: Final = {
    _FUTEX_WAIT,
    _FUTEX_LOCK_PI,
    9,
    11,
    13,
}  # with WAIT_BITSET, WAIT_REQUEUE_PI, LOCK_PI2
_TIMER_ABSTIME: Final = 1
# The clocks that go on while a task sleeps; a wait for CPU time cannot be foretold.
_WALL_CLOCKS: Final = (
    time.CLOCK_MONOTONIC,
    time.CLOCK_REALTIME,
    time.CLOCK_BOOTTIME,
    time.CLOCK_TAI,
)


def names(machine: str) -> dict[int, str]:
    """Return number -> name of the system calls that matter here; empty for another machine."""
    numbers = _NUMBERS.get(machine)
    if numbers is None:
        return {}
    every = {**numbers, **_SINCE_2019, "io_pgetevents": _IO_PGETEVENTS[machine]}
    return {number: name for name, number in every.items()}


_NAMES: Final = names(os.uname().machine)


def is_blocked(call: bytes) -> bool:
    """Tell whether the line names a system call, and reads neither "running" nor "-1"."""
    return call[:1].isdigit()


def waits_for_child(call: bytes, names: dict[int, str] = _NAMES) -> bool:
    """Tell whether the line is a vfork, or a clone like it, which ends when the child goes on."""
    return is_blocked(call) and names.get(_number(call)) in _ON_CHILD


def site(call: bytes, names: dict[int, str] = _NAMES) -> tuple[int, ...]:
    """Return what stays the same when a loop comes back to this call: number and descriptor.

    Addresses are left out: a condition variable of Python waits on a new lock, and so address, each
    time.
    """
    number = _number(call)
    name = names.get(number)
    if name in _ON_DESCRIPTOR:
        return number, _arguments(call)[0]
    return (number, _arguments(call)[1] & _FUTEX_COMMAND) if name == "futex" else (number,)


def wait_of(call: bytes, read_memory: ReadMemory, names: dict[int, str] = _NAMES) -> Wait:
    """Return the limit of the wait that the line describes.

    Args:
        call: the whole line, as read from /proc.
        read_memory: reads the waiting process's memory, where time-outs mostly lie.
        names: the machine's system calls; `names(machine)`.
    """
    if not is_blocked(call):
        return UNLIMITED
    if not names:
        return UNREADABLE
    name = names.get(_number(call))
    if name in _MILLISECONDS:
        return _from_milliseconds(_arguments(call)[_MILLISECONDS[name]])
    if name in _TIMESPEC:
        return _relative(_seconds(_arguments(call)[_TIMESPEC[name]], read_memory))
    special = _SPECIAL.get(name or "")
    return UNLIMITED if special is None else special(_arguments(call), read_memory)


def ends_at_ns(task: Waiting, first_seen_ns: int) -> int | None:
    """Return the latest time at which the task's wait ends, None if it has no known limit.

    In CLOCK_MONOTONIC. A relative wait counts from `first_seen_ns`; handing in a time *before* the
    wait began gives the earliest end.
    """
    if task.wait.bound is Bound.RELATIVE:
        return first_seen_ns + task.wait.ns
    return task.wait.ns if task.wait.bound is Bound.ABSOLUTE else None


def _number(call: bytes) -> int:
    return int(call[: call.index(b" ")])


def _arguments(call: bytes) -> list[int]:
    return [int(word, 16) for word in call.split()[1:7]]


def _from_milliseconds(argument: int) -> Wait:
    milliseconds = argument & 0xFFFFFFFF
    return UNLIMITED if milliseconds >> 31 else Wait(Bound.RELATIVE, milliseconds * 1_000_000)


def _seconds(address: int, read_memory: ReadMemory, units: int = _NS) -> int | Wait:
    """The nanoseconds in the timespec at the address, or the wait that follows from its lack."""
    if address == 0:
        return UNLIMITED
    raw = read_memory(address, 16)
    if raw is None or len(raw) != struct.calcsize("qq"):
        return UNREADABLE
    whole, part = struct.unpack("qq", raw)
    # A task that moved on while it was read leaves garbage here; a valid timespec never looks like
    # that.
    return (
        int(whole) * _NS + int(part) * (_NS // units)
        if 0 <= part < units and whole >= 0
        else UNREADABLE
    )


def _relative(limit: int | Wait) -> Wait:
    return limit if isinstance(limit, Wait) else Wait(Bound.RELATIVE, limit)


def _absolute(limit: int | Wait, clock: int) -> Wait:
    if isinstance(limit, Wait):
        return limit
    if clock == time.CLOCK_MONOTONIC:
        return Wait(Bound.ABSOLUTE, limit)
    if clock not in _WALL_CLOCKS:
        return UNREADABLE
    return Wait(Bound.ABSOLUTE, limit - time.clock_gettime_ns(clock) + time.monotonic_ns())


def _futex(arguments: list[int], read_memory: ReadMemory) -> Wait:
    command = arguments[1] & _FUTEX_COMMAND
    if command not in _FUTEX_TIMED:
        return UNLIMITED
    limit = _seconds(arguments[3], read_memory)
    if command == _FUTEX_WAIT:
        return _relative(limit)
    realtime = command == _FUTEX_LOCK_PI or arguments[1] & _FUTEX_CLOCK_REALTIME
    return _absolute(limit, time.CLOCK_REALTIME if realtime else time.CLOCK_MONOTONIC)


def _futex_new(timespec: int, clock: int) -> Callable[[list[int], ReadMemory], Wait]:
    return lambda arguments, memory: _absolute(
        _seconds(arguments[timespec], memory), arguments[clock]
    )


def _clock_nanosleep(arguments: list[int], read_memory: ReadMemory) -> Wait:
    limit = _seconds(arguments[2], read_memory)
    if arguments[1] & _TIMER_ABSTIME:
        return _absolute(limit, arguments[0])
    return _relative(limit) if arguments[0] in _WALL_CLOCKS else UNREADABLE


def _select(arguments: list[int], read_memory: ReadMemory) -> Wait:
    return _relative(_seconds(arguments[4], read_memory, 1_000_000))


def _message_queue(arguments: list[int], read_memory: ReadMemory) -> Wait:
    return _absolute(_seconds(arguments[4], read_memory), time.CLOCK_REALTIME)


def _unreadable(_arguments: list[int], _read_memory: ReadMemory) -> Wait:
    return UNREADABLE


_SPECIAL: Final = {
    "futex": _futex,
    "futex_waitv": _futex_new(3, 4),
    "futex_wait": _futex_new(4, 5),
    "clock_nanosleep": _clock_nanosleep,
    "select": _select,
    "mq_timedsend": _message_queue,
    "mq_timedreceive": _message_queue,
    # A wait gone on with after SIGCONT no longer says what it was; io_uring keeps its time-outs to
    # itself.
    "restart_syscall": _unreadable,
    "io_uring_enter": _unreadable,
}
