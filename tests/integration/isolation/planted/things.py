"""Leaks of things that live: threads, processes, descriptors, files. `LEAKS` says what must be found."""

import concurrent.futures
import multiprocessing
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import tempfile
import threading
from multiprocessing import shared_memory
from pathlib import Path
from typing import Any

import pytest

LEAKS = {
    "test_thread": ("thread", "thread 'planted'"),
    "test_timer_thread": ("thread", "thread 'Thread-"),
    "test_pool_of_threads": ("thread", "thread 'planted_0'"),
    "test_open_file": ("descriptor", " -> /etc/hostname"),
    "test_bare_descriptor": ("descriptor", " -> /etc/passwd"),
    "test_pipe": ("descriptor", " -> pipe:"),
    "test_socket": ("descriptor", " -> socket:"),
    "test_database": ("descriptor", "planted.db"),
    "test_port": ("port", "127.0.0.1:"),
    "test_unix_port": ("port", "planted.sock"),
    "test_child": ("child", "sleep 1234"),
    "test_forked_child": ("child", "process "),
    "test_zombie": ("child", "(ended, never waited for)"),
    "test_orphan": ("orphan", "sleep 4321"),
    "test_multiprocessing": ("child", "process "),
    "test_temporary_file": ("temporary-file", "planted-file"),
    "test_temporary_directory": ("temporary-file", "planted-directory"),
    "test_file_in_the_suite": ("file", "planted.txt"),
    "test_shared_memory": ("shared-memory", "/dev/shm/planted-"),
}

SEGMENT = f"planted-{os.getpid()}"
KEPT: list[Any] = []
SEEN: dict[str, Any] = {}


def test_thread() -> None:
    threading.Thread(target=threading.Event().wait, name="planted", daemon=True).start()


def test_thread_next() -> None:
    pass


def test_timer_thread() -> None:
    timer = threading.Timer(3600, print)
    timer.daemon = True
    timer.start()


def test_timer_thread_next() -> None:
    pass


def test_pool_of_threads() -> None:
    pool = concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="planted")
    pool.submit(int).result()
    KEPT.append(pool)


def test_pool_of_threads_next() -> None:
    pass


def test_open_file() -> None:
    KEPT.append(open("/etc/hostname"))  # noqa: PTH123, SIM115


def test_open_file_next() -> None:
    assert KEPT[-1].closed


def test_bare_descriptor() -> None:
    os.open("/etc/passwd", os.O_RDONLY)


def test_bare_descriptor_next() -> None:
    pass


def test_pipe() -> None:
    os.pipe()


def test_pipe_next() -> None:
    pass


def test_socket() -> None:
    KEPT.append(socket.socket())


def test_socket_next() -> None:
    assert KEPT[-1].fileno() == -1


def test_database(tmp_path: Path) -> None:
    KEPT.append(sqlite3.connect(tmp_path / "planted.db"))
    KEPT[-1].execute("create table planted (x)")


def test_database_next() -> None:
    pass


def test_port() -> None:
    server = socket.create_server(("127.0.0.1", 0))
    SEEN["address"] = server.getsockname()
    KEPT.append(server)


def test_port_next() -> None:
    socket.create_server(SEEN["address"]).close()


def test_unix_port(tmp_path: Path) -> None:
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(tmp_path / "planted.sock"))
    server.listen()
    KEPT.append(server)


def test_unix_port_next() -> None:
    assert KEPT[-1].fileno() == -1


def test_child() -> None:
    child = subprocess.Popen(["sleep", "1234"])
    KEPT.append(child)


def test_child_next() -> None:
    assert KEPT[-1].returncode == -signal.SIGTERM


def test_forked_child() -> None:
    pid = os.fork()
    if not pid:
        signal.pause()
    SEEN["forked"] = pid


def test_forked_child_next() -> None:
    with pytest.raises(ProcessLookupError):
        os.kill(SEEN["forked"], 0)


def test_zombie() -> None:
    pid = os.fork()
    if not pid:
        os._exit(0)
    SEEN["zombie"] = pid
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)


def test_zombie_next() -> None:
    with pytest.raises(ProcessLookupError):
        os.kill(SEEN["zombie"], 0)


def test_orphan() -> None:
    command = "sleep 4321 >/dev/null 2>&1 & echo $!"
    SEEN["orphan"] = int(subprocess.check_output(["sh", "-c", command]))


def test_orphan_next() -> None:
    with pytest.raises(ProcessLookupError):
        os.kill(SEEN["orphan"], 0)


def test_multiprocessing() -> None:
    process = multiprocessing.get_context("fork").Process(target=signal.pause)
    process.start()
    KEPT.append(process)


def test_multiprocessing_next() -> None:
    assert not KEPT[-1].is_alive()


def test_temporary_file() -> None:
    descriptor, SEEN["file"] = tempfile.mkstemp("planted-file")
    os.close(descriptor)


def test_temporary_file_next() -> None:
    assert not os.path.exists(SEEN["file"])  # noqa: PTH110


def test_temporary_directory() -> None:
    SEEN["directory"] = tempfile.mkdtemp("planted-directory")
    Path(SEEN["directory"], "inside").write_text("x")


def test_temporary_directory_next() -> None:
    assert not os.path.exists(SEEN["directory"])  # noqa: PTH110


def test_file_in_the_suite() -> None:
    Path(__file__).with_name("planted.txt").write_text("x")


def test_file_in_the_suite_next() -> None:
    assert not Path(__file__).with_name("planted.txt").exists()


def test_shared_memory() -> None:
    segment = shared_memory.SharedMemory(SEGMENT, create=True, size=1)
    segment.close()


def test_shared_memory_next() -> None:
    assert not os.path.exists(f"/dev/shm/{SEGMENT}")  # noqa: PTH110


def test_clean_use_of_it_all(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)), tempfile.TemporaryDirectory():
        subprocess.run(["true"], check=True)
        (tmp_path / "file").write_text("x")
    with concurrent.futures.ThreadPoolExecutor() as pool:
        pool.submit(int).result()
    shutil.which("sleep")
