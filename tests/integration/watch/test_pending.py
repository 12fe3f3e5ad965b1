"""Kernel timers and bytes under way are found in real processes."""

import time
from typing import Any

import pytest

from poolproof.watch.pending import Pending, pending

pytestmark = pytest.mark.integration

SECOND = 1_000_000_000
PAUSE = "print('ready', flush=True)\nimport signal\nwhile True: signal.pause()"
TIMERFD = (
    """
import ctypes
libc = ctypes.CDLL(None)
kept = libc.timerfd_create(1, 0)
libc.timerfd_settime(kept, 0, (ctypes.c_long * 4)(0, 0, {seconds}, 0), None)
"""
    + PAUSE
)
POSIX_TIMER = (
    """
import ctypes
assert ctypes.CDLL('librt.so.1').timer_create(1, None, ctypes.byref(ctypes.c_void_p())) == 0
"""
    + PAUSE
)
ALARM = "import signal; signal.signal(signal.SIGALRM, print); signal.alarm(60)\n" + PAUSE
ALARM_WAITED = (
    "import signal; signal.pthread_sigmask(0, {signal.SIGALRM}); signal.alarm(60)\n" + PAUSE
)
TCP = (
    """
import socket
server = socket.create_server(('127.0.0.1', 0))
one = socket.create_connection(server.getsockname()); two = server.accept()[0]
one.setblocking(False)
try:
    while {fill}: one.send(bytes(1 << 16))
except BlockingIOError: pass
"""
    + PAUSE
)


def seen(tree: Any) -> Pending:
    return pending(tree.until(lambda found: found.pids or None), time.monotonic_ns())


def test_a_process_without_timers_has_nothing_pending(grow: Any) -> None:
    found = seen(grow(PAUSE))

    assert found.due_ns is None
    assert not found.unseen


def test_the_end_of_a_timerfd_is_known(grow: Any) -> None:
    found = seen(grow(TIMERFD.format(seconds=60)))

    assert found.due_ns is not None
    assert 30 * SECOND < found.due_ns - time.monotonic_ns() <= 60 * SECOND


def test_a_timerfd_that_is_not_set_is_never_due(grow: Any) -> None:
    assert seen(grow(TIMERFD.format(seconds=0))).due_ns is None


@pytest.mark.parametrize(
    "program", [POSIX_TIMER, ALARM, ALARM_WAITED], ids=["posix", "handler", "mask"]
)
def test_a_timer_whose_end_is_not_shown_is_unseen(grow: Any, program: str) -> None:
    tree = grow(program)

    assert seen(tree).unseen == frozenset(tree.until(lambda found: found.pids or None))


def test_tcp_bytes_that_the_other_side_did_not_take_are_unseen(grow: Any) -> None:
    assert seen(grow(TCP.format(fill=True))).unseen


def test_a_tcp_connection_with_nothing_under_way_is_not_pending(grow: Any) -> None:
    tree = grow(TCP.format(fill=False))

    assert tree.until(lambda _: not seen(tree).unseen or None)


def test_who_is_gone_has_nothing_pending(grow: Any) -> None:
    tree = grow(PAUSE)
    tree.end()

    assert not pending([tree.root_pid], 0).unseen
