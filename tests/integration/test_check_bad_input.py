"""Whatever is wrong with a request is said in one line, with exit code 2, and nothing is left running."""

import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.integration.commands import QUICK, Command, Ended, check

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("unmeasured")]

FACTORIES: Final = """
import os
import threading
from concurrent.futures import ThreadPoolExecutor

def make(workers): return ThreadPoolExecutor(workers)
def raises(workers): raise ValueError("no database")
def gives_nothing(workers): return None
def gives_a_number(workers): return 3
def gives_a_module(workers): return os
def hangs(workers): threading.Event().wait()
def needs(workers, database, queue): return None
def exits(workers): os._exit(7)
def ends_its_parent(workers): os.kill(os.getppid(), 9)
"""
MODULES: Final = {
    "stranger.py": FACTORIES,
    "torn.py": "def make(:\n",
    "leaves.py": "import sys\nsys.exit(3)\n",
    "vanishes.py": "import os\nos._exit(3)\n",
    "waits.py": "import threading\nthreading.Event().wait()\n",
    "speaks.py": "import os\nfor fd in range(3, 64):\n    try: os.write(fd, b'x\\n')\n    except OSError: pass\n",
    "deaf.py": "import os\nos.closerange(3, 64)\n",
}
NO_POOL: Final = "to return a pool, got"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("stranger")
    for name, source in MODULES.items():
        (path / name).write_text(source)
    (path / "file").touch()
    (path / "directory").mkdir()
    silent = path / "silent"
    silent.write_text("#!/bin/sh\nexit 0\n")
    silent.chmod(silent.stat().st_mode | stat.S_IXUSR)
    return path


@pytest.fixture(scope="module", autouse=True)
def waiting(folder: Path) -> Iterator[Command]:
    """Start what takes its ten seconds before the others, and end it after them."""
    command = Command("check", "waits:make", "--deadline", "1", "--out", "waiting", cwd=folder)
    yield command
    command.process.kill()
    command.process.communicate()


def assert_refused(ended: Ended, *words: str) -> None:
    assert (ended.code, ended.left) == (2, []), ended.err
    assert ended.complaint
    assert "Traceback" not in ended.err
    assert len(ended.complaint.splitlines()) <= 12
    assert [word for word in words if word not in ended.complaint] == []


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("strangr:make", ["'strangr'", "did you mean stranger"]),
        ("stranger:mak", ["'mak'", "did you mean make?"]),
        ("multiprocessing.Pol", ["'Pol'", "did you mean Pool?"]),
        ("stranger", ["the module stranger", "as in stranger:"]),
        ("", ["package.Name", "''"]),
        ("absent.py:make", ["no such file", "absent.py"]),
        ("torn.py:make", ["SyntaxError", "torn.py"]),
        ("torn:make", ["SyntaxError", "torn.py"]),
        ("leaves:make", ["SystemExit: 3", "leaves.py:2"]),
        ("vanishes:make", ["exit code 3"]),
        ("speaks:make", ["only into files that it has opened itself"]),
        ("deaf:make", ["an interpreter that ended"]),
        ("stranger:raises", [NO_POOL, "ValueError: no database", "stranger.py:7"]),
        ("stranger:gives_nothing", [NO_POOL, "None", "is a `return` missing?", "class Adapted"]),
        ("stranger:gives_a_number", [NO_POOL, "3 of type int", "class Adapted"]),
        ("stranger:gives_a_module", [NO_POOL, "the module os", "class Adapted"]),
        ("stranger:needs", ["also needs database, queue", "def make(workers)"]),
        ("stranger:exits", [NO_POOL, "the end of the process that called it"]),
        ("stranger:ends_its_parent", [NO_POOL, "the end of the process that called it"]),
    ],
)
def test_a_target_that_cannot_be_started(target: str, words: list[str], folder: Path) -> None:
    ended = check(target, *QUICK, "--out", "out", cwd=folder)

    assert_refused(ended, *words)


def test_a_factory_that_hangs(folder: Path) -> None:
    ended = check("stranger:hangs", *QUICK, "--deadline", "1", "--out", "out", cwd=folder)

    assert_refused(ended, "to start within 1 s", "--deadline")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--workers", "0"], ["--workers", "from 1 on, got 0"]),
        (["--adapter", "unheard"], ["'unheard'", "executor"]),
        (["--own", "unheard"], ["'unheard'", "--own"]),
        (["--python", "./silent"], ["3.11 or later", "exit code 0"]),
        (["--out", "file/below"], ["--out", "file/below"]),
        (["--json", "directory"], ["--json", "directory"]),
    ],
    ids=" ".join,
)
def test_an_option_that_cannot_be_meant(options: list[str], words: list[str], folder: Path) -> None:
    out = [] if "--out" in options else ["--out", "out"]

    assert_refused(check("stranger:make", *QUICK, *out, *options, cwd=folder), *words)


def test_an_output_directory_that_holds_other_work(folder: Path) -> None:
    (folder / "mine" / "trials").mkdir(parents=True)
    (folder / "mine" / "trials" / "thesis.txt").touch()

    ended = check("stranger:make", *QUICK, "--out", "mine", cwd=folder)

    assert_refused(ended, "--out", "trials")
    assert (folder / "mine" / "trials" / "thesis.txt").exists()


def test_a_runtime_directory_that_is_gone_is_done_without(folder: Path) -> None:
    ended = check(
        *("stranger:make", *QUICK, "--faults", "none", "--out", "out"),
        cwd=folder,
        XDG_RUNTIME_DIR=str(folder / "gone"),
    )

    assert ended.code == 0


def test_a_place_for_leases_that_others_can_write_is_refused(tmp_path: Path, folder: Path) -> None:
    first = check("stranger:raises", *QUICK, cwd=folder, XDG_RUNTIME_DIR=str(tmp_path))
    (home,) = tmp_path.iterdir()
    home.chmod(0o777)

    second = check("stranger:raises", *QUICK, cwd=folder, XDG_RUNTIME_DIR=str(tmp_path))

    assert first.code == 2
    assert_refused(second, "only this user can write", "drwxrwxrwx")


def test_a_module_that_hangs_at_its_import(waiting: Command) -> None:
    assert_refused(waiting.end(), "to be imported within 10 s", "--deadline")
