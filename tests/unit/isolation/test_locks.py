"""Locks between processes: they exclude, in order of arrival, within a bound, and the dead hold none."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from poolproof.isolation import locks
from poolproof.isolation.locks import LockTimeoutError, Mode, QueueFullError, Ticket, acquire

pytestmark = pytest.mark.unit

PATIENCE = 20.0


class Taker:
    """Somebody who wants the lock, in a thread of its own, and gives it back when told."""

    def __init__(self, lock: Path, mode: Mode, name: str) -> None:
        self.name, self.mode = name, mode
        self.held = threading.Event()
        self.ticket: Ticket | None = None
        self._go = threading.Event()
        self._thread = threading.Thread(target=self._take, args=(lock,))
        before = queued(lock)
        self._thread.start()
        until(lambda: queued(lock) > before)

    def _take(self, lock: Path) -> None:
        self.ticket = acquire(lock, self.mode, self.name, PATIENCE)
        self.held.set()
        self._go.wait(PATIENCE)
        self.ticket.release()

    def give_back(self) -> None:
        self._go.set()
        self._thread.join(PATIENCE)


def until(fact: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not fact():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def queued(lock: Path) -> int:
    return len([path for path in lock.glob("*") if path.name.endswith(locks.MODES)])


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    return tmp_path / "lock"


@pytest.fixture
def takers(lock: Path) -> Iterator[Callable[..., Taker]]:
    started: list[Taker] = []

    def start(mode: Mode, name: str = "") -> Taker:
        started.append(Taker(lock, mode, name or f"taker {len(started)}"))
        return started[-1]

    yield start
    for taker in started:
        taker.give_back()


Start = Callable[..., Taker]


class TestOrder:
    def test_a_free_lock_is_had_at_once(self, lock: Path) -> None:
        ticket = acquire(lock, "write", "me", 0.1)

        assert ticket.waited.behind == ""
        ticket.release()

    def test_readers_pass_together(self, takers: Start) -> None:
        readers = [takers("read") for _ in range(3)]

        assert all(reader.held.wait(PATIENCE) for reader in readers)

    def test_a_writer_waits_for_every_reader_before_it(self, takers: Start) -> None:
        readers = [takers("read") for _ in range(2)]
        writer = takers("write")
        readers[0].give_back()

        assert not writer.held.is_set()
        readers[1].give_back()
        assert writer.held.wait(PATIENCE)

    def test_a_reader_cannot_overtake_a_writer_that_waits(self, takers: Start) -> None:
        """Else readers that come again and again would keep a writer out for ever."""
        first = takers("read")
        writer, late = takers("write"), takers("read")

        assert first.held.wait(PATIENCE)
        assert not late.held.is_set()
        first.give_back()
        assert writer.held.wait(PATIENCE)
        assert not late.held.is_set()
        writer.give_back()
        assert late.held.wait(PATIENCE)

    def test_a_writer_cannot_overtake_a_reader_that_waits(self, takers: Start) -> None:
        first = takers("write")
        reader, late = takers("read"), takers("write")
        first.give_back()

        assert reader.held.wait(PATIENCE)
        assert not late.held.is_set()

    def test_the_wait_names_whom_it_was_for(self, takers: Start) -> None:
        first = takers("write", "tests/a.py::test_a")
        second = takers("write")
        first.give_back()

        assert second.held.wait(PATIENCE)
        assert second.ticket
        assert second.ticket.waited.behind == "tests/a.py::test_a"
        assert second.ticket.waited.seconds > 0

    def test_what_is_released_twice_is_released_once(self, lock: Path, takers: Start) -> None:
        ticket = acquire(lock, "write", "me", 1)
        ticket.release()
        other = takers("write")
        ticket.release()

        assert other.held.wait(PATIENCE)
        with pytest.raises(LockTimeoutError):
            acquire(lock, "write", "me", 0.01)


def holders(arrived: list[Taker]) -> list[str]:
    """Return who may hold the lock by the law of it: all before the first who is excluded by one before."""
    found: list[Taker] = []
    for index, taker in enumerate(arrived):
        if all("write" not in (taker.mode, earlier.mode) for earlier in arrived[:index]):
            found.append(taker)
    return [taker.name for taker in found]


def play(folder: Path, steps: list[tuple[bool, Mode]]) -> None:
    """Let takers come and holders leave; after each step, exactly those hold it who may."""
    arrived: list[Taker] = []
    try:
        for number, (comes, mode) in enumerate(steps):
            if comes or not arrived:
                arrived.append(Taker(folder, mode, f"taker {number}"))
            else:
                leaver = next(taker for taker in arrived if taker.held.is_set())
                arrived.remove(leaver)
                leaver.give_back()
            lawful = holders(arrived)
            until(lambda: all(t.held.is_set() for t in arrived if t.name in lawful))  # noqa: B023
            assert [t.name for t in arrived if t.held.is_set()] == lawful
    finally:
        for taker in arrived:
            taker.give_back()


STEPS = st.lists(st.tuples(st.booleans(), st.sampled_from(locks.MODES)), min_size=1, max_size=8)


class TestLaw:
    @given(steps=STEPS)
    @settings(
        max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
    )
    def test_whoever_comes_and_goes_those_hold_it_who_may(
        self, tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[bool, Mode]]
    ) -> None:
        play(tmp_path_factory.mktemp("lock") / "lock", steps)

    def test_a_lock_that_lets_readers_overtake_is_caught(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(locks, "_excludes", lambda _one, other: other == "write")

        with pytest.raises(AssertionError):
            play(tmp_path / "lock", [(True, "write"), (True, "read")] * 2)

    def test_a_lock_that_forgets_its_readers_is_caught(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(locks, "_excludes", lambda one, _other: one == "write")

        with pytest.raises(AssertionError):
            play(tmp_path / "lock", [(True, "read"), (True, "write")] * 2)


HOLDER = """
import sys
from pathlib import Path
from poolproof.isolation.locks import acquire
ticket = acquire(Path(sys.argv[1]), "write", "the holder", 10)
print("held", flush=True)
{then}
"""


@pytest.fixture
def holder(lock: Path) -> Iterator[Callable[[str], "subprocess.Popen[bytes]"]]:
    """A process that holds the lock, and then does what it is told."""
    started: list[subprocess.Popen[bytes]] = []

    def start(then: str) -> "subprocess.Popen[bytes]":
        process = subprocess.Popen(
            [sys.executable, "-c", HOLDER.format(then=then), str(lock)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        started.append(process)
        assert process.stdout
        assert process.stdout.readline() == b"held\n"
        return process

    yield start
    for process in started:
        with process:
            process.kill()


Hold = Callable[[str], "subprocess.Popen[bytes]"]


class TestTheDead:
    def test_a_holder_that_is_killed_lets_go(self, holder: Hold, takers: Start) -> None:
        process = holder("input()")
        waiting = takers("write")
        process.send_signal(signal.SIGKILL)

        assert waiting.held.wait(PATIENCE)
        assert waiting.ticket
        assert waiting.ticket.waited.behind == "the holder"

    def test_what_was_dead_before_is_passed_over(self, lock: Path, holder: Hold) -> None:
        process = holder("input()")
        process.kill()
        process.wait()

        acquire(lock, "write", "me", 1).release()
        assert list(lock.iterdir()) == []

    def test_a_forked_child_of_the_holder_does_not_keep_it(self, lock: Path, holder: Hold) -> None:
        process = holder("import os\npid = os.fork()\nif pid: print(pid, flush=True)\ninput()")
        assert process.stdout
        child = int(process.stdout.readline())
        process.kill()
        process.wait()
        try:
            os.kill(child, 0)
            acquire(lock, "write", "me", 5).release()
        finally:
            os.kill(child, signal.SIGKILL)

    def test_a_holder_that_stands_still_is_named_when_time_is_over(
        self, lock: Path, holder: Hold
    ) -> None:
        process = holder("input()")
        process.send_signal(signal.SIGSTOP)

        with pytest.raises(
            LockTimeoutError, match=r"^expected write lock lock within 0.05 s, got the holder"
        ):
            acquire(lock, "write", "me", 0.05)
        assert queued(lock) == 1  # ours is gone, so that it holds up nobody


class TestBounds:
    def test_a_queue_that_stands_still_is_said(self, lock: Path) -> None:
        lock.mkdir()
        descriptor = os.open(lock, os.O_RDONLY)
        try:
            assert locks.locked(descriptor, 0)
            with pytest.raises(LockTimeoutError, match="queue of lock lock to be still"):
                acquire(lock, "read", "me", 0.01)
        finally:
            os.close(descriptor)

    def test_more_waiters_than_the_kernel_can_hold_are_refused(
        self, lock: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(locks, "_BACKLOG", 0)
        ticket = acquire(lock, "write", "me", 1)
        (path,) = (path for path in lock.iterdir() if path.suffix == ".write")
        with (
            socket.socket(socket.AF_UNIX) as waiter,
            contextlib.chdir(lock),
        ):  # a path may be too long
            waiter.connect(path.name)
            with pytest.raises(QueueFullError, match="expected at most 0"):
                acquire(lock, "write", "me", 1)
        ticket.release()

    def test_a_path_longer_than_a_sockets_is_no_obstacle(self, tmp_path: Path) -> None:
        deep = tmp_path / ("d" * 100) / ("e" * 100)

        acquire(deep, "write", "me", 1).release()


class TestTidying:
    def test_a_lock_that_nobody_has_is_removed(self, lock: Path) -> None:
        acquire(lock, "write", "me", 1).release()

        assert locks.clear(lock) == 0
        assert not lock.exists()
        assert locks.clear(lock) == 0

    def test_one_that_is_held_stays(self, lock: Path) -> None:
        ticket = acquire(lock, "write", "me", 1)
        locks.clear(lock)

        with pytest.raises(LockTimeoutError):
            acquire(lock, "write", "me", 0.01)
        ticket.release()

    def test_tickets_of_the_dead_are_counted_and_removed(self, lock: Path, holder: Hold) -> None:
        process = holder("input()")
        process.kill()
        process.wait()

        assert locks.clear(lock) == 1
        assert not lock.exists()

    def test_one_whose_queue_is_moving_is_left_to_who_moves_it(self, lock: Path) -> None:
        acquire(lock, "write", "me", 1).release()
        descriptor = os.open(lock, os.O_RDONLY)
        try:
            assert locks.locked(descriptor, 0)
            locks.clear(lock)
            assert lock.exists()
        finally:
            os.close(descriptor)

    def test_a_lock_that_is_tidied_away_meanwhile_is_made_anew(
        self, lock: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        locked, tidied = locks.locked, iter([True])

        def after_tidying(descriptor: int, deadline: float) -> bool:
            if next(tidied, False):
                lock.rmdir()
            return locked(descriptor, deadline)

        monkeypatch.setattr(locks, "locked", after_tidying)
        ticket = acquire(lock, "write", "me", 1)

        assert queued(lock) == 1
        ticket.release()
