"""A target may do to its own processes what it likes: the controller is not hung, not fooled, and fills no disk."""

from pathlib import Path
from typing import Any, Final

import pytest

from tests.integration.commands import QUICK, check, loaded

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("unmeasured")]

# Twice what one output may have, for what is printed between two looks at it.
MOST_BYTES: Final = 1 << 25
FACTORIES: Final = '''
import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor


def spew(stop):
    while not stop.is_set():
        os.write(1, b"garbage " * 512)
        os.write(2, bytes(range(256)) * 16)


class Floods(ThreadPoolExecutor):
    """Prints without end, as long as it lives."""

    def __init__(self, workers):
        super().__init__(workers)
        self.quiet = threading.Event()
        self.thread = threading.Thread(target=spew, args=(self.quiet,))
        self.thread.start()

    def shutdown(self, *args, **more):
        super().shutdown(*args, **more)
        self.quiet.set()
        self.thread.join()


class Exits(ThreadPoolExecutor):
    def submit(self, *args, **more):
        os._exit(9)


class Crashes(ThreadPoolExecutor):
    def submit(self, *args, **more):
        os.kill(os.getpid(), signal.SIGSEGV)


class Jams(ThreadPoolExecutor):
    """Lets no more than four jobs in, ever."""

    accepted = 0

    def submit(self, *args, **more):
        self.accepted += 1
        if self.accepted > 4:
            threading.Event().wait()
        return super().submit(*args, **more)


def writes_into_all(workers):
    for descriptor in range(1, 2048):
        try:
            os.write(descriptor, b"garbage\\n{}\\n\\xff" * 99)
        except OSError:
            pass
    return ThreadPoolExecutor(workers)


def fills_the_history(workers):
    pool = ThreadPoolExecutor(workers)
    histories = [
        int(name)
        for name in os.listdir("/proc/self/fd")
        if os.path.realpath(f"/proc/self/fd/{name}").endswith("history.jsonl")
    ]
    while histories:
        os.write(histories[0], b"no event " * 9999)
    return pool
'''


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("hostile")
    (path / "hostile.py").write_text(FACTORIES)
    return path


def size_bytes(folder: Path) -> int:
    """Return what all files below take, as they are on the disk."""
    return sum(path.lstat().st_blocks * 512 for path in folder.rglob("*"))


def report(folder: Path, name: str, *options: str) -> tuple[int, dict[str, Any]]:
    """Check a factory of the hostile module; return the exit code and the report."""
    out = ("--out", name, "--deadline", "5")
    ended = check(f"hostile:{name}", *QUICK, *out, *options, cwd=folder)
    assert ended.left == []
    return ended.code, loaded(folder / name / "result.json")


def test_what_prints_without_end_is_judged_and_its_output_is_bounded(folder: Path) -> None:
    code, found = report(folder, "Floods", "--faults", "error-in-job")

    assert code == 0, found["checks"]
    assert size_bytes(folder / "Floods") < MOST_BYTES


def test_garbage_in_every_open_descriptor_fools_nobody(folder: Path) -> None:
    code, _ = report(folder, "writes_into_all", "--faults", "error-in-job")

    assert code == 0


def test_who_fills_the_history_is_refused_and_the_history_is_bounded(folder: Path) -> None:
    ended = check("hostile:fills_the_history", *QUICK, "--out", "filled", cwd=folder)

    assert (ended.code, ended.left) == (2, [])
    assert "MiB of its output in" in ended.complaint
    assert size_bytes(folder / "filled") < 64 * MOST_BYTES


@pytest.mark.parametrize("name", ["Exits", "Crashes"])
def test_an_owner_that_dies_in_submit_has_left_its_caller_alone(name: str, folder: Path) -> None:
    code, found = report(folder, name, "--faults", "none")

    broken = [entry for entry in found["checks"] if entry["verdict"] == "invalid"]
    assert code == 1
    assert [entry["invariant"] for entry in broken] == ["unresolved-job"]
    assert "owner's process dies" in broken[0]["reason"]


@pytest.mark.slow
def test_more_commands_than_a_pipe_holds_do_not_block_the_controller(folder: Path) -> None:
    code, found = report(folder, "Jams", "--faults", "none", "--jobs", "1500")

    broken = [entry for entry in found["checks"] if entry["verdict"] == "invalid"]
    assert code == 1
    assert "submit never returns" in broken[0]["reason"]
