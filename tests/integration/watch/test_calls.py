"""Blocked calls are decoded: which are limited, and when they end."""

import os
import struct
import time
from typing import Any

import pytest

from poolproof.watch import calls
from poolproof.watch.calls import Bound, Wait
from poolproof.watch.sample import Task, TreeSample

pytestmark = pytest.mark.integration

SECOND = 1_000_000_000
X86 = calls.names("x86_64")
ARM = calls.names("aarch64")

TIMED = {
    "time.sleep": "import time; time.sleep(60)",
    "Event.wait": "import threading; threading.Event().wait(60)",
    "Lock.acquire": "import threading; k = threading.Lock(); k.acquire(); k.acquire(timeout=60)",
    "Queue.get": "import queue; queue.Queue().get(timeout=60)",
    "SimpleQueue.get": "import queue; queue.SimpleQueue().get(timeout=60)",
    "select": "import select; select.select([], [], [], 60)",
    "poll": "import select; select.poll().poll(60_000)",
    "epoll": "import select; select.epoll().poll(60)",
    "sigtimedwait": "import signal; signal.sigtimedwait({signal.SIGUSR1}, 60)",
    "socket": "import socket; s, t = socket.socketpair(); s.settimeout(60); s.recv(1)",
    "usleep": "import ctypes; ctypes.CDLL(None).usleep(60_000_000)",
    "ppoll": "import ctypes; ctypes.CDLL(None).ppoll(None, 0, (ctypes.c_long * 2)(60, 0), None)",
    "connection.wait": "import multiprocessing.connection as c; p, q = c.Pipe(); c.wait([p], 60)",
    "asyncio.sleep": "import asyncio; asyncio.run(asyncio.sleep(60))",
}
UNTIMED = {
    "Event.wait": "import threading; threading.Event().wait()",
    "Lock.acquire": "import threading; k = threading.Lock(); k.acquire(); k.acquire()",
    "Queue.get": "import queue; queue.Queue().get()",
    "select": "import os, select; select.select([os.pipe()[0]], [], [])",
    "poll": "import select; select.poll().poll()",
    "epoll": "import select; select.epoll().poll()",
    "read": "import os; os.read(os.pipe()[0], 1)",
    "pause": "import signal; signal.pause()",
    "multiprocessing.Lock": "import multiprocessing as m; k = m.Lock(); k.acquire(); k.acquire()",
}
READY = "print('ready', flush=True)\n"


def blocked(seen: TreeSample) -> Task | None:
    return next((t for t in seen.tasks if t.state == "S" and calls.is_blocked(t.call)), None)


@pytest.mark.parametrize("program", TIMED.values(), ids=TIMED)
def test_the_end_of_a_timed_wait_of_a_real_process_is_known(grow: Any, program: str) -> None:
    tree = grow(READY + program)

    def limited(seen: TreeSample) -> Task | None:
        task = blocked(seen)
        return task if task and task.wait.bound in (Bound.RELATIVE, Bound.ABSOLUTE) else None

    task = tree.until(limited)
    now = time.monotonic_ns()
    ends = calls.ends_at_ns(task, now)

    assert ends is not None
    assert now + 30 * SECOND < ends <= now + 61 * SECOND


@pytest.mark.parametrize("program", UNTIMED.values(), ids=UNTIMED)
def test_an_unlimited_wait_of_a_real_process_has_no_end(grow: Any, program: str) -> None:
    task = grow(READY + program).until(blocked)

    assert task.wait == calls.UNLIMITED
    assert calls.ends_at_ns(task, 0) is None


def line(number: int, *arguments: int) -> bytes:
    words = [*arguments, 0, 0, 0, 0, 0, 0][:6]
    return f"{number} {' '.join(map(hex, words))} 0x7ffd0 0x7fab0".encode()


def timespec(seconds: int, nanoseconds: int = 0) -> calls.ReadMemory:
    return lambda _address, _size: struct.pack("qq", seconds, nanoseconds)


def no_memory(_address: int, _size: int) -> None:
    return None


MONOTONIC, REALTIME = time.CLOCK_MONOTONIC, time.CLOCK_REALTIME
FIVE = Wait(Bound.RELATIVE, 5 * SECOND)
AT_FIVE = Wait(Bound.ABSOLUTE, 5 * SECOND)
SINGLE_CALLS = {
    "futex wait is relative": (X86, line(202, 0xA, 128, 2, 0xBEEF), FIVE),
    "futex wait_bitset is absolute": (X86, line(202, 0xA, 137, 2, 0xBEEF), AT_FIVE),
    "futex without time-out": (X86, line(202, 0xA, 137, 2, 0), calls.UNLIMITED),
    "futex wake": (X86, line(202, 0xA, 129, 2, 0xBEEF), calls.UNLIMITED),
    "futex lock_pi2": (X86, line(202, 0xA, 141, 0, 0xBEEF), AT_FIVE),
    "futex on aarch64": (ARM, line(98, 0xA, 137, 2, 0xBEEF), AT_FIVE),
    "futex_waitv": (X86, line(449, 0xA, 1, 0, 0xBEEF, MONOTONIC), AT_FIVE),
    "futex_wait, the new one": (X86, line(455, 0xA, 1, 1, 2, 0xBEEF, MONOTONIC), AT_FIVE),
    "poll": (X86, line(7, 0xA, 1, 5000), FIVE),
    "poll for ever": (X86, line(7, 0xA, 1, 0xFFFFFFFF), calls.UNLIMITED),
    "poll for ever, sign-extended": (X86, line(7, 0xA, 1, 2**64 - 1), calls.UNLIMITED),
    "epoll_pwait on aarch64": (ARM, line(22, 3, 0xA, 1, 5000), FIVE),
    "epoll_pwait2": (X86, line(441, 3, 0xA, 1, 0xBEEF), FIVE),
    "pselect6 on aarch64": (ARM, line(72, 1, 0xA, 0, 0, 0xBEEF), FIVE),
    "pselect6 without time-out": (X86, line(270, 1, 0xA, 0, 0, 0), calls.UNLIMITED),
    "clock_nanosleep relative": (X86, line(230, MONOTONIC, 0, 0xBEEF), FIVE),
    "clock_nanosleep absolute": (X86, line(230, MONOTONIC, 1, 0xBEEF), AT_FIVE),
    "clock_nanosleep of CPU time": (X86, line(230, 2, 0, 0xBEEF), calls.UNREADABLE),
    "clock_nanosleep to a CPU time": (X86, line(230, 2, 1, 0xBEEF), calls.UNREADABLE),
    "semtimedop": (X86, line(220, 1, 0xA, 1, 0xBEEF), FIVE),
    "io_getevents": (X86, line(208, 1, 1, 1, 0xA, 0xBEEF), FIVE),
    "io_pgetevents on aarch64": (ARM, line(292, 1, 1, 1, 0xA, 0xBEEF), FIVE),
    "restart_syscall after SIGCONT": (X86, line(219), calls.UNREADABLE),
    "io_uring_enter": (X86, line(426, 3), calls.UNREADABLE),
    "recvmmsg, whose time-out does not wake": (X86, line(299, 3, 1, 1, 0, 9), calls.UNLIMITED),
    "an unknown call": (X86, line(9999, 3), calls.UNLIMITED),
    "a running task": (X86, b"running", calls.UNLIMITED),
    "a task outside of any call": (X86, b"-1 0x7ffd0 0x7fab0", calls.UNLIMITED),
    "an unknown machine": (calls.names("riscv64"), line(7, 0xA, 1, 5000), calls.UNREADABLE),
}


@pytest.mark.parametrize(("names", "call", "wait"), SINGLE_CALLS.values(), ids=SINGLE_CALLS)
def test_a_made_up_call_is_decoded(names: dict[int, str], call: bytes, wait: Wait) -> None:
    assert calls.wait_of(call, timespec(5), names) == wait


def test_select_counts_in_microseconds() -> None:
    wait = calls.wait_of(line(23, 1, 0xA, 0, 0, 0xBEEF), timespec(1, 500_000), X86)

    assert wait == Wait(Bound.RELATIVE, 1_500_000_000)


REALTIME_CALLS = {
    "futex with a realtime clock": line(202, 0xA, 0x189, 2, 0xBEEF),
    "futex lock_pi": line(202, 0xA, 0x86, 0, 0xBEEF),
    "mq_timedreceive": line(243, 3, 0xA, 1, 0xA, 0xBEEF),
    "clock_nanosleep": line(230, REALTIME, 1, 0xBEEF),
}


@pytest.mark.parametrize("call", REALTIME_CALLS.values(), ids=REALTIME_CALLS)
def test_an_end_in_calendar_time_is_turned_into_monotonic_time(call: bytes) -> None:
    seconds = int(time.time()) + 60
    wait = calls.wait_of(call, timespec(seconds), X86)

    assert wait.bound is Bound.ABSOLUTE
    assert 50 * SECOND < wait.ns - time.monotonic_ns() < 61 * SECOND


@pytest.mark.parametrize(
    "memory",
    [no_memory, timespec(-1), timespec(0, SECOND), lambda _address, _size: b"short"],
    ids=["not to be read", "negative", "too many nanoseconds", "cut short"],
)
def test_a_time_out_that_makes_no_sense_is_unreadable_rather_than_none(
    memory: calls.ReadMemory,
) -> None:
    assert calls.wait_of(line(202, 0xA, 137, 2, 0xBEEF), memory, X86) == calls.UNREADABLE


def test_the_same_call_on_another_descriptor_is_another_site() -> None:
    assert calls.site(line(0, 3, 0xA), X86) != calls.site(line(0, 4, 0xA), X86)


def test_the_same_call_into_another_buffer_is_the_same_site() -> None:
    assert calls.site(line(0, 3, 0xA), X86) == calls.site(line(0, 3, 0xB), X86)


def test_a_condition_variables_next_lock_is_the_same_site() -> None:
    assert calls.site(line(202, 0xA, 137), X86) == calls.site(line(202, 0xB, 137), X86)


@pytest.mark.parametrize(("number", "expected"), [(58, True), (56, True), (435, True), (0, False)])
def test_vfork_and_clone_wait_for_a_child(number: int, *, expected: bool) -> None:
    assert calls.waits_for_child(line(number), X86) is expected


def test_the_machine_of_this_run_is_known() -> None:
    """Else every test above with a real process would prove less than it says."""
    assert calls.names(os.uname().machine)
