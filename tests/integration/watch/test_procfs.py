"""Facts about single processes, taken from real ones."""

import os
import resource
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from poolproof.supervision import guardian
from poolproof.watch import procfs
from poolproof.watch.procfs import Identity

pytestmark = pytest.mark.integration

WAIT = "print('ready', flush=True); import sys; sys.stdin.read(1)"
FAMILY = """
import os, sys, threading
if (child := os.fork()) == 0:
    if (grandchild := os.fork()) == 0:
        threading.Event().wait()
    os.wait()
print('ready', flush=True)
threading.Event().wait()
"""
ZOMBIE = """
import os, threading
os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT) if (child := os.fork()) else os._exit(0)
print('ready', flush=True)
threading.Event().wait()
"""
# The first thread ends by itself; the other, which belongs to libc and not to Python, goes on.
LEADERLESS = """
import ctypes, threading
threading.Thread(target=lambda: (print('ready', flush=True), threading.Event().wait())).start()
ctypes.CDLL(None).syscall(60 if __import__('os').uname().machine == 'x86_64' else 93, 0)
"""


def program_of(tree: Any) -> int:
    return procfs.descendants(tree.root_pid)[0]


def _parent(pid: int) -> int | None:
    stat = procfs.stat(pid)
    return stat.parent if stat else None


def test_a_running_process_is_alive(grow: Any) -> None:
    pid = program_of(grow(WAIT))
    who = procfs.identity(pid)

    assert who is not None
    assert who.pid == pid
    assert procfs.alive(who)


def test_another_process_under_the_same_number_is_not_the_same(grow: Any) -> None:
    who = procfs.identity(program_of(grow(WAIT)))

    assert who is not None
    assert not procfs.alive(Identity(who.pid, who.born - 1))


def test_a_zombie_has_an_identity_but_is_not_alive(grow: Any) -> None:
    tree = grow(ZOMBIE)
    zombie = procfs.identity(procfs.descendants(tree.root_pid)[1])

    assert zombie is not None
    assert procfs.state(zombie.pid) == "Z"
    assert not procfs.alive(zombie)


def test_a_process_whose_first_thread_has_ended_is_alive(grow: Any) -> None:
    tree = grow(LEADERLESS)
    pid = program_of(tree)
    tree.task_in("Z", tid=pid)
    who = procfs.identity(pid)

    assert who is not None
    assert procfs.state(pid) == "Z"
    assert procfs.alive(who)


@pytest.fixture
def gone(grow: Any) -> Identity:
    tree = grow(WAIT)
    who = procfs.identity(program_of(tree))
    assert who is not None
    tree.tell()
    tree.process.wait()
    return who


def test_who_is_gone_is_not_alive(gone: Identity) -> None:
    assert not procfs.alive(gone)


def test_nothing_is_known_of_who_is_gone(gone: Identity) -> None:
    pid = gone.pid

    assert procfs.identity(pid) is None
    assert procfs.state(pid) is None
    assert procfs.session(pid) is None
    assert procfs.limits(pid) is None
    assert procfs.rss_bytes(pid) is None
    assert procfs.cmdline(pid) == ()
    assert procfs.descendants(pid) == ()
    assert not procfs.open_files(pid)
    assert not procfs.environ_has(pid, b"PATH=" + os.environb[b"PATH"])


@pytest.mark.parametrize("listed", [True, False], ids=["children files", "scan of all parents"])
def test_descendants_are_all_below_and_not_the_root(
    grow: Any, monkeypatch: pytest.MonkeyPatch, *, listed: bool
) -> None:
    if not listed:
        monkeypatch.setattr(procfs, "_kernel_lists_children", lambda: False)
    tree = grow(FAMILY)
    tree.until(lambda seen: True if len(seen.pids) == 3 else None)
    first, second, third = procfs.descendants(tree.root_pid)

    assert [_parent(pid) for pid in (first, second, third)] == [
        tree.root_pid,
        first,
        second,
    ]


def test_the_children_of_every_thread_are_found(grow: Any) -> None:
    tree = grow("""
import os, threading
def fork():
    if os.fork() == 0:
        threading.Event().wait()
    threading.Event().wait()
threading.Thread(target=fork, daemon=True).start()
print('ready', flush=True)
threading.Event().wait()
""")

    assert tree.until(lambda seen: len(seen.pids) == 2 or None)


def test_more_children_than_one_read_returns_are_all_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel returns a page of them at a time."""
    monkeypatch.setattr(procfs, "_CHUNK_BYTES", os.sysconf("SC_PAGE_SIZE"))
    listing = tmp_path / "children"
    listing.write_text(" ".join(map(str, range(1_000_000, 1_020_000))))

    assert procfs._read_all_children(str(listing)).split()[-1] == b"1019999"


def test_a_name_with_spaces_and_brackets_does_not_shift_the_fields(grow: Any) -> None:
    tree = grow(
        "import ctypes; ctypes.CDLL(None).prctl(15, b'a) R 1 (b', 0, 0, 0)\n"
        "print('ready', flush=True); import threading; threading.Event().wait()"
    )
    found = procfs.stat(program_of(tree))

    assert found is not None
    assert found.parent == tree.root_pid


def test_limits_are_soft_and_hard_with_none_for_unlimited(grow: Any) -> None:
    tree = grow(
        "import resource as r; r.setrlimit(r.RLIMIT_NOFILE, (33, 44));"
        "r.setrlimit(r.RLIMIT_CPU, (r.RLIM_INFINITY,) * 2)\n" + WAIT
    )
    limits = procfs.limits(program_of(tree))

    assert limits is not None
    assert limits["Max open files"] == (33, 44)
    assert limits["Max cpu time"] == (None, None)


def test_every_limit_of_the_kernel_is_read() -> None:
    limits = procfs.limits(os.getpid())

    assert limits is not None
    assert len(limits) == resource.RLIM_NLIMITS if hasattr(resource, "RLIM_NLIMITS") else 16


def test_the_command_line_is_split_into_its_words(grow: Any) -> None:
    assert procfs.cmdline(program_of(grow(WAIT))) == (sys.executable, "-c", WAIT)


def test_an_empty_last_argument_is_kept(grow: Any) -> None:
    tree = grow(
        "import os, sys\n"
        "os.execv(sys.executable, [sys.executable, '-c',"
        ' "print(\'ready\', flush=True); import sys; sys.stdin.read(1)", ""])'
    )

    assert procfs.cmdline(program_of(tree))[-1] == ""


def test_the_environment_at_start_is_searched_by_whole_entries(
    grow: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POOLPROOF_WATCHED", "abc")
    pid = program_of(grow(WAIT))

    assert procfs.environ_has(pid, b"POOLPROOF_WATCHED=abc")
    assert not procfs.environ_has(pid, b"POOLPROOF_WATCHED=ab")


@pytest.mark.parametrize("tells", ["procfs", "guardian"])
def test_who_is_just_executing_a_program_is_not_missed(
    tells: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until that is done /proc shows it with no environment at all: one look in three meets that."""
    monkeypatch.setenv("POOLPROOF_TREE", "mine")
    missed = 0
    for _ in range(50):
        pid = os.posix_spawn("/bin/sh", ["sh", "-c", "exec sleep 100"], os.environ)
        try:
            while "sleep" not in procfs.cmdline(pid):
                found = (
                    procfs.environ_has(pid, b"POOLPROOF_TREE=mine")
                    if tells == "procfs"
                    else guardian.tokens_of(pid) == ["mine"]
                )
                missed += not found
        finally:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)

    assert missed == 0


def test_the_session_is_that_of_the_process(grow: Any) -> None:
    tree = grow("import os; os.setsid() if os.getpid() != os.getsid(0) else 0\n" + WAIT)
    pid = program_of(tree)

    assert procfs.session(pid) == pid


def test_memory_is_counted_in_bytes(grow: Any) -> None:
    tree = grow("kept = b'x' * (64 << 20)\n" + WAIT)
    found = procfs.rss_bytes(program_of(tree))

    assert found is not None
    assert 64 << 20 < found < 256 << 20


def test_open_files_are_counted_by_kind(grow: Any) -> None:
    pid = program_of(
        grow(
            "import select, socket, tempfile\n"
            "kept = [socket.socketpair(), select.epoll(), tempfile.TemporaryFile(),"
            " open('/dev/zero'), __import__('os').memfd_create('m'),"
            " tempfile.TemporaryFile(dir='/dev/shm')]\n" + WAIT
        )
    )
    files = procfs.open_files(pid)

    assert files["socket"] == 2
    assert [files[kind] for kind in ("eventpoll", "memfd", "shm", "/dev/zero")] == [1] * 4
    assert files["file"] >= 1
    assert files["pipe"] >= 2


def test_looking_at_a_process_that_ends_does_not_raise(grow: Any) -> None:
    tree = grow(
        "import os\nprint('ready', flush=True)\nwhile True:\n"
        "    os.waitpid(os.posix_spawn('/bin/true', ['true'], {}), 0)"
    )
    try:
        for _ in range(300):
            for pid in procfs.descendants(tree.root_pid):
                procfs.identity(pid), procfs.cmdline(pid), procfs.open_files(pid)
    finally:
        with suppress(ProcessLookupError):
            os.kill(program_of(tree), signal.SIGKILL)
